"""What the files of this folder say: which tests are due, what Apache Kafka passes, what Moldau passed when it was last recorded.

Only the standard library is used, because the suites run without an environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

CONFORMANCE = Path(__file__).resolve().parent.parent

SUITES = ("librdkafka", "librdkafka-noauto", "franz_go", "java_cli", "librdkafka-848", "librdkafka-share")
FEATURES = (
    "transactions",
    "KIP-848 consumer groups",
    "share groups",
    "ACLs",
    "SCRAM users",
    "client quotas",
    "client metrics",
    "compaction",
)
"""What a test can wait for, named as in expected/*.txt."""

_RESULT = re.compile(r"(\S+) (PASS|FAIL|SKIP|TIMEOUT|FLAKY)\b(?: ([0-9./]+))?(?: (\d{4}-\d\d-\d\d))?(?:  # (.*))?")


def _lines(path: Path) -> list[str]:
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


class Result(NamedTuple):
    """What one run says of one test."""

    status: str
    """PASS, FAIL, SKIP, TIMEOUT; or FLAKY: it failed, then passed."""
    seconds: str
    note: str


def read_results(path: Path) -> dict[str, Result]:
    """Test name -> result, from a runner's results or from a baseline; lines that say something else are passed over."""
    return {m[1]: Result(m[2], m[3] or "", m[5] or "") for m in map(_RESULT.match, _lines(path)) if m}


def read_baseline(suite: str) -> dict[str, str]:
    """Test name -> what it does on Apache Kafka: PASS, FLAKY, FAIL, SKIP."""
    return {name: result.status for name, result in read_results(CONFORMANCE / f"baseline/{suite}.txt").items()}


@dataclass(frozen=True)
class Expected:
    """What one line of expected/SUITE.txt says about a test."""

    waits_for: tuple[str, ...] = ()
    """Features; none when the test is due now."""
    never: bool = False
    """It cannot pass here, by design; ``remark`` says why."""
    remark: str = ""
    alone: bool = False
    """It cannot pass on several brokers, by design; ``remark`` says why."""

    @property
    def due(self) -> bool:
        return not self.waits_for and not self.never

    def due_on(self, brokers: int) -> bool:
        return self.due and (brokers == 1 or not self.alone)

    def __str__(self) -> str:
        if self.never or self.alone:
            return ("never: " if self.never else "alone: ") + self.remark
        return ", ".join(self.waits_for) + (f": {self.remark}" if self.remark else "")


def read_expected(suite: str) -> dict[str, Expected]:
    """Test name -> what is expected of it."""
    path = CONFORMANCE / f"expected/{suite}.txt"
    return dict(parse_expected(line, path.name) for line in _lines(path))


def parse_expected(line: str, where: str = "") -> tuple[str, Expected]:
    """``NAME now``, ``NAME alone: REMARK``, ``NAME later: FEATURE[, FEATURE...][: REMARK]`` or ``NAME never: REMARK``; else SystemExit with the line."""
    name, _, what = line.partition(" ")
    kind, _, rest = what.partition(": ")
    if what == "now":
        return name, Expected()
    if kind in ("never", "alone") and rest:
        return name, Expected(never=kind == "never", remark=rest, alone=kind == "alone")
    if kind == "later":
        features, _, remark = rest.partition(": ")
        waits_for = tuple(features.split(", "))
        if all(feature in FEATURES for feature in waits_for):
            return name, Expected(waits_for, remark=remark)
    known = ", ".join(FEATURES)
    raise SystemExit(
        f"{where}: cannot read the line {line!r}: expected NAME now, NAME alone: REMARK, NAME later: FEATURE[, FEATURE...][: REMARK] or"
        f" NAME never: REMARK, with features of {known}"
    )


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
        return "Apache Kafka " + peer_version()
    if suite == "franz_go":
        return "franz-go " + _pinned("franz_go", r"^version=v(.+)$")
    return "librdkafka " + _pinned("librdkafka", r"^npm_version=.* librdkafka (\S+)$")


def worth_a_second_try(names: list[str], results: dict[str, Result], baseline: dict[str, str]) -> list[str]:
    """Those of the tests that ran and failed here, and fail on Apache Kafka at times."""
    failed = [name for name in names if name in results and results[name].status in ("FAIL", "TIMEOUT")]
    return [name for name in failed if baseline.get(name) == "FLAKY"]


def of_two_tries(first: Result, second: Result) -> Result:
    """What a failed first and then a second try say together: FLAKY when the second passed."""
    status = "FLAKY" if second.status == "PASS" else second.status
    return Result(status, f"{first.seconds}/{second.seconds}", f"first {first.status}: {first.note}".rstrip(": "))


def peer_version() -> str:
    """The Apache Kafka that the baseline was made on."""
    return _pinned("kafka-peer/pom.xml", r"<kafka>(.+)</kafka>")


def _pinned(name: str, pattern: str) -> str:
    found = re.search(pattern, (CONFORMANCE / name).read_text(), re.M)
    assert found, f"conformance/{name} has nothing like {pattern}"
    return found[1]


class Recorded(NamedTuple):
    """The last recorded result of one test."""

    status: str
    seconds: str
    day: str


def _results(suite: str, brokers: int) -> Path:
    return CONFORMANCE / (f"results/{suite}.txt" if brokers == 1 else f"results/{suite}.{brokers}-brokers.txt")


def read_recorded(suite: str, brokers: int = 1) -> dict[str, Recorded]:
    """Test name -> what was seen when it last ran with ``--record`` against so many brokers."""
    recorded = {}
    path = _results(suite, brokers)
    for line in _lines(path):
        match = _RESULT.fullmatch(line)
        if not match or not match[4]:
            raise SystemExit(f"results/{path.name}: cannot read the line {line!r}: expected NAME STATUS SECONDS DAY")
        recorded[match[1]] = Recorded(match[2], match[3], match[4])
    return recorded


def record(suite: str, results: dict[str, Result], day: str, brokers: int = 1) -> None:
    """Take the tests of this run over into results/SUITE.txt; those that did not run keep what they had, and those that
    expected/SUITE.txt no longer has go."""
    recorded = read_recorded(suite, brokers)
    several = f" --brokers {brokers}" if brokers > 1 else ""
    recorded |= {name: Recorded(result.status, result.seconds, day) for name, result in results.items()}
    lines = [
        f"# Written by `conformance/run {suite}{several} --record`: {client_version(suite)} against Moldau.",
        "# Test, status, seconds, day.",
        *(" ".join((name, *recorded[name])) for name in read_expected(suite) if name in recorded),
    ]
    path = _results(suite, brokers)
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
