"""Which extents become one: the plan of the segment builder. Pure.

Sketch. A merge is worth it when it makes what it merges grow: the whole must be at least `GROWTH` (8) times the largest part and at
least `FIRST_BYTES` (16 KiB), or it completes a segment (`large_bytes`, 768 KiB), which is never merged again. So a byte is written into
16 KiB or more the first time, into 128 KiB or more the second, and the third time it is in a complete segment: write amplification of the
builder is at most 3, and 1 where data come fast enough to complete a segment at once. A batch has at least 70 bytes, so at most 234
extents of a partition wait for their first merge; then one row stands for 16 KiB, and for 768 KiB when it is complete: 1,365 rows per GiB.

What cannot grow any more is merged as it is, once (one more write): extents between two that are complete, and those of a `roll_ms`
period of append time that is over (segments do not reach across periods, so that retention by time stays close to the records' age).
Small pieces of a write-ahead blob, which would keep the whole blob on disk, are moved after `SETTLE_MS` (one more write, too).

Extents younger than `min_age_ms` are left alone: their commit may still be in doubt, and readers at the end have them in memory anyway.
"""

from __future__ import annotations

from collections.abc import Collection

from moldau.metadata.rows import KIND_INLINE, KIND_WAL, Extent

GROWTH = 8
FIRST_BYTES = 16 << 10
INLINE_BYTES = 128 << 10
"""What is merged into less than this stays in the metadata store; ten thousand slow partitions are not as many small files."""
ROWS_MAX = 256
"""Extents in one merge at most: its transaction holds up producers for about a millisecond."""
SETTLE_MS = 600_000
NEVER = 1 << 62
_OFFSETS_MAX = 2**31 - 1


class BuildRule:
    """How a partition's extents are merged. `segment_bytes` bounds one segment, `roll_ms` its span of append time."""

    __slots__ = ("large_bytes", "min_age_ms", "roll_ms", "segment_bytes")

    def __init__(self, large_bytes: int, segment_bytes: int, min_age_ms: int, roll_ms: int) -> None:
        self.segment_bytes = max(1, segment_bytes)
        self.large_bytes = max(1, min(large_bytes, self.segment_bytes))
        self.min_age_ms = min_age_ms
        self.roll_ms = max(1, roll_ms)


class Run:
    """Neighbours that become one. `last` says that nothing will ever join them."""

    __slots__ = ("extents", "last", "length")

    def __init__(self, extents: list[Extent], last: bool) -> None:
        self.extents = extents
        self.last = last
        self.length = sum(extent.length for extent in extents)

    @property
    def inline(self) -> bool:
        """Whether the bytes stay in the metadata store, because a file of their own would be too small."""
        return self.length < (FIRST_BYTES if self.last else INLINE_BYTES)


class Plan:
    """`runs` may be merged now, each into one. Everything below `settled` stays as it is for ever.

    Without runs, another look is worth it when `need_bytes` more have been appended, or at `look_at`.
    """

    __slots__ = ("look_at", "need_bytes", "runs", "settled")

    def __init__(self, settled: int) -> None:
        self.runs: list[Run] = []
        self.settled = settled
        self.need_bytes = 1
        self.look_at = NEVER


