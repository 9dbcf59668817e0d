"""`RecoveryStore` on any SQL engine."""

from __future__ import annotations

from ..going_back import (
    BLOB_BLOCKS_SKIPPED,
    EPOCHS_SKIPPED,
    NUMBERS_SKIPPED,
    PRODUCER_IDS_SKIPPED,
)
from .tx import Engine, Tx


class SqlRecoveryStore:
    """See `moldau.metadata.ports.RecoveryStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def raise_leader_epochs(self, by: int) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("partitions_lock")
            await tx.run("leader_epochs_raise", by=by)

        await self._engine.write(body)

    async def went_back(self) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("partitions_lock")
            await tx.run("leader_epochs_raise", by=EPOCHS_SKIPPED)
            await tx.run("cluster_skip", producer_ids=PRODUCER_IDS_SKIPPED, blob_blocks=BLOB_BLOCKS_SKIPPED)
            await tx.run("brokers_skip", incarnations=NUMBERS_SKIPPED)
            await tx.run("sequences_skip", numbers=NUMBERS_SKIPPED)

        await self._engine.write(body)
