"""How long things take, counted in buckets that double: two list look-ups and a shift for each observation."""

from __future__ import annotations

BUCKETS = 24
"""The first ends at 16 us, each next one at twice that; the last is open, the one before ends at 69 s."""
_SHIFT = 14


class Histogram:
    """Durations. Written by one thread at a time, read by any."""

    __slots__ = ("buckets", "count", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.buckets = [0] * BUCKETS

    def observe(self, took_ns: int) -> None:
        """Something took so long."""
        self.count += 1
        self.total_ns += took_ns
        bucket = (took_ns >> _SHIFT).bit_length()
        self.buckets[bucket if bucket < BUCKETS else BUCKETS - 1] += 1


def bound_seconds(bucket: int) -> float:
    """Where a bucket ends; not for the last one."""
    return float((1 << bucket) << _SHIFT) / 1e9
