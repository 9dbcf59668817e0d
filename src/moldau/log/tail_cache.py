"""The newest batches of all partitions, in memory: most consumers read what was just written.

Batches are the very buffers that came from the socket, patched with their offsets; a fetch sends them again without a copy. The
cache is one queue over all views: what came first goes first, so the oldest batch of a view always goes before its younger ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

from moldau.records.batch import BatchHeader

from .view import PartitionView

_OVERHEAD_BYTES = 160
"""Counted for each batch beyond its bytes: list slots, object heads."""
_COMPACT_AT = 512

Batch = bytes | bytearray | memoryview


class TailCache:
    """`capacity_bytes` bounds what all views hold together."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0
        # the views, and how much each counts, in step: pairs would be objects for the collector to look at
        self._queue: deque[PartitionView] = deque()
        self._sizes: deque[int] = deque()

    def add(self, view: PartitionView, base_offset: int, batch: Batch) -> None:
        """The batch at `base_offset` was just published in `view`."""
        size = len(batch) + _OVERHEAD_BYTES
        view.cache_bases.append(base_offset)
        view.cache_batches.append(batch)
        self._queue.append(view)
        self._sizes.append(size)
        self.held_bytes += size
        while self.held_bytes > self.capacity_bytes:
            self._evict()

    def _evict(self) -> None:
        view = self._queue.popleft()
        self.held_bytes -= self._sizes.popleft()
        if view.dropped:
            return
        view.cache_batches[view.cache_head] = b""
        view.cache_head += 1
        if view.cache_head >= _COMPACT_AT and view.cache_head * 2 >= len(view.cache_bases):
            del view.cache_bases[: view.cache_head], view.cache_batches[: view.cache_head]
            view.cache_head = 0

    def read(
        self, view: PartitionView, offset: int, max_bytes: int, first_whole: bool
    ) -> tuple[list[Batch], int] | None:
        """Whole batches from the one that holds `offset`, at most `max_bytes` (the first may exceed it if `first_whole`).

        None when `offset` is older than what is held. ([], 0) when the first batch does not fit.
        """
        bases = view.cache_bases
        head = view.cache_head
        if head == len(bases) or offset < bases[head] or offset < view.cache_floor:
            self.misses += 1
            return None
        self.hits += 1
        at = bisect_right(bases, offset, head) - 1
        batches = view.cache_batches
        taken: list[Batch] = []
        total = 0
        end = len(bases)
        while at < end:
            batch = batches[at]
            total += len(batch)
            if total > max_bytes and (taken or not first_whole):
                total -= len(batch)
                break
            taken.append(batch)
            at += 1
        return taken, total

    def forget(self, view: PartitionView) -> None:
        """The view is dropped: let go of its bytes now; its queue entries drain as they come up."""
        view.cache_batches.clear()
        view.cache_bases.clear()
        view.cache_head = 0
        view.dropped = True


def header_at(batch: Batch) -> BatchHeader:
    """The header of a cached batch."""
    return BatchHeader(batch, 0)
