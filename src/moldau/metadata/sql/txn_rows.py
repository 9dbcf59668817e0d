"""`TxnStore` on any SQL engine."""

from __future__ import annotations

from typing import Any

from ..errors import LeaseLost
from ..markers import Markers
from ..own_blob_ids import OwnBlobIds
from ..ports import ClusterStore
from ..rows import Extent
from ..rows_groups import OffsetKey, OffsetRow
from ..rows_txn import Changed, Decide, TxnChange, TxnDescription, TxnRow
from .tx import Engine, Tx


class SqlTxnStore:
    """See `moldau.metadata.ports_txn.TxnStore`. Made on the loop's thread."""

    def __init__(self, engine: Engine, cluster: ClusterStore) -> None:
        """`cluster` gives ids for the blobs of markers."""
        self._engine = engine
        self._ids = OwnBlobIds(cluster.reserve_blob_block)

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        blob_id = await self._ids.take()  # whatever is decided: an end has to have one, and ids are plenty

        async def body(tx: Tx) -> Changed:
            while True:
                rows = await tx.run("txn_lock", transactional_id=transactional_id)
                row = TxnRow(*rows[0]) if rows else None
                taking_part, now = await self._taking_part(tx, transactional_id)
                change = decide(row, taking_part, now)
                if change is None:
                    return Changed(row, [])
                if row is None and not await _created(tx, change):
                    continue  # another was first: decide on what it wrote
                if change.guard is not None and not await tx.run("lease_guard", **change.guard._asdict()):
                    raise LeaseLost(*change.guard)
                if change.row is None:
                    await self._forget(tx, transactional_id)
                    return Changed(None, [])
                await self._put(tx, change, change.row, created=row is None)
                if change.end is None:
                    return Changed(change.row, [])
                markers = Markers(change.end, blob_id, now)
                ids = sorted(taking_part.union(change.partition_ids))
                return Changed(change.row, await self._end(tx, change.row, ids, change.end.commit, markers))

        return await self._engine.write(body)

    async def taking_part(self, transactional_id: str) -> tuple[TxnRow | None, frozenset[int]]:
        """The row, and the ids of the partitions that take part."""

        async def body(tx: Tx) -> tuple[TxnRow | None, frozenset[int]]:
            rows = await tx.run("txn_get", transactional_id=transactional_id)
            return TxnRow(*rows[0]) if rows else None, (await self._taking_part(tx, transactional_id))[0]

        return await self._engine.read(body)

    async def _taking_part(self, tx: Tx, transactional_id: str) -> tuple[frozenset[int], int]:
        """Partition ids, and the store's time, after the wait for the row."""
        rows = await tx.run("txn_partitions", transactional_id=transactional_id)
        return frozenset(row[0] for row in rows), await tx.now()

    async def _forget(self, tx: Tx, transactional_id: str) -> None:
        for query in ("txn_partitions_delete", "txn_offsets_delete", "txn_delete"):
            await tx.run(query, transactional_id=transactional_id)

    async def _put(self, tx: Tx, change: TxnChange, row: TxnRow, *, created: bool) -> None:
        """The row, and what takes part from now on."""
        if not created:
            await tx.run("txn_set", **row._asdict())
        await tx.run_many(
            "txn_partition_put",
            [{"transactional_id": row.transactional_id, "partition_id": each} for each in sorted(change.partition_ids)],
        )
        await tx.run_many(
            "txn_offset_put",
            [{"transactional_id": row.transactional_id, **offset_parameters(each)} for each in change.offsets],
        )

    async def _end(self, tx: Tx, row: TxnRow, partition_ids: list[int], commit: bool, markers: Markers) -> list[Extent]:
        """One writer at a time needs no locks; where writers run side by side, this is one statement."""
        ends = []
        for partition_id in partition_ids:
            rows = await tx.run("partition_get", partition_id=partition_id)
            if rows and rows[0][3]:
                _, _, _, _, base, _, leader_epoch, running, _ = rows[0]
                ends.append((partition_id, base, leader_epoch, running))
        extents = markers.extents(ends)
        if extents:
            await tx.run(
                "inline_insert",
                blob_id=markers.blob_id,
                created_ms=markers.now,
                data=markers.data(extents),
                extents=len(extents),
            )
            await tx.run_many("extent_insert", [{n: getattr(each, n) for n in Extent.__slots__} for each in extents])
            await tx.run_many(
                "marker_append",
                [
                    {
                        "partition_id": each.partition_id,
                        "end_offset": each.last_offset + 1,
                        "length": each.length,
                        "max_timestamp": each.running_max_timestamp,
                    }
                    for each in extents
                ],
            )
        if commit:
            await tx.run("txn_offsets_commit", transactional_id=row.transactional_id)
        await tx.run("txn_partitions_delete", transactional_id=row.transactional_id)
        await tx.run("txn_offsets_delete", transactional_id=row.transactional_id)
        return extents

    async def load(self, transactional_id: str) -> TxnDescription | None:
        async def body(tx: Tx) -> TxnDescription | None:
            rows = await tx.run("txn_get", transactional_id=transactional_id)
            if not rows:
                return None
            partitions = await tx.run("txn_partitions_alive", transactional_id=transactional_id)
            return TxnDescription(TxnRow(*rows[0]), [(topic_id, index) for topic_id, index in partitions])

        return await self._engine.read(body)

    async def all(self, after: str, limit: int) -> list[TxnRow]:
        return await self._scan("txns", after=after, limit=limit)

    async def overdue(self, limit: int) -> list[TxnRow]:
        async def body(tx: Tx) -> list[TxnRow]:
            return [TxnRow(*row) for row in await tx.run("txns_overdue", now=await tx.now(), limit=limit)]

        return await self._engine.scan(body)

    async def idle(self, before: int, limit: int) -> list[TxnRow]:
        return await self._scan("txns_idle", before=before, limit=limit)

    async def _scan(self, query: str, **parameters: Any) -> list[TxnRow]:
        async def body(tx: Tx) -> list[TxnRow]:
            return [TxnRow(*row) for row in await tx.run(query, **parameters)]

        return await self._engine.scan(body)

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        return await self._engine.read(lambda tx: pending_offsets(tx, group_id, keys))


async def _created(tx: Tx, change: TxnChange) -> bool:
    """Whether there is now the row that there was not; what was not there can be deleted, too."""
    return change.row is None or bool(await tx.run("txn_insert", **change.row._asdict()))


async def pending_offsets(tx: Tx, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
    """Sorted."""
    if keys is None:
        return [OffsetKey(group_id, *row) for row in await tx.run("pending_offsets", group_id=group_id)]
    return [
        OffsetKey(group_id, topic_id, index)
        for topic_id, index in sorted(set(keys))
        if await tx.run("pending_offset_get", group_id=group_id, topic_id=topic_id, partition_index=index)
    ]


def offset_parameters(row: OffsetRow) -> dict[str, Any]:
    """By the names of the columns."""
    return {
        "group_id": row.group,
        "topic_id": row.topic_id,
        "partition_index": row.partition,
        "committed_offset": row.offset,
        "leader_epoch": row.leader_epoch,
        "metadata": row.metadata,
        "commit_timestamp": row.commit_timestamp,
        "expire_timestamp": row.expire_timestamp,
    }
