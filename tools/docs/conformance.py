"""The part of `docs/compatibility.md` that third-party suites prove: what `conformance/` has recorded."""

from __future__ import annotations

from collections import defaultdict

from conformance.common.scores import (
    FEATURES,
    SUITES,
    client_version,
    peer_version,
    read_baseline,
    read_expected,
    read_recorded,
)

NAMES = {
    "librdkafka": "librdkafka: C client, classic groups",
    "librdkafka-noauto": "librdkafka: no topics by themselves",
    "librdkafka-848": "librdkafka: `group.protocol=consumer`",
    "librdkafka-share": "librdkafka: share groups",
    "franz_go": "franz-go: Go client",
    "java_cli": "Apache Kafka's command line programs",
}

SEVERAL = 3
"""Brokers, in the column for a cluster."""


def section() -> str:
    """Markdown from the heading on, without a line break at its end."""
    lines = [
        "## Third-party test suites",
        "",
        "What was recorded when the suites in [conformance](../conformance/README.md) last ran here. *Due* are the tests, and parts"
        " of tests, that need no feature which is still to come; they run on one broker, and on three that share PostgreSQL and a folder. The last"
        f" count is of whole tests only, on one broker, and of all that Apache Kafka {peer_version()} itself passes every time: a test that was not"
        " run does not count as passed.",
        "",
        "| suite | version | passed of due | on three brokers | passed of those that Apache Kafka passes | days of the runs |",
        "|---|---|---|---|---|---|",
    ]
    failing: list[str] = []
    waiting: dict[str, dict[str, list[str]]] = {feature: defaultdict(list) for feature in FEATURES}
    never: list[str] = []
    for suite in SUITES:
        expected, recorded, baseline = read_expected(suite), read_recorded(suite), read_baseline(suite)
        due, due_on_three = ([name for name, what in expected.items() if what.due_on(n)] for n in (1, SEVERAL))
        passed = {name for name, result in recorded.items() if result.status == "PASS"}
        counted = [name for name, status in baseline.items() if status == "PASS"]
        on_three = read_recorded(suite, SEVERAL)
        passed_on_three = {name for name, result in on_three.items() if result.status == "PASS"}
        days = sorted({result.day for result in (*recorded.values(), *on_three.values())})
        lines.append(
            f"| {NAMES[suite]} | {client_version(suite)} | {_of(passed, due) if due else 'none due'}"
            f" | {_of(passed_on_three, due_on_three) if due else 'none due'} | {_of(passed, counted)}"
            f" | {' to '.join(dict.fromkeys((days[0], days[-1]))) if days else 'not run'} |"
        )
        for where, results, names in (("", recorded, due), (" on three brokers", on_three, due_on_three)):
            for name in names:
                status = results[name].status if name in results else "not run"
                if status != "PASS":
                    kafka = f" ({baseline[name]} on Apache Kafka)" if baseline.get(name, "PASS") != "PASS" else ""
                    failing.append(f"- {suite} `{name}`{where}: {status}{kafka}")
        for name, what in expected.items():
            for feature in what.waits_for:
                waiting[feature][suite].append(f"`{name}`")
            if what.never:
                never.append(f"- {suite} `{name}`: {what.remark}")
            if what.alone:
                never.append(f"- {suite} `{name}` on three brokers: {what.remark}")
    if failing:
        lines += ["", "Due, but not passed:", "", *failing]
    lines += ["", "What waits for features to come:", "", "| feature | tests |", "|---|---|"]
    for feature, suites in waiting.items():
        if suites:
            tests = "; ".join(f"{suite} {', '.join(names)}" for suite, names in suites.items())
            lines.append(f"| {feature} | {tests} |")
    if never:
        lines += ["", "What cannot pass here, by design:", "", *never]
    return "\n".join(lines)


def _of(passed: set[str], names: list[str]) -> str:
    return f"{len(passed.intersection(names))} of {len(names)}"
