"""Offsets by time: the first record at or after a timestamp, exactly, and the record with the greatest timestamp.

The store bisects the running maximum over extents; then the extent's batches are scanned, then the batch's records (rule 13).
"""

from __future__ import annotations

from moldau.metadata.ports import LogStore
from moldau.records import lookup
from moldau.records.batch import iter_headers

from .reader import Buffer, Reader
from .view import PartitionView

_SCAN_EXTENTS = 64


class Lookup:
    """Answers ListOffsets where the rows do not know."""

    def __init__(self, store: LogStore, reader: Reader) -> None:
        self._store = store
        self._reader = reader

    async def by_timestamp(self, view: PartitionView, timestamp: int) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record whose timestamp is at or above, below the high watermark; or None."""
        extent = await self._store.extent_by_time(view.partition_id, timestamp)
        while extent is not None and extent.base_offset < view.high_watermark:
            if extent.max_timestamp >= timestamp and extent.last_offset >= view.log_start_offset:
                data = await self._reader.extent_bytes(extent)
                for batch in _batches(data):
                    found = lookup.find_timestamp(batch, timestamp, view.log_start_offset)
                    if found is not None:
                        return found
            following = await self._store.extents_from(view.partition_id, extent.last_offset + 1, 1)
            extent = following[0] if following else None
        return None

    async def max_timestamp(self, view: PartitionView) -> tuple[int, int] | None:
        """(offset, timestamp) of the first record with the greatest timestamp; None for an empty partition."""
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
        if best is None:
            return None
        answer: tuple[int, int] | None = None
        for batch in _batches(await self._reader.extent_bytes(best)):
            found = lookup.find_max_timestamp(batch)
            if found is not None and found[0] >= view.log_start_offset and (answer is None or found[1] > answer[1]):
                answer = found
        return answer


def _batches(data: Buffer) -> list[memoryview]:
    whole = memoryview(data)
    return [whole[position : position + header.size] for position, header in iter_headers(whole)]
