"""What readers of committed records get (`isolation.level=read_committed`, KIP-98): whole batches below the last stable offset, and which transactions
in them were aborted. They drop those batches themselves, by producer id, from the first offset of the range to its marker.

The last stable offset is where a batch begins. Bytes are read as for anybody and then cut there: it lies near the end of the log, where they
are in memory.
"""

from __future__ import annotations

from struct import Struct

from moldau.records.batch import LENGTH_END, offset_span

from .transactions import AbortedRange
from .view import PartitionView

_base_and_length = Struct(">qi").unpack_from
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


def aborted_in(view: PartitionView, buffers: list[Buffer]) -> list[AbortedRange]:
    """What was aborted in these batches, which follow one another."""
    transactions = view.producers.transactions
    if not transactions.aborted or not buffers:
        return []
    start = _base_and_length(buffers[0])[0]
    return transactions.aborted_in(start, start + offset_span(buffers[0], buffers[-1]))
