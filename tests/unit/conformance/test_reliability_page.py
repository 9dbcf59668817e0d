"""The page about what was run names every fault and every anomaly, and counts truly."""

from __future__ import annotations

import re

from histories.anomaly import KINDS as ANOMALIES
from histories.faults import KINDS as FAULTS

from tools.docs import reliability


def run(seed: int, cluster: str = "single", **wrong: int) -> dict[str, object]:
    of_all = {"day": "2026-01-02", "brokers": 1, "seconds": 30.0, "faults": {"kill": 2, "pause": 1}, "records": 1000}
    return {**of_all, "read": 2000, "operations": 500, "seed": seed, "cluster": cluster, "wrong": wrong}


def test_every_fault_and_anomaly_has_its_line() -> None:
    text = reliability.PAGE.read_text("utf-8")
    assert set(re.findall(r"`([a-z]+(?:-[a-z0-9]+)?)`", text)) >= set(FAULTS)
    for name, meaning in ANOMALIES.items():
        assert f"| {name} | {meaning} |" in text
    assert len(re.findall(r"(?m)^\| [a-z -]+ \|", text)) >= len(ANOMALIES)


def test_runs_are_summed() -> None:
    text = reliability.histories([run(1), run(2), run(3), run(7, trouble=2), run(4, "minio")])
    assert "| one broker, embedded stores | 1 | 4 | 2.0 | 12 | 4,000 | 8,000 | 2,000 | 2 trouble | 1-3, 7 |" in text
    assert "| PostgreSQL, MinIO | 1 | 1 | 0.5 | 3 | 1,000 | 2,000 | 500 | none | 4 |" in text
    assert "| **all** | | 5 | 2.5 | 15 | 5,000 | 10,000 | 2,500 | 2 trouble | |" in text
    assert text.endswith("Run on 2026-01-02. Faults: 10 kill, 5 pause.")


def test_schedules_are_summed() -> None:
    line = {"day": "2026-01-02", "of": "log", "first": 5, "schedules": 1500, "seconds": 1.0, "broken": 0}
    text = reliability.schedules([line, {**line, "of": "groups", "broken": 1}])
    assert text.splitlines()[2:] == [
        "| log | 1,500 | 5 | none | 2026-01-02 |",
        "| groups | 1,500 | 5 | 1 | 2026-01-02 |",
        "| **all** | 3,000 | | 1 | |",
    ]
