"""The transactions of one partition: which are open, and which ranges were aborted.

Pure, and part of the fold. As Kafka's ProducerStateManager and TransactionIndex, but in memory: the first offset of what is open is the
partition's last stable offset, and with each aborted range stands the last stable offset at the time its marker landed: whatever is aborted
later begins at or above it, so a look-up ends there (rule 10 of the metadata store).

Only the last `ABORTED_MAX` ranges are kept, 64 KiB of a snapshot: of older ones the rows tell (`aborted_rows`). Those whose records have been
compacted away are left out of snapshots.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from operator import attrgetter
from typing import NamedTuple

NONE_OPEN = -1
ABORTED_MAX = 2000


class AbortedRange(NamedTuple):
    """The producer's batches from `first_offset` up to its marker at `last_offset` were aborted. `last_stable_offset`: right after that."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


_last_offset = attrgetter("last_offset")
_first_offset = attrgetter("first_offset")


class Transactions:
    """`open`: producer id to first offset, in the order of those; `aborted`: in the order of the markers; ranges whose markers lie below
    `complete_from` may be missing there.
    """

    __slots__ = ("aborted", "complete_from", "open")

    def __init__(self) -> None:
        self.open: OrderedDict[int, int] = OrderedDict()
        self.aborted: list[AbortedRange] = []
        self.complete_from = 0

    @property
    def first_open(self) -> int:
        """The first offset of the oldest transaction that is open, or NONE_OPEN."""
        return next(iter(self.open.values())) if self.open else NONE_OPEN

    def begin(self, producer_id: int, first_offset: int) -> None:
        """A transactional batch lies there; it opens a transaction if none is."""
        if producer_id not in self.open:
            self.open[producer_id] = first_offset

    def end(self, producer_id: int, marker_offset: int, commit: bool) -> None:
        """A marker lies there. Without an open transaction it means nothing."""
        first_offset = self.open.pop(producer_id, None)
        if first_offset is not None and not commit:
            stable = self.first_open if self.open else marker_offset + 1
            self.aborted.append(AbortedRange(producer_id, first_offset, marker_offset, stable))
            if len(self.aborted) > ABORTED_MAX:
                self.complete_from = self.aborted[0].last_offset + 1
                del self.aborted[0]

    def aborted_in(self, start: int, end: int) -> list[AbortedRange]:
        """The ranges that reach into [start, end), by first offset. A seek, and what is found."""
        found = []
        aborted = self.aborted
        for index in range(bisect_left(aborted, start, key=_last_offset), len(aborted)):
            each = aborted[index]
            if each.first_offset < end:
                found.append(each)
            if each.last_stable_offset >= end:
                break
        found.sort(key=_first_offset)
        return found

    def prune(self, offset: int) -> None:
        """Nobody reads below that any more, or what was aborted there is gone."""
        aborted = self.aborted
        if aborted and aborted[0].last_offset < offset:
            del aborted[: bisect_left(aborted, offset, key=_last_offset)]
        if self.complete_from <= offset:
            self.complete_from = 0
