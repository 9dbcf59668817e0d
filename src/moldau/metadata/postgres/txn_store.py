"""`TxnStore` on PostgreSQL: as the portable one, in few statements whatever the number of partitions and offsets.

A change is BEGIN, the lock of the row, what takes part, what was decided, COMMIT: five round trips. An end is no more: its partitions are
locked, its markers made and its offsets committed by one statement (`txn_end`), so that others wait for these partitions during two round
trips. Locks are taken in the order of the engine: transactional id, lease, partitions, group offsets.
"""

from __future__ import annotations

from ..markers import Markers
from ..ports import ClusterStore
from ..rows import Extent
from ..rows_txn import TxnChange, TxnRow
from ..sql.tx import Tx
from ..sql.txn_rows import SqlTxnStore
from .engine import PostgresEngine
from .group_store import offset_columns


class PostgresTxnStore(SqlTxnStore):
    """See `moldau.metadata.ports_txn.TxnStore`."""

    def __init__(self, engine: PostgresEngine, cluster: ClusterStore) -> None:
        super().__init__(engine, cluster)
        self._postgres = engine

    async def _taking_part(self, tx: Tx, transactional_id: str) -> tuple[frozenset[int], int]:
        ((now, partition_ids),) = await tx.run(
            "txn_taking_part", transactional_id=transactional_id, manual_now=self._postgres.manual_now
        )
        return frozenset(partition_ids), now

    async def _put(self, tx: Tx, change: TxnChange, row: TxnRow, *, created: bool) -> None:
        more = bool(change.partition_ids or change.offsets)
        if more or (not created and change.end is None):  # an end sets the row itself
            last = {each.key: each for each in change.offsets}
            await tx.run(
                "txn_put",
                **row._asdict(),
                partition_ids=sorted(set(change.partition_ids)),
                **offset_columns([each for _, each in sorted(last.items())]),
            )

    async def _end(self, tx: Tx, row: TxnRow, partition_ids: list[int], commit: bool, markers: Markers) -> list[Extent]:
        ends = await tx.run(
            "txn_end",
            **row._asdict(),
            partition_ids=partition_ids,
            commits=commit,
            blob_id=markers.blob_id,
            now=markers.now,
            length=markers.length,
            fold=markers.fold,
            size_field=markers.size_field,
            rest=markers.rest,
        )
        return markers.extents([(each[0], each[1], each[2], each[3]) for each in ends])
