"""`RecoveryStore` in memory."""

from __future__ import annotations

from ..going_back import (
    BLOB_BLOCKS_SKIPPED,
    EPOCHS_SKIPPED,
    NUMBERS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
)
from .state import MemoryState


class MemoryRecoveryStore:
    """See `moldau.metadata.ports.RecoveryStore`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

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
        state.metadata_version += NUMBERS_SKIPPED
        state.metadata_floor += NUMBERS_SKIPPED
        state.entity_version += NUMBERS_SKIPPED
        for node_id in state.incarnations:
            state.incarnations[node_id] += NUMBERS_SKIPPED
