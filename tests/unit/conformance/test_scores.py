"""The files that say what third-party suites showed: read, merged, and consistent with one another."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.common import scores
from conformance.common.scores import Expected, Recorded, Result, of_two_tries, parse_expected, worth_a_second_try


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0001 now", Expected()),
        ("0103 later: transactions", Expected(("transactions",))),
        ("x later: ACLs, compaction: parts of it", Expected(("ACLs", "compaction"), remark="parts of it")),
        ("x never: by design: so it is", Expected(never=True, remark="by design: so it is")),
        ("x alone: too slow", Expected(alone=True, remark="too slow")),
    ],
)
def test_a_line_of_expectations(line: str, expected: Expected) -> None:
    assert parse_expected(line) == (line.partition(" ")[0], expected)
    assert expected.due_on(1) == (line.endswith(" now") or expected.alone)
    assert expected.due_on(3) == line.endswith(" now")
    assert str(expected) in line


@pytest.mark.parametrize(
    "line", ["0001", "0001 soon", "0001 later: magic", "0001 later: ACLs, magic: x", "0001 never: "]
)
def test_a_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(SystemExit, match=r"some\.txt: cannot read the line '0001.*expected NAME now"):
        parse_expected(line, "some.txt")


def test_results_keep_status_seconds_and_note(tmp_path: Path) -> None:
    file = tmp_path / "results.txt"
    file.write_text("0001 PASS 2.0\n0002 FAIL 1.5  # it said: no\n0003 SKIP 0.1/0.2\n1 passed, 1 failed, 1 skipped\n")
    assert scores.read_results(file) == {
        "0001": Result("PASS", "2.0", ""),
        "0002": Result("FAIL", "1.5", "it said: no"),
        "0003": Result("SKIP", "0.1/0.2", ""),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of conformance files for the suite librdkafka, with expectations for three tests."""
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected/librdkafka.txt").write_text("# comment\n0001 now\n0002 now\n0003 later: ACLs\n")
    (tmp_path / "librdkafka").write_text("npm_version=1 # carries librdkafka 2.99\n")
    monkeypatch.setattr(scores, "CONFORMANCE", tmp_path)
    return tmp_path


def test_a_record_replaces_what_ran_and_keeps_the_rest(folder: Path) -> None:
    scores.record("librdkafka", {"0002": Result("FAIL", "9", "x"), "0001": Result("PASS", "1", "")}, "2026-01-01")
    scores.record("librdkafka", {"0002": Result("PASS", "8", ""), "0099": Result("PASS", "1", "")}, "2026-01-02")
    assert scores.read_recorded("librdkafka") == {
        "0001": Recorded("PASS", "1", "2026-01-01"),
        "0002": Recorded("PASS", "8", "2026-01-02"),
    }, "a test that is not expected is not kept"
    assert "librdkafka 2.99 against Moldau" in (folder / "results/librdkafka.txt").read_text()


def test_what_several_brokers_scored_is_kept_beside_what_one_did(folder: Path) -> None:
    scores.record("librdkafka", {"0001": Result("PASS", "1", "")}, "2026-01-01")
    scores.record("librdkafka", {"0001": Result("FAIL", "2", "")}, "2026-01-02", 3)
    assert scores.read_recorded("librdkafka") == {"0001": Recorded("PASS", "1", "2026-01-01")}
    assert scores.read_recorded("librdkafka", 3) == {"0001": Recorded("FAIL", "2", "2026-01-02")}
    assert "run librdkafka --brokers 3 --record" in (folder / "results/librdkafka.3-brokers.txt").read_text()


def test_a_recorded_line_without_a_day_is_refused(folder: Path) -> None:
    (folder / "results").mkdir()
    (folder / "results/librdkafka.txt").write_text("0001 PASS 2.0\n")
    with pytest.raises(SystemExit, match="expected NAME STATUS SECONDS DAY"):
        scores.read_recorded("librdkafka")


def test_only_what_apache_kafka_fails_at_times_is_tried_again() -> None:
    failed = Result("FAIL", "1", "")
    results = {"flaky": failed, "steady": failed, "passed": Result("PASS", "1", ""), "slow": Result("TIMEOUT", "9", "")}
    baseline = {"flaky": "FLAKY", "steady": "PASS", "passed": "FLAKY", "slow": "FLAKY", "unrun": "FLAKY"}
    names = ["flaky", "steady", "passed", "slow", "unrun", "unknown"]
    assert worth_a_second_try(names, results, baseline) == ["flaky", "slow"]


@pytest.mark.parametrize(("second", "status"), [("PASS", "FLAKY"), ("FAIL", "FAIL"), ("SKIP", "SKIP")])
def test_two_tries(second: str, status: str) -> None:
    both = of_two_tries(Result("TIMEOUT", "9", "late"), Result(second, "2", ""))
    assert both == Result(status, "9/2", "first TIMEOUT: late")


@pytest.mark.parametrize("suite", scores.SUITES)
def test_the_files_of_a_suite_agree(suite: str) -> None:
    expected, baseline, recorded = scores.read_expected(suite), scores.read_baseline(suite), scores.read_recorded(suite)
    whole = {name for name in expected if ":" not in name}
    assert set(baseline) <= whole, "everything Apache Kafka was asked is expected or waited for"
    assert recorded.keys() <= expected.keys()
    assert scores.read_recorded(suite, 3).keys() <= expected.keys()
    assert {name.partition(":")[0] for name in expected} == whole, "a part belongs to a test"
    parts_of_due = [name for name in expected if ":" in name and expected[name.partition(":")[0]].due]
    assert not parts_of_due, "parts are for tests that are not due as a whole"
    assert scores.client_version(suite)


def test_the_gate_runs_steady_tests_that_are_due() -> None:
    gate = scores.read_gate()
    assert sum(map(len, gate.values())) >= 40
    for suite, names in gate.items():
        expected, baseline = scores.read_expected(suite), scores.read_baseline(suite)
        assert [name for name in names if name not in expected or not expected[name].due] == []
        assert [name for name in names if baseline.get(name, "PASS") != "PASS"] == []
        assert len(names) == len(set(names))
