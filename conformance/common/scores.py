"""What the files of this folder say: which tests are due, what Apache Kafka passes, what Moldau passed when it was last recorded.

Only the standard library is used, because the suites run without an environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

CONFORMANCE = Path(__file__).resolve().parent.parent

SUITES = ("librdkafka", "librdkafka-noauto", "franz_go", "java_cli", "librdkafka-848", "librdkafka-share")
_RESULT = re.compile(r"(\S+) (PASS|FAIL|SKIP|TIMEOUT|FLAKY)\b(?: ([0-9./]+))?(?: (\d{4}-\d\d-\d\d))?(?:  # (.*))?")


def _lines(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def read_results(path: Path) -> dict[str, tuple[str, str]]:
    """Test name -> status and note."""
    return {m[1]: (m[2], m[5] or "") for m in map(_RESULT.match, _lines(path)) if m}


def read_baseline(suite: str) -> dict[str, str]:
    """Test name -> what it does on Apache Kafka: PASS, FLAKY, FAIL, SKIP."""
    return {name: status for name, (status, _) in read_results(CONFORMANCE / f"baseline/{suite}.txt").items()}


def read_expected(suite: str) -> dict[str, str]:
    """Test name -> "" when it is due now, else what it waits for."""
    expected = {}
    for line in _lines(CONFORMANCE / f"expected/{suite}.txt"):
        name, _, what = line.partition(" ")
        if what != "now" and not what.startswith("later: "):
            raise SystemExit(f"expected/{suite}.txt: cannot read this line: {line}")
        expected[name] = what.removeprefix("now").removeprefix("later: ")
    return expected


def read_gate() -> dict[str, list[str]]:
    """Suite -> the tests of it that CI runs."""
    gate: dict[str, list[str]] = {}
    for line in _lines(CONFORMANCE / "expected/gate.txt"):
        suite, name = line.split()
        gate.setdefault(suite, []).append(name)
    return gate


def client_version(suite: str) -> str:
    """Which client the suite is of, as the scripts pin it."""
    if suite == "java_cli":
        return "Apache Kafka " + _pinned("kafka-peer/pom.xml", r"<kafka>(.+)</kafka>")
    if suite == "franz_go":
        return "franz-go " + _pinned("franz_go", r"^version=v(.+)$")
    return "librdkafka " + _pinned("librdkafka", r"^npm_version=.* librdkafka (\S+)$")


def _pinned(name: str, pattern: str) -> str:
    found = re.search(pattern, (CONFORMANCE / name).read_text(), re.M)
    assert found, f"conformance/{name} has nothing like {pattern}"
    return found[1]


@dataclass
class Recorded:
    """What the last recorded runs of a suite say."""

    status: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, str] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)


def read_recorded(suite: str) -> Recorded:
    recorded = Recorded()
    for line in _lines(CONFORMANCE / f"results/{suite}.txt"):
        match = _RESULT.match(line)
        assert match, f"results/{suite}.txt: cannot read this line: {line}"
        recorded.status[match[1]], recorded.seconds[match[1]], recorded.dates[match[1]] = match[2], match[3], match[4]
    return recorded


def record(suite: str, results: Path, date: str) -> None:
    """Take the tests of this run over into results/SUITE.txt; those that did not run keep what they had."""
    recorded, expected = read_recorded(suite), read_expected(suite)
    for match in filter(None, map(_RESULT.match, _lines(results))):
        recorded.status[match[1]], recorded.seconds[match[1]], recorded.dates[match[1]] = match[2], match[3], date
    lines = [f"# Written by `conformance/run {suite} --record`: {client_version(suite)} against Moldau."]
    lines += ["# Test, status, seconds, day."]
    for name in expected:  # a test that is no longer listed goes
        if name in recorded.status:
            lines.append(f"{name} {recorded.status[name]} {recorded.seconds[name]} {recorded.dates[name]}")
    path = CONFORMANCE / f"results/{suite}.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
