"""When a partition is compacted, and up to where. Pure.

As Kafka's LogCleanerManager: what lies between the last cleaned offset and the first that may not be cleaned yet is *dirty*. A run is due when
the dirty part of all bytes below its end is larger than `min.cleanable.dirty.ratio`, or when its oldest record has waited for
`max.compaction.lag.ms`. May not be cleaned: what lies above the last stable offset, what is younger than `min.compaction.lag.ms` by its newest
timestamp, and the end of the log, which Kafka calls the active segment: here those extents that were appended less than `min_age_ms` ago, whose commits
may still be in doubt.
"""

from __future__ import annotations

from typing import NamedTuple

from moldau.metadata.rows import Extent

NEVER = 1 << 62


class CompactionRule(NamedTuple):
    """What a topic says of its compaction; times are in milliseconds. `roll_ms`: an extent spans no more than one such period (NEVER: any
    number), because retention drops extents as a whole, too.
    """

    delete_retention_ms: int
    min_ratio: float
    min_lag_ms: int
    max_lag_ms: int
    min_age_ms: int
    segment_bytes: int
    roll_ms: int = NEVER


class CompactionPlan:
    """`due`: compact everything below `end` now. Else look again when the partition has grown, or at `look_at`."""

    __slots__ = ("dirty_bytes", "due", "end", "look_at", "ratio")

    def __init__(self, end: int) -> None:
        self.end = end
        self.dirty_bytes = 0
        self.ratio = 0.0
        self.due = False
        self.look_at = NEVER


def plan(
    extents: list[Extent], bytes_total: int, cleaned_to: int, stable: int, rule: CompactionRule, now: int
) -> CompactionPlan:
    """The plan for a partition of `bytes_total` bytes, whose extents from `cleaned_to` on are given, in order, to its end.

    `stable` is its last stable offset.
    """
    made = CompactionPlan(cleaned_to)
    clean_bytes = bytes_total - sum(extent.length for extent in extents)
    oldest = NEVER
    for extent in extents:
        if extent.last_offset >= stable:
            break
        if extent.appended_at > now - rule.min_age_ms:
            made.look_at = extent.appended_at + rule.min_age_ms
            break
        newest = extent.max_timestamp if extent.max_timestamp >= 0 else extent.appended_at
        if rule.min_lag_ms > 0 and newest > now - rule.min_lag_ms:
            made.look_at = newest + rule.min_lag_ms
            break
        if oldest == NEVER:
            oldest = min(newest, extent.appended_at)
        made.dirty_bytes += extent.length
        made.end = extent.last_offset + 1
    if made.end > cleaned_to:
        made.ratio = made.dirty_bytes / max(1, made.dirty_bytes + max(0, clean_bytes))
        made.due = made.ratio > rule.min_ratio or oldest + rule.max_lag_ms <= now
        if not made.due:
            made.look_at = min(made.look_at, oldest + rule.max_lag_ms)
    return made
