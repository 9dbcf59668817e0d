"""The log store as it is seen beside a journal: whoever asks about the end of a partition waits until the rows have caught up."""

from __future__ import annotations

from moldau.metadata.ports import LogStore
from moldau.metadata.rows import BlobRow, Extent, PartitionRow, PartitionSeen, PartitionState

from .journal import Journal


class JournaledStore:
    """See `moldau.metadata.ports.LogStore`."""

    def __init__(self, store: LogStore, journal: Journal) -> None:
        self._store = store
        self._journal = journal

    async def load_partition(self, partition_id: int) -> PartitionState | None:
        await self._journal.drained()
        return await self._store.load_partition(partition_id)

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        await self._journal.drained()
        return await self._store.extents_from(partition_id, offset, limit)

    async def extents_before(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        await self._journal.drained()
        return await self._store.extents_before(partition_id, offset, limit)

    async def extent_by_time(self, partition_id: int, timestamp: int) -> Extent | None:
        await self._journal.drained()
        return await self._store.extent_by_time(partition_id, timestamp)

    async def extent_after_epoch(self, partition_id: int, epoch: int) -> Extent | None:
        await self._journal.drained()
        return await self._store.extent_after_epoch(partition_id, epoch)

    async def read_inline(self, blob_id: int) -> bytes | None:
        return await self._store.read_inline(blob_id)

    async def raise_log_start(self, partition_id: int, offset: int) -> tuple[int, int] | None:
        await self._journal.drained()
        return await self._store.raise_log_start(partition_id, offset)

    async def changed(self, seen: list[PartitionSeen]) -> list[PartitionRow]:
        await self._journal.drained()
        return await self._store.changed(seen)

    async def register_blob(self, blob: BlobRow) -> None:
        await self._store.register_blob(blob)
