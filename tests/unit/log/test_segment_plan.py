"""The plan of the segment builder."""

from __future__ import annotations

import random

from moldau.log.segment_plan import FIRST_BYTES, NEVER, ROWS_MAX, SETTLE_MS, BuildRule, Plan, Run, plan
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL, Extent

KIB = 1 << 10
RULE = BuildRule(large_bytes=768 * KIB, segment_bytes=8 << 20, min_age_ms=1000, roll_ms=1 << 40)
LATE = 1 << 30


def log(*lengths: int, kind: int = KIND_INLINE, appended_at: int = 0, base: int = 0) -> list[Extent]:
    extents = []
    for length in lengths:
        extents.append(Extent(1, base, base + 9, 1, 0, length, 5, 5, 10, 0, kind, appended_at))
        base += 10
    return extents


def runs(extents: list[Extent], rule: BuildRule = RULE, now: int = LATE) -> list[tuple[int, int]]:
    """(number of the first extent, how many) of each run."""
    return [(extents.index(run.extents[0]), len(run.extents)) for run in plan(extents, rule, now, 0).runs]


def test_a_few_small_ones_wait() -> None:
    assert runs(log(*[100] * 50)) == []
    made = plan(log(*[100] * 50), RULE, LATE, 0)
    assert made.need_bytes == FIRST_BYTES - 5000
    assert made.settled == 0


def test_enough_small_ones_become_one() -> None:
    assert runs(log(*[100] * 170)) == [(0, 170)]


def test_a_merge_makes_the_largest_part_grow() -> None:
    assert runs(log(20 * KIB, *[10 * KIB] * 13)) == [(1, 13)], "the first part would not have grown eightfold"
    assert runs(log(20 * KIB, *[10 * KIB] * 14)) == [(0, 15)]
    assert plan(log(20 * KIB, 10 * KIB), RULE, LATE, 0).need_bytes == 70 * KIB


def test_a_complete_segment_is_worth_any_merge() -> None:
    assert runs(log(700 * KIB, 67 * KIB)) == []
    assert runs(log(700 * KIB, 68 * KIB)) == [(0, 2)]


def test_large_ones_stay_where_they_are() -> None:
    assert runs(log(*[1 << 20] * 10, kind=KIND_WAL)) == []
    assert plan(log(*[1 << 20] * 10, kind=KIND_WAL), RULE, LATE, 0).settled == 100


def test_what_is_between_large_ones_is_merged_as_it_is() -> None:
    assert runs(log(1 << 20, 100, 100, 1 << 20, 100, 100)) == [(1, 2)]


def test_what_is_young_is_left_alone() -> None:
    old, young = log(*[100] * 170), log(*[100] * 170, appended_at=5000, base=1700)
    assert runs(old + young, now=5500) == [(0, 170)]
    assert runs(young, now=5999) == []
    assert plan(young, RULE, 5999, 1700).look_at == 6000
    assert plan(young, RULE, 5999, 1700).settled == 1700
    assert runs(young, now=6000) == [(0, 170)]
    between = log(1 << 20) + log(50, 50, 1 << 20, base=10, appended_at=5000)
    made = plan(between, RULE, 5500, 0)
    assert (made.runs, made.settled, made.look_at) == ([], 10, 6000)
    assert runs(between, now=6000) == [(1, 2)]


def test_a_gap_or_another_epoch_is_a_border() -> None:
    first, second = log(*[100] * 100), log(*[100] * 100, base=5000)
    assert runs(first + second) == [(0, 100)], "nothing can join the first ones any more"
    second = log(*[100] * 100, base=1000)
    for extent in second:
        extent.leader_epoch = 1
    assert runs(first + second) == [(0, 100)]


def test_periods_are_borders_and_end() -> None:
    rule = BuildRule(768 * KIB, 8 << 20, 1000, 10_000)
    first, second = log(*[100] * 3, appended_at=9_999), log(*[100] * 3, appended_at=10_000, base=30)
    assert runs(first + second, rule, 15_000) == [(0, 3)]
    assert plan(second, rule, 15_000, 30).look_at == 21_000
    assert runs(second, rule, 20_999) == []
    assert runs(second, rule, 21_000) == [(0, 3)]
    assert plan(log(3000, appended_at=0), rule, 20_000, 0).settled == 10


