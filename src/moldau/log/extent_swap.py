"""How maintenance makes one extent of neighbours: reads their bytes, stores new ones, swaps the rows in one transaction.

A death before the swap leaves a blob that no row names (collected later); after it, nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

from moldau.blobs.ports import BlobError, BlobStore
from moldau.clock import Clock
from moldau.metadata.errors import Conflict
from moldau.metadata.ports import MaintenanceStore
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, BlobRow, Extent, InlineBlob

from .segment import Buffer, Segment
from .snapshots import Snapshots
from .views import Views


class SwapPoints(NamedTuple):
    """The fault points of a job: before a segment is put, after that, and after the rows were swapped."""

    put: Callable[[], None]
    stored: Callable[[], None]
    swapped: Callable[[], None]


class ExtentSwap:
    """One for all jobs of a broker."""

    def __init__(
        self,
        store: MaintenanceStore,
        blobs: BlobStore,
        views: Views,
        snapshots: Snapshots,
        clock: Clock,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._views = views
        self._snapshots = snapshots
        self._clock = clock

    async def covered(self, partition_id: int, last_offset: int) -> bool:
        """See to a snapshot above that offset, so that no view is ever folded from swapped rows; False: the partition is gone."""
        view = self._views.get(partition_id)
        if view is not None and view.snapshot_offset > last_offset:
            return True
        return await self._snapshots.take(partition_id) > last_offset

    async def read(self, extents: list[Extent]) -> dict[int, Buffer]:
        """The bytes of neighbours of one partition, as they are stored, by last offset. Raises BlobError, also where they were moved."""
        found: dict[int, Buffer] = {}
        ranges: dict[int, list[Extent]] = {}
        for extent in extents:
            if extent.kind != KIND_INLINE:
                ranges.setdefault(extent.blob_id, []).append(extent)
        if len(extents) > sum(len(of_blob) for of_blob in ranges.values()):
            first, last = extents[0].last_offset, extents[-1].last_offset
            found.update(await self._store.inline_run(extents[0].partition_id, first, last))
        for blob_id, of_blob in ranges.items():
            parts = await self._blobs.read_many(blob_id, [(each.position, each.length) for each in of_blob])
            found.update(zip([each.last_offset for each in of_blob], parts, strict=True))
        for extent in extents:
            if extent.last_offset not in found:
                raise BlobError(f"inline blob {extent.blob_id:016x} is gone")
        return found

    async def swap(self, old: list[Extent], new: Extent, segment: Segment, points: SwapPoints) -> bool:
        """Store the bytes of `new`, whose kind says where, and put it in the place of `old`. False: somebody else was here, nothing is changed.

        Raises BlobError, StoreError.
        """
        blob = inline = None
        if new.kind == KIND_INLINE:
            inline = InlineBlob(new.blob_id, b"".join(segment.buffers), self._clock())
        else:
            points.put()
            size = await self._blobs.put(new.blob_id, segment.buffers)
            segment.buffers.clear()
            points.stored()
            blob = BlobRow(new.blob_id, KIND_SEGMENT, size, self._clock())
        try:
            await self._store.replace_extents(new.partition_id, old, [new], blob, inline)
        except Conflict:
            if blob is not None:
                with contextlib.suppress(BlobError):  # else the collection of orphans finds it
                    await self._blobs.delete(new.blob_id)
            return False
        points.swapped()
        view = self._views.get(new.partition_id)
        if view is not None:
            view.replace_tail(new)
            view.bytes_total += new.length - sum(extent.length for extent in old)
        return True
