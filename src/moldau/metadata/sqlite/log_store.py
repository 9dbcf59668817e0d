"""`LogStore` on SQLite: the append commit, by hand because it is the hot path, and the reads of views and fetches."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..ports import LOCKED_EXTENTS_MAX, AppendDone, Decide
from ..rows import (
    APPENDED,
    BLOB_GONE,
    GONE,
    KIND_INLINE,
    KIND_WAL,
    MOVED,
    TXN_OVER,
    AppendCommit,
    AppendResult,
    BlobRow,
    Extent,
    LockedPartition,
    PartitionRow,
    PartitionSeen,
    PartitionState,
    purged_row,
)
from ..rows_txn import ONGOING, TxnGuard
from ..sql import log_rows
from .engine import SqliteEngine
from .tx import SqliteTx, drive

_ADVANCE = (
    "UPDATE partition SET end_offset = end_offset + ?, bytes_total = bytes_total + ?, max_timestamp = max(max_timestamp, ?)"
    " WHERE partition_id = ? AND end_offset = ? AND alive = 1 RETURNING leader_epoch, max_timestamp"
)
_WHERE = "SELECT end_offset, alive FROM partition WHERE partition_id = ?"
_EXTENT = (
    "INSERT INTO extent (partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp,"
    " records, leader_epoch, kind, appended_at, fold) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INLINE = "INSERT INTO inline_blob (blob_id, created_ms, data, extents) VALUES (?, ?, ?, ?)"
_LIVE = "UPDATE blob SET live = live + ? WHERE blob_id = ?"
_BLOB = "SELECT doomed_ms FROM blob WHERE blob_id = ?"
_NEW_BLOB = "INSERT INTO blob (blob_id, kind, size, created_ms, doomed_ms, live) VALUES (?, 0, ?, ?, -1, ?)"
_GUARD = (
    "SELECT 1 FROM txn JOIN txn_partition USING (transactional_id)"
    f" WHERE transactional_id = ? AND state = {ONGOING} AND seq = ? AND partition_id = ?"
)
_CHEAP_ENTRIES = 16


def append(cursor: sqlite3.Cursor, commit: AppendCommit) -> list[AppendResult]:
    """The steps of one append commit inside the caller's transaction (the statement on PostgreSQL does the same at
    once).
    """
    results: list[AppendResult] = []
    extents: list[tuple[Any, ...]] = []
    kind = KIND_WAL if commit.inline is None else KIND_INLINE
    blob = cursor.execute(_BLOB, (commit.blob_id,)).fetchone() if commit.inline is None else None
    new = commit.inline is None and blob is None and commit.new_blob_bytes >= 0
    if commit.inline is None and not new and (blob is None or blob[0] >= 0):
        alive = [_is_alive(cursor, entry.partition_id) for entry in commit.entries]
        return [AppendResult(BLOB_GONE if each else GONE, -1) for each in alive]
    over = _over(cursor, commit.guards) if commit.guards else ()
    for entry in commit.entries:
        base = entry.expected_end
        if entry.partition_id in over:
            results.append(AppendResult(TXN_OVER if _is_alive(cursor, entry.partition_id) else GONE, -1))
            continue
        row = cursor.execute(
            _ADVANCE, (entry.records, entry.length, entry.max_timestamp, entry.partition_id, base)
        ).fetchone()
        if row is None:
            where = cursor.execute(_WHERE, (entry.partition_id,)).fetchone()
            moved = where is not None and where[1]
            results.append(AppendResult(MOVED, where[0]) if moved else AppendResult(GONE, -1))
            continue
        epoch, running = row
        extents.append(
            (
                entry.partition_id,
                base + entry.records - 1,
                base,
                commit.blob_id,
                entry.position,
                entry.length,
                entry.max_timestamp,
                running,
                entry.records,
                epoch,
                kind,
                commit.now,
                entry.fold,
            )
        )
        results.append(AppendResult(APPENDED, base, epoch, running))
    if extents:
        if commit.inline is not None:
            cursor.execute(_INLINE, (commit.blob_id, commit.now, commit.inline, len(extents)))
        elif new:
            cursor.execute(_NEW_BLOB, (commit.blob_id, commit.new_blob_bytes, commit.now, len(extents)))
        else:
            cursor.execute(_LIVE, (len(extents), commit.blob_id))
        cursor.executemany(_EXTENT, extents)
    return results


def append_locked(cursor: sqlite3.Cursor, tx: SqliteTx, known: dict[int, int], decide: Decide) -> list[AppendResult]:
    """The one writer's transaction is all the locking that it takes."""
    locked = []
    for partition_id, end in sorted(known.items()):
        row = drive(log_rows.partition(tx, partition_id))
        behind = row is not None and row.end_offset > end
        extents = drive(log_rows.extents_from(tx, partition_id, end, LOCKED_EXTENTS_MAX)) if behind else []
        locked.append(LockedPartition(row if row is not None else purged_row(partition_id), extents))
    commit = decide(locked)
    return append(cursor, commit) if commit.entries else []