def plan(extents: list[Extent], rule: BuildRule, now: int, settled: int, spoiled: Collection[int] = ()) -> Plan:
    """The plan for a partition whose extents from `settled` on are given, in order, up to its end (or to a limit).

    `spoiled` are last offsets of extents that must be left as they are.
    """
    made = Plan(settled)
    windows = _windows(extents, rule, spoiled)
    unsettled = -1
    for number, window in enumerate(windows):
        period_ends = (window[0].appended_at // rule.roll_ms + 1) * rule.roll_ms + rule.min_age_ms
        runs = len(made.runs)
        is_open = number == len(windows) - 1 and window[-1] is extents[-1] and period_ends > now
        if is_open:
            _open(window, made, rule, now)
            made.look_at = min(made.look_at, period_ends)
        elif window[-1].appended_at > now - rule.min_age_ms:
            made.look_at = min(made.look_at, window[-1].appended_at + rule.min_age_ms)
        else:
            _closed(window, made, rule)
            is_open = len(made.runs) > runs
        if is_open or window[-1].appended_at > now - rule.min_age_ms:
            unsettled = window[0].base_offset if unsettled < 0 else unsettled
    if unsettled >= 0:
        made.settled = unsettled
    elif extents:
        made.settled = extents[-1].last_offset + 1
    return made


def _windows(extents: list[Extent], rule: BuildRule, spoiled: Collection[int]) -> list[list[Extent]]:
    """Neighbours that may be merged with one another: small, without a gap, of one leader epoch and one period."""
    windows: list[list[Extent]] = []
    last: Extent | None = None
    for extent in extents:
        if extent.length >= rule.large_bytes or extent.last_offset in spoiled:
            last = None
            continue
        if (
            last is not None
            and last.last_offset + 1 == extent.base_offset
            and last.leader_epoch == extent.leader_epoch
            and last.appended_at // rule.roll_ms == extent.appended_at // rule.roll_ms
            and extent.last_offset - windows[-1][0].base_offset <= _OFFSETS_MAX
        ):
            windows[-1].append(extent)
        else:
            windows.append([extent])
        last = extent
    return windows


def _closed(window: list[Extent], made: Plan, rule: BuildRule) -> None:
    """Nothing can join any more: merge all of it, as far as one segment reaches."""
    at = 0
    while at < len(window):
        end, total = at, 0
        while end < min(len(window), at + ROWS_MAX) and total + window[end].length <= rule.segment_bytes:
            total += window[end].length
            end += 1
        end = max(end, at + 1)
        run = Run(window[at:end], last=True)
        if end - at > 1 or (window[at].kind == KIND_INLINE and not run.inline) or window[at].kind == KIND_WAL:
            made.runs.append(run)
        at = end


def _open(window: list[Extent], made: Plan, rule: BuildRule, now: int) -> None:
    """More may join: merge what grows enough, and say what is missing."""
    old = len(window)
    while old and window[old - 1].appended_at > now - rule.min_age_ms:
        old -= 1
    at = waiting = 0
    while at < old:
        end = _due(window, at, old, rule)
        if end:
            made.runs.append(Run(window[at:end], last=False))
            at = waiting = end
        else:
            at += 1
    left = window[waiting:]
    missing = _missing(left, rule)
    if missing <= 0:
        made.look_at = left[-1].appended_at + rule.min_age_ms
    made.need_bytes = max(1, missing)
    pinned = next((each for each in window[waiting:old] if each.kind == KIND_WAL), None)
    if pinned is not None:
        if pinned.appended_at <= now - SETTLE_MS:
            made.runs.append(Run(window[waiting:old][:ROWS_MAX], last=False))
        else:
            made.look_at = min(made.look_at, pinned.appended_at + SETTLE_MS)


def _due(window: list[Extent], at: int, old: int, rule: BuildRule) -> int:
    """Where the longest merge that begins at `at` and grows enough ends; 0 if there is none."""
    total = largest = end = 0
    for index in range(at, min(old, at + ROWS_MAX)):
        length = window[index].length
        total += length
        if total > rule.segment_bytes:
            break
        largest = max(largest, length)
        if index > at and (total >= rule.large_bytes or total >= max(FIRST_BYTES, GROWTH * largest)):
            end = index + 1
    return end


def _missing(left: list[Extent], rule: BuildRule) -> int:
    """Bytes without which no merge that reaches to the end is due; 0 or less if one is."""
    missing = rule.large_bytes
    total = largest = 0
    for extent in reversed(left):
        total += extent.length
        largest = max(largest, extent.length)
        missing = min(missing, max(FIRST_BYTES, GROWTH * largest) - total, rule.large_bytes - total)
    return missing
