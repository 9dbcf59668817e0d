"""`MaintenanceStore` in memory."""

from __future__ import annotations

from ..errors import Conflict, StoreCorrupt
from ..rows import KIND_INLINE, BlobRow, Extent
from .log_store import insert_blob
from .state import MemoryState


class MemoryMaintenanceStore:
    """See `moldau.metadata.ports.MaintenanceStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def replace_extents(
        self, partition_id: int, old: list[Extent], new: list[Extent], blob: BlobRow | None
    ) -> None:
        kept = self._without(partition_id, old)
        taken = {extent.last_offset for extent in kept}
        if blob is not None and blob.blob_id in self._state.blobs:
            raise StoreCorrupt(f"blob {blob.blob_id:016x} exists")
        for extent in new:
            if extent.last_offset in taken:
                raise StoreCorrupt(f"an extent that ends at {extent.last_offset} exists")
            taken.add(extent.last_offset)
        if blob is not None:
            insert_blob(self._state, blob)
        self._keep(partition_id, kept + new, sum(e.length for e in new) - sum(e.length for e in old))

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        self._keep(partition_id, self._without(partition_id, old), -sum(extent.length for extent in old))

    def _without(self, partition_id: int, old: list[Extent]) -> list[Extent]:
        extents = self._state.extents.get(partition_id, [])
        names = {_name(extent) for extent in extents}
        gone = {_name(extent) for extent in old}
        if len(gone) != len(old) or not gone <= names:
            raise Conflict(f"extents of partition {partition_id} are not there any more")
        return [extent for extent in extents if _name(extent) not in gone]

    def _keep(self, partition_id: int, extents: list[Extent], change: int) -> None:
        self._state.extents[partition_id] = sorted(extents, key=lambda extent: extent.last_offset)
        row = self._state.partitions.get(partition_id)
        if row is not None:
            row.bytes_total += change

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        row = self._state.partitions.get(partition_id)
        if row is not None and row.alive and offset >= self._state.snapshots.get(partition_id, (0, b""))[0]:
            self._state.snapshots[partition_id] = (offset, bytes(packed))

    async def dead_partitions(self, limit: int) -> list[int]:
        return sorted(row.partition_id for row in self._state.partitions.values() if not row.alive)[:limit]

    async def purge_partition(self, partition_id: int, limit: int) -> bool:
        state = self._state
        row = state.partitions.get(partition_id)
        if row is not None and row.alive:
            raise Conflict(f"partition {partition_id} is alive")
        extents = state.extents.get(partition_id, [])
        if len(extents) >= limit:
            del extents[:limit]
            return False
        state.extents.pop(partition_id, None)
        state.snapshots.pop(partition_id, None)
        if row is not None:
            del state.partitions[partition_id]
            topic = state.topics[row.topic_id]
            topic.partition_ids.remove(partition_id)
            if not topic.partition_ids:
                del state.topics[row.topic_id]
        return True

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        state, before = self._state, now - min_age_ms
        named = {(e.blob_id, e.kind == KIND_INLINE) for extents in state.extents.values() for e in extents}
        blobs = sorted(
            row.blob_id
            for row in state.blobs.values()
            if row.size >= 0 and row.doomed_ms < 0 and row.created_ms < before and (row.blob_id, False) not in named
        )[:limit]
        inline = sorted(
            blob_id
            for blob_id, (created_ms, _) in state.inline.items()
            if created_ms < before and (blob_id, True) not in named
        )[:limit]
        for blob_id in blobs:
            state.blobs[blob_id].doomed_ms = now
        for blob_id in inline:
            del state.inline[blob_id]
        return blobs

    async def doomed_blobs(self, before: int, limit: int) -> list[BlobRow]:
        return [row for row in await self.blobs() if 0 <= row.doomed_ms < before][:limit]

    async def forget_blobs(self, blob_ids: list[int]) -> None:
        for blob_id in blob_ids:
            self._state.blobs.pop(blob_id, None)

    async def seal_blob(self, blob_id: int, size: int) -> None:
        row = self._state.blobs.get(blob_id)
        if row is not None and row.size < 0:
            row.size = size
        self._state.journal.pop(blob_id, None)

    async def blobs(self) -> list[BlobRow]:
        rows = sorted(self._state.blobs.values(), key=lambda row: row.blob_id)
        return [BlobRow(row.blob_id, row.kind, row.size, row.created_ms, row.doomed_ms) for row in rows]

    async def blob_ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        for extents in self._state.extents.values():
            for extent in extents:
                if extent.kind != KIND_INLINE:
                    ends[extent.blob_id] = max(ends.get(extent.blob_id, 0), extent.position + extent.length)
        return ends


def _name(extent: Extent) -> tuple[int, int, int, int, int]:
    return extent.partition_id, extent.last_offset, extent.base_offset, extent.blob_id, extent.position
