"""`RecoveryStore` on any SQL engine."""

from __future__ import annotations

from ..going_back import (
    BLOB_BLOCKS_SKIPPED,
    EPOCHS_SKIPPED,
    NUMBERS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
    refuse_cut,
)
from ..rows import Extent
from .log_rows import extent_of
from .tx import Engine, Tx


class SqlRecoveryStore:
    """See `moldau.metadata.ports.RecoveryStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def synced_end(self, blob_id: int) -> int:
        return await self._engine.scan(lambda tx: _synced_end(tx, blob_id))

    async def unsynced_extents(self, blob_id: int) -> list[Extent]:
        async def body(tx: Tx) -> list[Extent]:
            synced_end = await _synced_end(tx, blob_id)
            return [
                extent_of(row) for row in await tx.run("extents_unsynced", blob_id=blob_id, synced_end=synced_end)
            ]

        return await self._engine.scan(body)

    async def drop_tails(self, cuts: dict[int, int]) -> dict[int, int]:
        async def body(tx: Tx) -> dict[int, int]:
            return {partition_id: await _drop_tail(tx, partition_id, offset) for partition_id, offset in cuts.items()}

        return await self._engine.write(body)

    async def raise_leader_epochs(self, by: int) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("leader_epochs_raise", by=by)

        await self._engine.write(body)

    async def went_back(self) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("leader_epochs_raise", by=EPOCHS_SKIPPED)
            await tx.run("cluster_skip", producer_ids=PRODUCER_IDS_SKIPPED, blob_blocks=BLOB_BLOCKS_SKIPPED)
            await tx.run("brokers_skip", incarnations=NUMBERS_SKIPPED)
            await tx.run("sequences_skip", numbers=NUMBERS_SKIPPED)

        await self._engine.write(body)


async def _synced_end(tx: Tx, blob_id: int) -> int:
    return (await tx.run("blob_synced_end", blob_id=blob_id))[0][0] or 0


async def _drop_tail(tx: Tx, partition_id: int, offset: int) -> int:
    rows = await tx.run("partition_get", partition_id=partition_id)
    alive, end_offset, log_start_offset = rows[0][3:6]
    if alive:
        snapshots = await tx.run("snapshot_get", partition_id=partition_id)
        durable = await tx.run("tail_durable", partition_id=partition_id, from_offset=offset)
        snapshot_offset = snapshots[0][0] if snapshots else 0
        refuse_cut(partition_id, offset, log_start_offset, snapshot_offset, durable[0][0] if durable else -1)
    gone = await tx.run("tail_delete", partition_id=partition_id, from_offset=offset)
    await tx.run("partition_cut", partition_id=partition_id, end_offset=offset, bytes=sum(row[0] for row in gone))
    return int(end_offset - offset)
