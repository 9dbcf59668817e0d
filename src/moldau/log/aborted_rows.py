"""What was aborted, as the rows tell it: for offsets below those that a view keeps ranges of (`Transactions.complete_from`).

A row's fold has, however often it was merged, of each producer its first and its last marker, and of each aborted transaction the batch that opened it
and its marker (`fold.merge`). So a look begins anywhere: the first marker that it meets of a producer ends what was open there, if anything was; of later ones
the opening batch is met, too, where they aborted something.
"""

from __future__ import annotations

from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL
from moldau.metadata.ports import LogStore
from moldau.metadata.rows import Extent

from . import fold
from .isolation import Buffer, seen_in
from .transactions import AbortedRange
from .view import PartitionView

_ROWS = 256


class AbortedScan:
    """`add` extents that follow one another. `found`: ranges whose markers they hold, which may begin too early, but never before the producer's
    marker before; `markers`: the last marker of each producer.
    """

    def __init__(self) -> None:
        self.found: list[AbortedRange] = []
        self.markers: dict[int, int] = {}
        self._open: dict[int, int] = {}
        self._begin = -1

    def add(self, extent: Extent) -> None:
        """The next one."""
        if self._begin < 0:
            self._begin = extent.base_offset
        for entry in fold.unpack(extent.fold):
            producer_id, offset, flags = entry[0], extent.base_offset + entry[4], entry[7]
            if flags & FLAG_MARKER:
                first = self._open.pop(producer_id, -1)
                if producer_id not in self.markers:
                    first = self._begin
                self.markers[producer_id] = offset
                if first >= 0 and not flags & FLAG_COMMIT:
                    self.found.append(AbortedRange(producer_id, first, offset, offset + 1))
            elif flags & FLAG_TRANSACTIONAL:
                self._open.setdefault(producer_id, offset)


async def between(store: LogStore, partition_id: int, start: int, end: int) -> list[AbortedRange]:
    """The ranges whose markers lie from the extent that holds `start` on to the one before `end`. Raises StoreError."""
    scan = AbortedScan()
    while start < end:
        extents = await store.extents_from(partition_id, start, _ROWS)
        for extent in extents:
            if extent.base_offset >= end:
                return scan.found
            scan.add(extent)
        if len(extents) < _ROWS:
            break
        start = extents[-1].last_offset + 1
    return scan.found


async def older_in(store: LogStore, view: PartitionView, buffers: list[Buffer]) -> list[AbortedRange]:
    """Of these batches, which follow one another, what may have been aborted, where some of that is not in the view's memory; nothing where all is there. Else
    it costs a query of 256 rows, and more of them until every producer's transaction has ended. Raises StoreError.
    """
    complete_from = view.producers.transactions.complete_from
    if not complete_from or not buffers:
        return []
    seen = seen_in(buffers)
    if seen.start >= complete_from:
        return []
    known = view.producers.transactions.aborted_in(seen.start, seen.end)  # as of now: it may forget them meanwhile
    waiting = {producer_id: offsets[-1] for producer_id, offsets in seen.data.items()}
    scan = AbortedScan()
    start = seen.start
    while waiting:
        extents = await store.extents_from(view.partition_id, start, _ROWS)
        for extent in extents:
            if not waiting or extent.base_offset >= complete_from:
                return known + scan.found
            scan.add(extent)
            waiting = {each: offset for each, offset in waiting.items() if scan.markers.get(each, -1) < offset}
        if len(extents) < _ROWS:
            break
        start = extents[-1].last_offset + 1
    return known + scan.found
