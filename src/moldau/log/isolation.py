"""What readers of committed records get (`isolation.level=read_committed`, KIP-98): whole batches below the last stable offset, and which transactions
in them were aborted. They drop those batches themselves, by producer id, from the first offset of the range to its marker.

Compaction takes away what was aborted, and later the markers. So a range is told only where its marker or a batch of it is there: who was told of one and met no
marker would drop what the producer committed next. Where a batch is there and its marker is not, because the bytes were read from rows of different
times, the answer ends with the range: a consumer remembers nothing of it beyond one answer.

The last stable offset is where a batch begins. Bytes are read as for anybody and then cut there: it lies near the end of the log, where they
are in memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from struct import Struct

from moldau.records.batch import CONTROL_BIT, LENGTH_END, TRANSACTIONAL_BIT

from .transactions import AbortedRange
from .view import PartitionView

_base_and_length = Struct(">qi").unpack_from
_facts = Struct(">qi9xhi16xq").unpack_from
"""Base offset, length, attributes, last offset delta, producer id of a batch's header."""
_first_offset = attrgetter("first_offset")
Buffer = bytes | bytearray | memoryview
Found = tuple[list[Buffer], int]
"""Buffers, and their bytes."""


def below(found: Found, end: int) -> Found:
    """The batches that begin below `end`. Walks only the buffers that reach beyond, and the one before."""
    buffers, total = found
    kept = list(buffers)
    while kept:
        last = kept.pop()
        size = _size_below(last, end)
        if size:
            return [*kept, last if size == len(last) else memoryview(last)[:size]], total - len(last) + size
        total -= len(last)
    return [], 0


def _size_below(buffer: Buffer, end: int) -> int:
    size, whole = 0, len(buffer)
    while size < whole:
        base, length = _base_and_length(buffer, size)
        if base >= end:
            break
        size += length + LENGTH_END
    return size


class Seen:
    """What stands in the headers of batches from `start` to `end`: base offsets of transactional ones by producer id, and (producer id, offset) of markers."""

    __slots__ = ("data", "end", "markers", "start")

    def __init__(self) -> None:
        self.start = self.end = -1
        self.data: dict[int, list[int]] = {}
        self.markers: set[tuple[int, int]] = set()


def seen_in(buffers: Iterable[Buffer]) -> Seen:
    """Walks whole batches that follow one another: half a microsecond each."""
    seen = Seen()
    for buffer in buffers:
        at, whole = 0, len(buffer)
        while at < whole:
            base, length, attributes, delta, producer_id = _facts(buffer, at)
            if seen.start < 0:
                seen.start = base
            seen.end = base + delta + 1
            if attributes & CONTROL_BIT:
                seen.markers.add((producer_id, base))
            elif attributes & TRANSACTIONAL_BIT:
                seen.data.setdefault(producer_id, []).append(base)
            at += length + LENGTH_END
    return seen


def told(
    view: PartitionView, buffers: list[Buffer], older: Iterable[AbortedRange] = ()
) -> tuple[list[Buffer], list[AbortedRange]]:
    """(what of these batches is given, what of it was aborted by first offset). `older`: what the view does not know (`aborted_rows.older_in`)."""
    transactions = view.producers.transactions
    if not buffers or not (transactions.aborted or older):
        return buffers, []
    seen = seen_in(buffers)
    ranges = {(each.producer_id, each.last_offset): each for each in older}
    for each in transactions.aborted_in(seen.start, seen.end):
        ranges[each.producer_id, each.last_offset] = each
    found = [each for each in ranges.values() if _is_marked(seen, each) or _holds(seen, each)]
    unmarked = [each.last_offset + 1 for each in found if not _is_marked(seen, each)]
    end = min(unmarked, default=seen.end)
    if end < seen.end:
        buffers = below((buffers, sum(map(len, buffers))), end)[0]
        found = [each for each in found if each.first_offset < end]
    found.sort(key=_first_offset)
    return buffers, found


def _is_marked(seen: Seen, aborted: AbortedRange) -> bool:
    return (aborted.producer_id, aborted.last_offset) in seen.markers


def _holds(seen: Seen, aborted: AbortedRange) -> bool:
    offsets = seen.data.get(aborted.producer_id)
    if offsets is None:
        return False
    at = bisect_left(offsets, aborted.first_offset)
    return at < len(offsets) and offsets[at] <= aborted.last_offset
