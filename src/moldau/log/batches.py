"""Whole batches in buffers as they come from the log, seen one by one without copies: where they are, and what a reader must not be given."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from moldau.records.batch import CONTROL_BIT, HEADER_BYTES, LENGTH_END, TRANSACTIONAL_BIT

from .transactions import AbortedRange

_HEAD = Struct(">qi9xhi16xq")
"""Base offset, length, attributes, last offset delta, producer id."""
_head = _HEAD.unpack_from

Buffer = bytes | bytearray | memoryview


class Batch(NamedTuple):
    """A batch lies at `position` of buffer number `buffer`. `hidden`: it is a marker, or was aborted."""

    first: int
    last: int
    buffer: int
    position: int
    size: int
    hidden: bool


def batches_of(buffers: Sequence[Buffer], aborted: Sequence[AbortedRange]) -> list[Batch]:
    """All batches, in order; those that lie in `aborted` are hidden."""
    found = []
    for number, buffer in enumerate(buffers):
        position, end = 0, len(buffer)
        while end - position >= HEADER_BYTES:
            base, length, attributes, delta, producer_id = _head(buffer, position)
            size = length + LENGTH_END
            hidden = bool(attributes & CONTROL_BIT)
            if aborted and attributes & TRANSACTIONAL_BIT and not hidden:
                hidden = any(
                    each.producer_id == producer_id and each.first_offset <= base <= each.last_offset
                    for each in aborted
                )
            found.append(Batch(base, base + delta, number, position, size, hidden))
            position += size
    return found


def cut(buffers: Sequence[Buffer], batches: Sequence[Batch], first: int, last: int) -> list[Buffer]:
    """The bytes of the batches that hold offsets from `first` to `last`, with all that lie between."""
    wanted = [batch for batch in batches if batch.last >= first and batch.first <= last]
    if not wanted:
        return []
    begin, end = wanted[0], wanted[-1]
    parts: list[Buffer] = []
    for number in range(begin.buffer, end.buffer + 1):
        buffer = buffers[number]
        start = begin.position if number == begin.buffer else 0
        stop = end.position + end.size if number == end.buffer else len(buffer)
        parts.append(buffer if start == 0 and stop == len(buffer) else memoryview(buffer)[start:stop])
    return parts