def test_small_pieces_of_write_ahead_blobs_do_not_pin_them_for_ever() -> None:
    extents = log(200, 200) + log(300, 400, kind=KIND_WAL, base=20)
    assert runs(extents, now=SETTLE_MS - 1) == []
    assert plan(extents, RULE, SETTLE_MS - 1, 0).look_at == SETTLE_MS
    assert runs(extents, now=SETTLE_MS) == [(0, 4)]
    assert runs(log(1 << 20, 300, 1 << 20, kind=KIND_WAL)) == [(1, 1)]


def test_caps() -> None:
    assert runs(log(*[200] * (2 * ROWS_MAX + 70))) == [(0, ROWS_MAX), (ROWS_MAX, ROWS_MAX)]
    rule = BuildRule(large_bytes=1 << 40, segment_bytes=100 * KIB, min_age_ms=0, roll_ms=1 << 40)
    assert rule.large_bytes == 100 * KIB
    assert runs(log(*[30 * KIB] * 7), rule) == []
    assert runs(log(*[10 * KIB] * 25), rule) == [(0, 10), (10, 10)]


def test_spoiled_extents_are_left_where_they_are() -> None:
    extents = log(*[1000] * 40)
    made = plan(extents, RULE, LATE, 0, {199})
    assert [(run.extents[0].base_offset, run.extents[-1].last_offset) for run in made.runs] == [(0, 189), (200, 399)]


def test_where_the_bytes_go() -> None:
    assert Run(log(*[100] * 170), last=False).inline
    assert not Run(log(*[1000] * 132), last=False).inline
    assert Run(log(*[100] * 100), last=True).inline
    assert not Run(log(*[100] * 170), last=True).inline
    assert runs(log(1 << 20, 20 * KIB, 1 << 20)) == [(1, 1)], "alone for ever, and too large to stay in the database"
    assert runs(log(1 << 20, 2 * KIB, 1 << 20)) == []


def grow(lengths: list[int], rule: BuildRule, steps: int = 1) -> tuple[list[Extent], dict[int, int], int]:
    """Append extents, planning and merging after each few; (what is left, writes of each offset, looks)."""
    extents: list[Extent] = []
    writes: dict[int, int] = {}
    settled = looks = 0
    for number, length in enumerate(lengths):
        extents.append(Extent(1, number, number, 1, 0, length, 5, 5, 1, 0, KIND_INLINE, number))
        if number % steps:
            continue
        while True:
            looks += 1
            made: Plan = plan([e for e in extents if e.last_offset >= settled], rule, number + rule.min_age_ms, settled)
            assert made.settled >= settled
            for run in made.runs:
                first, last = run.extents[0], run.extents[-1]
                at = extents.index(first)
                assert extents[at : at + len(run.extents)] == run.extents
                kind = KIND_INLINE if run.inline else KIND_SEGMENT
                one = Extent(
                    1, first.base_offset, last.last_offset, 2, 0, run.length, 5, 5, 1, 0, kind, last.appended_at
                )
                extents[at : at + len(run.extents)] = [one]
                for offset in range(first.base_offset, last.last_offset + 1):
                    writes[offset] = writes.get(offset, 0) + 1
            if not made.runs:
                settled = made.settled
                break
    return extents, writes, looks


def test_no_byte_is_written_more_than_three_times_and_rows_stay_few() -> None:
    rng = random.Random(5)
    for smallest, largest in ((70, 71), (70, 2000), (100, 30_000), (3_000, 300_000), (70, 900_000)):
        lengths = [rng.randrange(smallest, largest) for _ in range(1500)]
        for steps in (7, 60):
            extents, writes, _ = grow(lengths, RULE, steps)
            assert max(writes.values()) <= 3
            total = sum(lengths)
            large = sum(length >= RULE.large_bytes for length in lengths)
            assert len(extents) <= total / RULE.large_bytes + 2 * large + 300, (smallest, steps)


def test_a_look_says_how_long_it_need_not_be_repeated() -> None:
    """Until that many bytes came, no other plan is made."""
    extents = log(*[150] * 60)
    made = plan(extents, RULE, LATE, 0)
    base = 600
    while sum(e.length for e in extents[60:]) + 150 < made.need_bytes:
        extents += log(150, base=base)
        base += 10
        assert runs(extents) == []
    extents += log(150, base=base)
    assert runs(extents) == [(0, len(extents))]
    assert made.look_at < NEVER
