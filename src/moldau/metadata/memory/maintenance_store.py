"""`MaintenanceStore` in memory."""

from __future__ import annotations

from bisect import bisect_left

from ..errors import Conflict, StoreCorrupt
from ..rows import KIND_INLINE, KIND_WAL, BlobRow, Extent, InlineBlob, PartitionHead, PartitionRow
from .log_store import insert_blob
from .state import MemoryState


class MemoryMaintenanceStore:
    """See `moldau.metadata.ports.MaintenanceStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def replace_extents(
        self,
        partition_id: int,
        old: list[Extent],
        new: list[Extent],
        blob: BlobRow | None,
        inline: InlineBlob | None = None,
    ) -> None:
        gone = self._found(partition_id, old)
        extents = self._state.extents.setdefault(partition_id, [])
        if blob is not None and blob.blob_id in self._state.blobs:
            raise StoreCorrupt(f"blob {blob.blob_id:016x} exists")
        if inline is not None and inline.blob_id in self._state.inline:
            raise StoreCorrupt(f"inline blob {inline.blob_id:016x} exists")
        ends = {extents[at].last_offset for at in gone}
        for extent in new:
            at = _index(extents, extent.last_offset)
            taken = at < len(extents) and extents[at].last_offset == extent.last_offset
            if taken and extent.last_offset not in ends:
                raise StoreCorrupt(f"an extent that ends at {extent.last_offset} exists")
        if blob is not None:
            insert_blob(self._state, blob)
        if inline is not None:
            self._state.inline[inline.blob_id] = (inline.created_ms, bytes(inline.data))
        self._delete(partition_id, gone)
        for extent in new:
            extents.insert(_index(extents, extent.last_offset), extent)
        self._state.count(new, 1)
        row = self._state.partitions.get(partition_id)
        if row is not None:
            row.bytes_total += sum(extent.length for extent in new)

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        self._delete(partition_id, self._found(partition_id, old))

    async def inline_run(self, partition_id: int, first: int, last: int) -> dict[int, bytes]:
        inline = self._state.inline
        return {
            e.last_offset: inline[e.blob_id][1][e.position : e.position + e.length]
            for e in self._state.extents.get(partition_id, [])
            if e.kind == KIND_INLINE and first <= e.last_offset <= last and e.blob_id in inline
        }

    def _alive(self, after: int) -> list[PartitionRow]:
        rows = sorted(self._state.partitions.values(), key=lambda row: row.partition_id)
        return [row for row in rows if row.alive and row.partition_id > after]

    async def partition_heads(self, after: int, limit: int) -> list[PartitionHead]:
        firsts = ((row, self._state.extents.get(row.partition_id, [])[:1]) for row in self._alive(after))
        return [
            PartitionHead(
                row.partition_id,
                row.topic_id,
                row.log_start_offset,
                row.bytes_total,
                first.last_offset,
                first.length,
                first.max_timestamp,
                first.appended_at,
            )
            for row, firsts_of_row in firsts
            for first in firsts_of_row
        ][:limit]

    async def small_extents(self, small_bytes: int, after: int, limit: int) -> list[tuple[int, int]]:
        found = []
        for row in self._alive(after)[:limit]:
            extents = self._state.extents.get(row.partition_id, [])
            small = next((e.base_offset for e in extents if e.length < small_bytes), row.end_offset)
            found.append((row.partition_id, small))
        return found

    def _found(self, partition_id: int, old: list[Extent]) -> list[int]:
        """Where these rows are. Raises Conflict."""
        extents = self._state.extents.get(partition_id, [])
        found = set()
        for extent in old:
            at = _index(extents, extent.last_offset)
            if at == len(extents) or _name(extents[at]) != _name(extent):
                raise Conflict(f"extents of partition {partition_id} are not there any more")
            found.add(at)
        if len(found) != len(old):
            raise Conflict(f"an extent of partition {partition_id} is named twice")
        return sorted(found)

    def _delete(self, partition_id: int, gone: list[int]) -> None:
        if not gone:
            return
        extents = self._state.extents[partition_id]
        removed = [extents[at] for at in gone]
        if gone[-1] - gone[0] == len(gone) - 1:
            del extents[gone[0] : gone[-1] + 1]
        else:
            for at in reversed(gone):
                del extents[at]
        self._state.count(removed, -1)
        row = self._state.partitions.get(partition_id)
        if row is not None:
            row.bytes_total -= sum(extent.length for extent in removed)

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        row = self._state.partitions.get(partition_id)
        if row is not None and row.alive and offset >= self._state.snapshots.get(partition_id, (0, b""))[0]:
            self._state.snapshots[partition_id] = (offset, bytes(packed))

    async def cleaned_to(self, partition_id: int) -> int:
        return self._state.cleaned.get(partition_id, 0)

    async def set_cleaned_to(self, partition_id: int, offset: int) -> None:
        row = self._state.partitions.get(partition_id)
        if row is not None and row.alive:
            self._state.cleaned[partition_id] = max(offset, self._state.cleaned.get(partition_id, 0))

    async def dead_partitions(self, limit: int) -> list[int]:
        return sorted(row.partition_id for row in self._state.partitions.values() if not row.alive)[:limit]

    async def purge_partition(self, partition_id: int, limit: int) -> bool:
        state = self._state
        row = state.partitions.get(partition_id)
        if row is not None and row.alive:
            raise Conflict(f"partition {partition_id} is alive")
        extents = state.extents.get(partition_id, [])
        if len(extents) >= limit:
            state.count(extents[:limit], -1)
            del extents[:limit]
            return False
        state.count(state.extents.pop(partition_id, []), -1)
        state.snapshots.pop(partition_id, None)
        state.cleaned.pop(partition_id, None)
        if row is not None:
            del state.partitions[partition_id]
            topic = state.topics[row.topic_id]
            topic.partition_ids.remove(partition_id)
            if not topic.partition_ids:
                del state.topics[row.topic_id]
                state.metadata_floor = max(state.metadata_floor, topic.version)
        return True

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        state, before = self._state, now - min_age_ms
        blobs = sorted(
            row.blob_id
            for row in state.blobs.values()
            if row.size >= 0 and row.doomed_ms < 0 and row.created_ms < before and row.blob_id not in state.live
        )[:limit]
        for blob_id in blobs:
            state.blobs[blob_id].doomed_ms = now
        return blobs

    async def doom_orphans(self, blob_ids: list[int], now: int) -> list[int]:
        doomed = [blob_id for blob_id in blob_ids if blob_id not in self._state.blobs]
        for blob_id in doomed:
            self._state.blobs[blob_id] = BlobRow(blob_id, KIND_WAL, 0, now, now)
        return doomed

    async def doomed_blobs(self, before: int, limit: int, wal_before: int = 0) -> list[BlobRow]:
        ends = {KIND_WAL: max(before, wal_before)}
        return [row for row in await self.blobs() if 0 <= row.doomed_ms < ends.get(row.kind, before)][:limit]

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

    async def live_counts(self) -> list[tuple[int, bool, int, int]]:
        named: dict[tuple[int, bool], int] = {}
        for extents in self._state.extents.values():
            for extent in extents:
                key = extent.blob_id, extent.kind == KIND_INLINE
                named[key] = named.get(key, 0) + 1
        counted = {(blob_id, False): self._state.live.get(blob_id, 0) for blob_id in self._state.blobs}
        counted |= {(blob_id, True): self._state.inline_live.get(blob_id, 0) for blob_id in self._state.inline}
        return sorted((*key, n, named.get(key, 0)) for key, n in counted.items() if n != named.get(key, 0))


def _index(extents: list[Extent], last_offset: int) -> int:
    """Where an extent that ends there is, or would be."""
    return bisect_left(extents, last_offset, key=lambda extent: extent.last_offset)


def _name(extent: Extent) -> tuple[int, int, int, int, int]:
    return extent.partition_id, extent.last_offset, extent.base_offset, extent.blob_id, extent.position
