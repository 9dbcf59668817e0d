"""The view of one partition: the fold over its extents that this broker keeps in memory.

A view is a cache (invariant 3). `next_offset` and `producers` run ahead of what is committed by the flushes in flight; everything
that readers see (`high_watermark`, `extents`) moves only when a commit is known. When a commit fails the view is dropped and
built anew from the store: nothing is ever taken back.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from moldau.metadata.rows import Extent, PartitionState

from . import fold, snapshot
from .producer_state import ProducerStates

TAIL_EXTENTS_MAX = 2048
"""Extents kept in memory by a view; older ones are queried."""


class PartitionView:
    """See the module's text. `tail_start` is the offset from which `extents` is complete."""

    __slots__ = (
        "appended_at",
        "bytes_total",
        "cache_bases",
        "cache_batches",
        "cache_floor",
        "cache_head",
        "dropped",
        "ending",
        "extents",
        "high_watermark",
        "hints",
        "last_offsets",
        "leader_epoch",
        "log_start_offset",
        "max_timestamp",
        "next_offset",
        "partition_id",
        "partition_index",
        "producers",
        "snapshot_offset",
        "tail_start",
        "topic_id",
        "waiters",
    )

    def __init__(self, state: PartitionState) -> None:
        """Raises ValueError for rows that contradict each other."""
        row = state.row
        self.partition_id = row.partition_id
        self.topic_id = row.topic_id
        self.partition_index = row.partition_index
        self.log_start_offset = row.log_start_offset
        self.leader_epoch = row.leader_epoch
        self.max_timestamp = row.max_timestamp
        self.bytes_total = row.bytes_total
        self.next_offset = self.high_watermark = row.end_offset
        self.producers: ProducerStates = snapshot.unpack(state.snapshot)
        self.extents: list[Extent] = []
        self.last_offsets: list[int] = []
        self.appended_at = 0
        self.waiters: set[Callable[[PartitionView], None]] = set()
        self.dropped = False
        self.ending: list[int] = []
        """Where transactions began whose ends are decided, and not stored yet."""
        # tail cache: base offsets and batches, the first `cache_head` of them evicted (see moldau.log.tail_cache)
        self.cache_bases: list[int] = []
        self.cache_batches: list[bytes | bytearray | memoryview] = []
        self.cache_head = 0
        self.cache_floor = 0  # below it batches of others lie between the cached ones, or compaction was here
        # where readers stopped inside an extent: offset -> (blob id, position), a few of them
        self.hints: dict[int, tuple[int, int]] = {}
        self.tail_start = self.snapshot_offset = state.snapshot_offset
        expected = -1
        for extent in state.extents:
            if extent.base_offset != expected and expected >= 0:
                raise ValueError(f"nothing is at {expected}, the next extent begins at {extent.base_offset}")
            self._fold(extent, state.snapshot_offset)
            expected = extent.last_offset + 1
        self.producers.transactions.prune(row.log_start_offset)
        if (max(row.log_start_offset, state.snapshot_offset) if expected < 0 else expected) != row.end_offset:
            raise ValueError(f"the log ends at {row.end_offset}, its last extent at {expected}")

    @property
    def last_stable_offset(self) -> int:
        """Below it no transaction is open, and the end of none is on its way to the disk."""
        first = self.producers.transactions.first_open
        if self.ending:
            first = min(self.ending) if first < 0 else min(first, *self.ending)
        if first < 0:
            return self.high_watermark
        return min(self.high_watermark, max(first, self.log_start_offset))

    def _fold(self, extent: Extent, from_offset: int) -> None:
        self._fold_entries(extent, from_offset)
        self._keep(extent)

    def _fold_entries(self, extent: Extent, from_offset: int) -> None:
        if extent.fold:
            for entry in fold.unpack(extent.fold):
                if extent.base_offset + entry[4] >= from_offset:
                    self.producers.apply(entry, extent.base_offset, extent.appended_at)

    def _keep(self, extent: Extent) -> None:
        extents = self.extents
        if not extents:
            self.tail_start = min(self.tail_start, extent.base_offset) if self.tail_start else extent.base_offset
        extents.append(extent)
        self.last_offsets.append(extent.last_offset)
        self.appended_at = extent.appended_at
        if len(extents) > TAIL_EXTENTS_MAX:
            half = TAIL_EXTENTS_MAX // 2
            self.tail_start = self.extents[half].base_offset
            del self.extents[:half], self.last_offsets[:half]

    def publish(self, extent: Extent) -> None:
        """A commit of ours is known: readers may see it. Its producers were folded when it was decided."""
        self._keep(extent)
        self.high_watermark = extent.last_offset + 1
        self.max_timestamp = extent.running_max_timestamp
        self.bytes_total += extent.length
        if self.waiters:
            for waiter in tuple(self.waiters):
                waiter(self)

    def mark(self, marker: Extent) -> None:
        """A marker that was written for us lies at our end, and nothing of ours is in flight (or loses its race)."""
        self._fold_entries(marker, 0)
        self.next_offset = marker.last_offset + 1
        self.publish(marker)

    def catch_up(self, extents: list[Extent]) -> None:
        """Other brokers wrote these, from our end on without a gap, and nothing of ours is in flight."""
        for extent in extents:
            self._fold(extent, 0)
            self.bytes_total += extent.length
        last = extents[-1]
        self.next_offset = self.high_watermark = self.cache_floor = last.last_offset + 1
        self.max_timestamp = last.running_max_timestamp
        for waiter in tuple(self.waiters):
            waiter(self)

    def find(self, offset: int) -> int:
        """Index in `extents` of the first extent that ends at or after `offset` (may be one past the last)."""
        return bisect_left(self.last_offsets, offset)

    def replace_tail(self, new: Extent) -> None:
        """The rows of its offsets were swapped for this one with the same batches. Where readers were in the old ones is not asked for again. Where the tail began
        among them, or right above, it begins with this one.
        """
        first, last = new.base_offset, new.last_offset
        if last + 1 < self.tail_start:
            return
        self.tail_start = min(self.tail_start, first)
        low, high = self.find(first), self.find(last + 1)
        self.extents[low:high] = [new]
        self.last_offsets[low:high] = [last]

    def appended_from(self, offset: int) -> int:
        """When the extent that holds the offset was appended, or the first one above; -1 if that is not in memory."""
        at = self.find(offset)
        return self.extents[at].appended_at if offset >= self.tail_start and at < len(self.extents) else -1

    def bytes_from(self, offset: int) -> int:
        """Of the extents in memory that end at or after the offset."""
        return sum([extent.length for extent in self.extents[self.find(offset) :]])

    @property
    def unsnapshotted(self) -> int:
        """Extents that a rebuilt view would have to fold (at least; the tail in memory is bounded)."""
        return len(self.extents) - self.find(self.snapshot_offset)

    def raise_log_start(self, log_start_offset: int) -> None:
        """The log now begins there. Readers below it are told by their next fetch."""
        if log_start_offset > self.log_start_offset:
            self.log_start_offset = log_start_offset
            self.producers.transactions.prune(log_start_offset)
            keep = self.find(log_start_offset)
            if keep:
                del self.extents[:keep], self.last_offsets[:keep]
            self.tail_start = max(self.tail_start, log_start_offset)
            if self.waiters:
                for waiter in tuple(self.waiters):
                    waiter(self)
