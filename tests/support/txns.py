"""Rows of transactions, put into a store by plain statements: what a coordinator would have made of requests."""

from __future__ import annotations

import sqlite3
from typing import Any

from moldau.metadata.memory.log_store import MemoryLogStore
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.postgres.text import escape
from moldau.metadata.rows_txn import ONGOING, TxnRow
from moldau.metadata.sqlite.engine import SqliteEngine

from .stores import Stores

_COLUMNS = ", ".join(TxnRow._fields)
_SETS = ", ".join(f"{name} = excluded.{name}" for name in TxnRow._fields[1:])
_PUT = f"INSERT INTO txn ({_COLUMNS}) VALUES ({{}}) ON CONFLICT (transactional_id) DO UPDATE SET {_SETS}"
_LEAVE = "DELETE FROM txn_partition WHERE transactional_id = {}"
_JOIN = "INSERT INTO txn_partition (transactional_id, partition_id) VALUES ({})"


def txn_row(transactional_id: str, seq: int = 1, state: int = ONGOING) -> TxnRow:
    return TxnRow(transactional_id, 7, 0, -1, -1, state, seq, 60_000, 1000, 1000, 2)


async def put_txn(it: Stores, row: TxnRow, *partition_ids: int) -> None:
    """The row, and the partitions that take part now."""
    statements: list[tuple[str, tuple[Any, ...]]] = [
        (_PUT, tuple(row)),
        (_LEAVE, (row.transactional_id,)),
        *[(_JOIN, (row.transactional_id, partition_id)) for partition_id in partition_ids],
    ]
    if isinstance(it.engine, SqliteEngine):

        def operation(cursor: sqlite3.Cursor, _: object) -> None:
            for sql, values in statements:
                cursor.execute(sql.format(", ".join("?" * len(values))), values)

        await it.engine.operate(operation)
    elif isinstance(it.engine, PostgresEngine):

        async def work(session: Any) -> None:
            async with session.connection.transaction():
                for sql, values in statements:
                    marks = ", ".join(f"${n}" for n in range(1, len(values) + 1))
                    await session.connection.execute(
                        sql.format(marks), *[escape(each) if isinstance(each, str) else each for each in values]
                    )

        await it.engine.attempt(it.engine.commit_pool, work, "no transaction", 1e12)
    else:
        assert isinstance(it.log, MemoryLogStore)
        it.log._state.txns[row.transactional_id] = row
        it.log._state.txn_partitions[row.transactional_id] = set(partition_ids)
