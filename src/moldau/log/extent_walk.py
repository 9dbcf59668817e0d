"""Going through the batches of one extent in slices: a segment may hold fifty thousand of them, which is a tenth of a second."""

from __future__ import annotations

from collections.abc import Generator

from moldau.metadata.rows import Extent
from moldau.records.batch import ATTRIBUTES_AT, HEADER_BYTES, LENGTH_END, MAGIC_V2, set_base_offset
from moldau.records.crc import crc32c

from .damage import DamagedLog, head_of, shift_of, where

SLICE_BATCHES = 100
SLICE_BYTES = 512 << 10

Buffer = bytes | bytearray | memoryview


def walk(data: Buffer, extent: Extent) -> Generator[None, None, tuple[Buffer, list[int]]]:
    """(the whole extent, where each batch begins in it): `data`, or a copy in which offsets and leader epochs are put in place. Yields between slices.

    Raises DamagedLog for what is not exactly the batches that the row promises.
    """
    positions: list[int] = []
    at, end = 0, len(data)
    next_batches, next_bytes = SLICE_BATCHES, SLICE_BYTES
    base, epoch = extent.base_offset, extent.leader_epoch
    view = memoryview(data)
    shift = shift_of(data, base, extent, True)
    while at + HEADER_BYTES <= end:
        stored_base, size, stored_epoch, magic, crc, _, last_delta = head_of(data, at)
        following = at + size + LENGTH_END
        if size < HEADER_BYTES - LENGTH_END or magic != MAGIC_V2 or following > end or last_delta < 0:
            raise DamagedLog(f"no batch at {base} of {where(extent)}")
        if crc32c(view[at + ATTRIBUTES_AT : following]) != crc:
            raise DamagedLog(f"batch at {base} of {where(extent)}: wrong checksum")
        if stored_base - base != shift:
            raise DamagedLog(f"batch at {base} of {where(extent)}: says it is at {stored_base}")
        if shift or stored_epoch != epoch:
            if not isinstance(data, bytearray):
                data = bytearray(data)
                view = memoryview(data)
            set_base_offset(data, at, base, epoch)
        positions.append(at)
        base += last_delta + 1
        at = following
        if len(positions) >= next_batches or at >= next_bytes:
            next_batches, next_bytes = len(positions) + SLICE_BATCHES, at + SLICE_BYTES
            yield
    if at != end or base != extent.last_offset + 1:
        raise DamagedLog(f"{where(extent)} is not whole")
    return data, positions
