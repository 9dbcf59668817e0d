"""Offsets by time: the first record at or after a timestamp, exactly, and the record with the greatest timestamp.

The store bisects the running maximum over extents, a segment's index does so over its batches; then batches are scanned, then the
batch's records (rule 13).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from moldau.blobs.ports import BlobMissing
from moldau.metadata.ports import LogStore
from moldau.metadata.rows import Extent
from moldau.records import lookup
from moldau.records.batch import compute_crc, iter_headers
from moldau.records.errors import InvalidBatch

from .damage import DamagedLog, where
from .reader import Buffer, Reader
from .view import PartitionView

T = TypeVar("T")

_SCAN_EXTENTS = 64
_ATTEMPTS = 4


class Lookup:
    """Answers ListOffsets where the rows do not know."""

    def __init__(self, store: LogStore, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def by_timestamp(self, view: PartitionView, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record whose timestamp is at or above, below the high watermark; or None.

        Raises DamagedLog, BlobError when the store does not answer.
        """
        return await self._again(view, lambda: self._by_timestamp(view, timestamp))

    async def _by_timestamp(self, view: PartitionView, timestamp: int) -> tuple[int, int] | None:
        extent = await self._store.extent_by_time(view.partition_id, timestamp)
        while extent is not None and extent.base_offset < view.high_watermark:
            if extent.max_timestamp >= timestamp and extent.last_offset >= view.log_start_offset:
                async for batches in self._from_time(extent, timestamp):
                    for batch in batches:
                        found = lookup.find_timestamp(batch, timestamp, view.log_start_offset)
                        if found is not None:
                            return found
            following = await self._store.extents_from(view.partition_id, extent.last_offset + 1, 1)
            extent = following[0] if following else None
        return None

    async def _from_time(self, extent: Extent, timestamp: int) -> AsyncIterator[list[memoryview]]:
        """The extent's batches from the first that may reach the time on: all at once, or the intervals of a segment."""
        index = await self._reader.segment_index(extent)
        if index is None:
            yield _batches(await self._reader.extent_bytes(extent))
            return
        for at in range(index.by_time(timestamp), len(index.offsets)):
            yield _checked(await self._reader.segment_part(extent, *index.interval(at)), extent)

    async def max_timestamp(self, view: PartitionView) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the greatest timestamp; None for an empty partition.

        Raises DamagedLog, BlobError when the store does not answer.
        """
        return await self._again(view, lambda: self._max_timestamp(view))

    async def _max_timestamp(self, view: PartitionView) -> tuple[int, int] | None:
        best = await self._newest_extent(view)
        if best is None:
            return None
        answer: tuple[int, int] | None = None
        async for batches in self._from_time(best, best.max_timestamp):
            for batch in batches:
                found = lookup.find_max_timestamp(batch)
                if found is not None and found[0] >= view.log_start_offset and (answer is None or found[1] > answer[1]):
                    answer = found
        return answer

    async def _newest_extent(self, view: PartitionView) -> Extent | None:
        """The first one of those with the greatest timestamp: by bisection, unless it was deleted long ago."""
        reaches = await self._store.extent_by_time(view.partition_id, view.max_timestamp)
        if reaches is not None and reaches.max_timestamp == view.max_timestamp:
            whole = reaches.base_offset >= view.log_start_offset and reaches.base_offset < view.high_watermark
            if whole:
                return reaches
        best = None
        offset = view.log_start_offset
        while offset < view.high_watermark:
            extents = await self._store.extents_from(view.partition_id, offset, _SCAN_EXTENTS)
            if not extents:
                break
            for extent in extents:
                if best is None or extent.max_timestamp > best.max_timestamp:
                    best = extent
            offset = extents[-1].last_offset + 1
        return best

    async def _again(self, view: PartitionView, look: Callable[[], Awaitable[T]]) -> T:
        """Look again where maintenance moved bytes between the look at their rows and the look at them (rule 4)."""
        for attempt in range(_ATTEMPTS):
            try:
                return await look()
            except BlobMissing as error:
                if attempt == _ATTEMPTS - 1:
                    raise DamagedLog(f"partition {view.partition_id}: {error}") from error
        raise AssertionError("unreachable")


def _batches(data: Buffer) -> list[memoryview]:
    whole = memoryview(data)
    return [whole[position : position + header.size] for position, header in iter_headers(whole)]


def _checked(data: Buffer, extent: Extent) -> list[memoryview]:
    """Batches of a segment, which nobody has looked at yet. Raises DamagedLog."""
    whole = memoryview(data)
    batches = []
    try:
        for position, header in iter_headers(whole):
            if compute_crc(whole, position, header.size) != header.crc:
                raise DamagedLog(f"batch at {header.base_offset} of {where(extent)}: wrong checksum")
            batches.append(whole[position : position + header.size])
    except InvalidBatch as error:
        raise DamagedLog(f"{where(extent)}: {error}") from error
    return batches