def _over(cursor: sqlite3.Cursor, guards: tuple[TxnGuard, ...]) -> set[int]:
    """The partitions whose guards do not hold."""
    return {
        guard.partition_id
        for guard in guards
        if cursor.execute(_GUARD, (guard.transactional_id, guard.seq, guard.partition_id)).fetchone() is None
    }


def _is_alive(cursor: sqlite3.Cursor, partition_id: int) -> bool:
    where = cursor.execute(_WHERE, (partition_id,)).fetchone()
    return where is not None and bool(where[1])


class SqliteLogStore:
    """See `moldau.metadata.ports.LogStore`."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._engine = engine

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        self._engine.submit(
            lambda cursor: append(cursor, commit),
            done,
            durable=commit.durable,
            cheap=commit.inline is not None and len(commit.entries) <= _CHEAP_ENTRIES,
        )

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Decide, guards: tuple[TxnGuard, ...] = ()
    ) -> list[AppendResult]:
        return await self._engine.operate(lambda cursor, tx: append_locked(cursor, tx, known, decide))

    async def load_partition(self, partition_id: int) -> PartitionState | None:
        return await self._engine.read(lambda tx: log_rows.load_partition(tx, partition_id))

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        return await self._engine.read(lambda tx: log_rows.extents_from(tx, partition_id, offset, limit))

    async def extents_before(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        return await self._engine.read(lambda tx: log_rows.extents_before(tx, partition_id, offset, limit))

    async def extent_by_time(self, partition_id: int, timestamp: int) -> Extent | None:
        return await self._engine.read(lambda tx: log_rows.extent_by_time(tx, partition_id, timestamp))

    async def extent_after_epoch(self, partition_id: int, epoch: int) -> Extent | None:
        return await self._engine.read(lambda tx: log_rows.extent_after_epoch(tx, partition_id, epoch))

    async def read_inline(self, blob_id: int) -> bytes | None:
        async def body(tx: SqliteTx) -> bytes | None:
            rows = await tx.run("inline_get", blob_id=blob_id)
            return rows[0][0] if rows else None

        return await self._engine.read(body)

    async def raise_log_start(self, partition_id: int, offset: int) -> tuple[int, int] | None:
        async def body(tx: SqliteTx) -> tuple[int, int] | None:
            rows = await tx.run("log_start_raise", partition_id=partition_id, to_offset=offset)
            return (rows[0][0], rows[0][1]) if rows else None

        return await self._engine.write(body)

    async def changed(self, seen: list[PartitionSeen]) -> list[PartitionRow]:
        return await self._engine.read(lambda tx: log_rows.changed(tx, seen))

    async def register_blob(self, blob: BlobRow) -> None:
        await self._engine.write(lambda tx: log_rows.insert_blob(tx, blob))
