"""Reading a run of whole extents into one buffer: what a consumer that goes through a log does all the time.

Sketch: a partition that shares its flushes with others has extents of 16-50 KiB, so a mebibyte is 20 to 60 of them. For each: a `preadv`
into its place (2 us and the copy), the batch's header and its checksum (2 us and 16 KiB at 10 GB/s). One buffer, so the reply has one piece
for each partition.
"""

from __future__ import annotations

from collections.abc import Sequence

from moldau.metadata.rows import KIND_INLINE, Extent
from moldau.records.batch import ATTRIBUTES_AT, HEADER_BYTES, LENGTH_END, MAGIC_V2, set_base_offset
from moldau.records.crc import crc32c

from .damage import DamagedLog, head_of, shift_of, where

EXTENTS_MAX = 512
"""Extents in one run at most."""


def run_length(extents: Sequence[Extent], at: int, max_bytes: int) -> tuple[int, int]:
    """(index after the run, its bytes): whole neighbours from `at` on that fit, none of them inline. Pure."""
    total = 0
    end = min(len(extents), at + EXTENTS_MAX)
    following = extents[at].base_offset if at < end else 0
    for index in range(at, end):
        extent = extents[index]
        if total + extent.length > max_bytes or extent.kind == KIND_INLINE or extent.base_offset != following:
            return index, total
        total += extent.length
        following = extent.last_offset + 1
    return end, total


def verify(buffer: bytearray, view: memoryview, at: int, extent: Extent, guesses: bool) -> None:
    """Check the batches of `extent`, which lie at `at` in `buffer`; put the row's leader epoch in, and its offsets where those that
    are stored may be guesses. `view` is of `buffer`.

    Raises DamagedLog for what is not exactly the batches that the row promises.
    """
    end = at + extent.length
    base, epoch = extent.base_offset, extent.leader_epoch
    shift = shift_of(view[at:end], base, extent, guesses)
    while at + HEADER_BYTES <= end:
        stored_base, size, stored_epoch, magic, crc, _, last_delta = head_of(buffer, at)
        following = at + size + LENGTH_END
        if size < HEADER_BYTES - LENGTH_END or magic != MAGIC_V2 or following > end:
            raise DamagedLog(f"no batch at {base} of {where(extent)}")
        if crc32c(view[at + ATTRIBUTES_AT : following]) != crc:
            raise DamagedLog(f"batch at {base} of {where(extent)}: wrong checksum")
        if stored_base - base != shift:
            raise DamagedLog(f"batch at {base} of {where(extent)}: says it is at {stored_base}")
        if shift or stored_epoch != epoch:
            set_base_offset(buffer, at, base, epoch)
        base += last_delta + 1
        at = following
    if at != end or base != extent.last_offset + 1:
        raise DamagedLog(f"{where(extent)} is not whole")
