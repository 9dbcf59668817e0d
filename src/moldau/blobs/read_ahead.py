"""How far ahead of a reader that goes through a blob its bytes are fetched. Pure.

A read goes on from an earlier one when it begins inside it, or where it ended, but not where it began (readers take whole batches, and what was cut
off is read again). It is worth fetching as much again as the reader has read so far, at most `AHEAD_BYTES_MAX`: who reads once costs nothing, who
goes through a segment soon waits for nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

AHEAD_BYTES_MAX: Final = 4 << 20
READERS_MAX: Final = 1024
"""Readers that are remembered; the one that has not read for longest is forgotten."""


class ReadAhead:
    """`read` for each read."""

    __slots__ = ("_ahead_bytes_max", "_block_bytes", "_seen")

    def __init__(self, block_bytes: int, ahead_bytes_max: int = AHEAD_BYTES_MAX) -> None:
        self._block_bytes = block_bytes
        self._ahead_bytes_max = min(ahead_bytes_max, AHEAD_BYTES_MAX)
        self._seen: OrderedDict[tuple[int, int], tuple[int, int, int]] = OrderedDict()
        # (blob id, block where a reader's last read ended) -> (where that began, where it ended, all that he read)

    def read(self, blob_id: int, position: int, length: int) -> int:
        """That range was asked for; returns up to which position the blob is worth fetching: its end if no further."""
        seen, end = self._seen, position + length
        first = position // self._block_bytes
        before = seen.get((blob_id, first))
        key = (blob_id, first)
        if before is None and position == first * self._block_bytes:
            key = (blob_id, first - 1)
            before = seen.get(key)
        so_far = length
        ahead = 0
        if before is not None and before[0] < position <= before[1] < end:
            so_far = before[2] + end - before[1]
            ahead = min(so_far, self._ahead_bytes_max)
            del seen[key]
        seen[blob_id, (end - 1) // self._block_bytes] = (position, end, so_far)
        seen.move_to_end((blob_id, (end - 1) // self._block_bytes))
        if len(seen) > READERS_MAX:
            seen.popitem(last=False)
        return end + ahead
