"""`LogStore` on PostgreSQL: appends, and the reads of views and fetches, each of them one statement."""

from __future__ import annotations

import asyncio
import threading

from ..ports import AppendDone, Decide
from ..rows import AppendCommit, AppendResult, BlobRow, Extent, PartitionRow, PartitionSeen, PartitionState
from ..rows_txn import TxnGuard
from ..sql import log_rows
from .appends import Appends
from .engine import PostgresEngine
from .locked_append import LockedAppend
from .tx import PostgresTx

WARM_READS = 4
"""Connections of reads that `warm` opens."""


class PostgresLogStore:
    """See `moldau.metadata.ports`: `LogStore` and `AppendStore`. Made on the loop's thread."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine
        self.appends = Appends(engine)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        """Commits that share a partition take effect, and are told, in the order of the calls. May be called on any thread."""
        if threading.get_ident() == self._thread:
            self.appends.submit(commit, done)
        else:
            self._loop.call_soon_threadsafe(self.appends.submit, commit, done)

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Decide, guards: tuple[TxnGuard, ...] = ()
    ) -> list[AppendResult]:
        return await LockedAppend(self._engine, self.appends, known, blob_id, decide, guards).run()

    async def warm(self) -> None:
        """What the first appends and the first views would wait for: connections, and statements that each of them must have planned. Raises StoreError."""
        reads = [self.load_partition(-1) for _ in range(WARM_READS)]
        await asyncio.gather(self.appends.warm(), *reads)

    async def load_partition(self, partition_id: int) -> PartitionState | None:
        row: PartitionRow | None = None
        snapshot_offset, snapshot = 0, b""
        extents: list[Extent] = []
        for values in await self._engine.query("partition_state", partition_id=partition_id):
            if values[10] == -1:
                _, end, start, max_timestamp, bytes_total, snapshot_offset, *_, leader_epoch, _, index, packed = values
                topic_id, snapshot = packed[:16], packed[16:]
                row = PartitionRow(
                    partition_id, topic_id, index, True, end, start, leader_epoch, max_timestamp, bytes_total
                )
            else:
                extents.append(Extent(*values))
        if row is None:
            return None
        extents.sort(key=lambda extent: extent.last_offset)
        return PartitionState(row, snapshot_offset, snapshot, extents)

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        rows = await self._engine.query("extents_from", partition_id=partition_id, from_offset=offset, limit=limit)
        return [Extent(*row) for row in rows]

    async def extents_before(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        rows = await self._engine.query("extents_before", partition_id=partition_id, from_offset=offset, limit=limit)
        return [Extent(*row) for row in reversed(rows)]

    async def extent_by_time(self, partition_id: int, timestamp: int) -> Extent | None:
        return await self._engine.read(lambda tx: log_rows.extent_by_time(tx, partition_id, timestamp))

    async def extent_after_epoch(self, partition_id: int, epoch: int) -> Extent | None:
        return await self._engine.read(lambda tx: log_rows.extent_after_epoch(tx, partition_id, epoch))

    async def read_inline(self, blob_id: int) -> bytes | None:
        rows = await self._engine.query("inline_get", blob_id=blob_id)
        return rows[0][0] if rows else None

    async def raise_log_start(self, partition_id: int, offset: int) -> tuple[int, int] | None:
        async def body(tx: PostgresTx) -> tuple[int, int] | None:
            rows = await tx.run("log_start_raise", partition_id=partition_id, to_offset=offset)
            return (rows[0][0], rows[0][1]) if rows else None

        return await self._engine.write(body)

    async def changed(self, seen: list[PartitionSeen]) -> list[PartitionRow]:
        columns = [list(column) for column in zip(*seen, strict=True)] if seen else [[], [], [], []]
        rows = await self._engine.query(
            "partitions_changed", ids=columns[0], ends=columns[1], starts=columns[2], epochs=columns[3]
        )
        found = {row[0]: log_rows.partition_of(row) if row[1] is not None else None for row in rows}
        gone = {each.partition_id: each.purged() for each in seen if found.get(each.partition_id, 0) is None}
        return [row or gone[partition_id] for partition_id, row in sorted(found.items())]

    async def register_blob(self, blob: BlobRow) -> None:
        await self._engine.write(lambda tx: log_rows.insert_blob(tx, blob))

    async def close(self) -> None:
        """Before the engine: what waits is refused, what runs is waited for."""
        await self.appends.close()
