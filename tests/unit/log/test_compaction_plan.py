"""When a partition is due, and up to where."""

from __future__ import annotations

import pytest

from moldau.log.compaction_plan import NEVER, CompactionRule, plan
from moldau.metadata.rows import KIND_WAL, Extent

NOW = 1_000_000
RULE = CompactionRule(
    delete_retention_ms=0, min_ratio=0.5, min_lag_ms=0, max_lag_ms=NEVER, min_age_ms=1000, segment_bytes=1 << 20
)


def extents(*ages: int, timestamp_age: int | None = None) -> list[Extent]:
    """Of 10 offsets and 100 bytes each, appended so long ago."""
    made = []
    for n, age in enumerate(ages):
        stamp = NOW - (age if timestamp_age is None else timestamp_age)
        made.append(Extent(1, n * 10, n * 10 + 9, n, 0, 100, stamp, stamp, 10, 0, KIND_WAL, NOW - age))
    return made


@pytest.mark.parametrize(
    ("total", "due"), [(300, True), (599, True), (600, False), (10_000, False)], ids=["all", "more", "half", "little"]
)
def test_the_dirty_part_decides(total: int, due: bool) -> None:
    made = plan(extents(9000, 8000, 7000), total, 0, 1 << 40, RULE, NOW)
    assert (made.end, made.due, made.dirty_bytes) == (30, due, 300)


def test_nothing_young_or_unstable_is_touched() -> None:
    made = plan(extents(9000, 1000, 999), 300, 0, 1 << 40, RULE, NOW)
    assert (made.end, made.look_at) == (20, NOW + 1)
    assert plan(extents(9000, 8000, 7000), 300, 0, 25, RULE, NOW).end == 20
    assert not plan(extents(9000), 100, 0, 5, RULE, NOW).due
    assert not plan([], 100, 0, 5, RULE, NOW).due


def test_lags() -> None:
    late = RULE._replace(min_lag_ms=8500)
    made = plan(extents(9000, 8000, 7000), 300, 0, 1 << 40, late, NOW)
    assert (made.end, made.look_at) == (10, NOW + 500)
    overdue = RULE._replace(max_lag_ms=9000)
    assert plan(extents(9000, 8000), 10_000, 0, 1 << 40, overdue, NOW).due
    soon = plan(extents(8000), 10_000, 0, 1 << 40, overdue, NOW)
    assert (soon.due, soon.look_at) == (False, NOW + 1000)
    assert plan(extents(2000, timestamp_age=9000), 10_000, 0, 1 << 40, overdue, NOW).due, "by its records' time"
