"""`RecoveryStore` in memory."""

from __future__ import annotations

from ..going_back import (
    BLOB_BLOCKS_SKIPPED,
    EPOCHS_SKIPPED,
    NUMBERS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
    refuse_cut,
)
from ..rows import KIND_INLINE, Extent
from .state import MemoryState


class MemoryRecoveryStore:
    """See `moldau.metadata.ports.RecoveryStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def _in_blob(self, blob_id: int) -> list[Extent]:
        everything = [extent for extents in self._state.extents.values() for extent in extents]
        found = [extent for extent in everything if extent.kind != KIND_INLINE and extent.blob_id == blob_id]
        return sorted(found, key=lambda extent: extent.position)

    async def synced_end(self, blob_id: int) -> int:
        return max((extent.position + extent.length for extent in self._in_blob(blob_id) if extent.durable), default=0)

    async def unsynced_extents(self, blob_id: int) -> list[Extent]:
        synced_end = await self.synced_end(blob_id)
        return [extent for extent in self._in_blob(blob_id) if not extent.durable and extent.position >= synced_end]

    async def drop_tails(self, cuts: dict[int, int]) -> dict[int, int]:
        for partition_id, offset in cuts.items():
            self._refuse(partition_id, offset)
        return {partition_id: self._drop_tail(partition_id, offset) for partition_id, offset in cuts.items()}

    def _refuse(self, partition_id: int, offset: int) -> None:
        row = self._state.partitions[partition_id]
        if row.alive:
            extents = self._state.extents.get(partition_id, [])
            durable = [extent.base_offset for extent in extents if extent.last_offset >= offset and extent.durable]
            snapshot_offset = self._state.snapshots.get(partition_id, (0, b""))[0]
            refuse_cut(partition_id, offset, row.log_start_offset, snapshot_offset, durable[0] if durable else -1)

    def _drop_tail(self, partition_id: int, offset: int) -> int:
        row = self._state.partitions[partition_id]
        extents = self._state.extents.get(partition_id, [])
        kept = [extent for extent in extents if extent.last_offset < offset]
        self._state.extents[partition_id] = kept
        records = row.end_offset - offset
        row.end_offset = offset
        row.bytes_total -= sum(extent.length for extent in extents[len(kept) :])
        row.max_timestamp = kept[-1].running_max_timestamp if kept else -1
        return records

    async def raise_leader_epochs(self, by: int) -> None:
        for row in self._state.partitions.values():
            if row.alive:
                row.leader_epoch += by

    async def went_back(self) -> None:
        await self.raise_leader_epochs(EPOCHS_SKIPPED)
        state = self._state
        state.next_producer_id += PRODUCER_IDS_SKIPPED
        state.next_blob_block += BLOB_BLOCKS_SKIPPED
        state.next_partition_id += NUMBERS_SKIPPED
        for node_id in state.incarnations:
            state.incarnations[node_id] += NUMBERS_SKIPPED
