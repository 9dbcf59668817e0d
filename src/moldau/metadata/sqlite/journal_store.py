"""`JournalStore` on SQLite: rows of many flushes in one transaction that waits for no sync.

Written for a busy loop on the other thread: each step of a statement gives Python's lock away and has to win it back, so the rows of an
apply go in few statements, each of many rows: a SELECT, an UPDATE and INSERTs. The values of an INSERT are gathered when the one before has
run: that takes as long as running it, so the loop waits for the lock a tenth of a millisecond at most.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..errors import StoreCorrupt, StoreUnavailable
from ..ports import AppendDone
from ..rows import KIND_WAL, AppendCommit, AppendEntry, AppendResult, applied_ends
from .engine import SqliteEngine
from .many_rows import ManyRows
from .note_rows import NoteRows
from .tx import SqliteTx

_EXTENTS = ManyRows(
    "extent",
    "partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch, kind, appended_at,"
    " fold",
)
_HEADS = (
    "SELECT partition_id, end_offset, leader_epoch, max_timestamp FROM partition WHERE alive = 1 AND partition_id IN "
)
_ADVANCE = (
    "UPDATE partition SET end_offset = moved.column2, bytes_total = bytes_total + moved.column3, max_timestamp = moved.column4"
    " FROM (VALUES {}) AS moved WHERE partition_id = moved.column1"
)
_PARTITIONS_MAX = 128
"""Partitions in one statement at most."""
_LIVE = "UPDATE blob SET live = live + ? WHERE blob_id = ?"
_APPLIED = (
    "INSERT INTO journal (blob_id, applied_to) VALUES (?, ?)"
    " ON CONFLICT (blob_id) DO UPDATE SET applied_to = excluded.applied_to WHERE journal.applied_to < excluded.applied_to"
)


_APPLIED_TO = "SELECT blob_id, applied_to FROM journal"


def apply(cursor: sqlite3.Cursor, queries: dict[str, str], commits: list[AppendCommit]) -> list[AppendResult]:
    """Inside the caller's transaction. Raises StoreCorrupt."""
    _apply_notes(cursor, queries, commits)
    by_partition: dict[int, list[tuple[AppendCommit, AppendEntry]]] = {}
    for commit in commits:
        for entry in commit.entries:
            by_partition.setdefault(entry.partition_id, []).append((commit, entry))
    moved: list[int] = []
    live: Counter[int] = Counter()
    heads = _heads(cursor, list(by_partition))  # of those whose topics were not deleted
    _EXTENTS.put(cursor, _extents(heads, by_partition, moved, live))
    _advance(cursor, moved)
    cursor.executemany(_LIVE, [(count, blob_id) for blob_id, count in live.items()])
    cursor.executemany(_APPLIED, list(applied_ends(commits).items()))
    return []


def _extents(
    heads: list[tuple[int, int, int, int]],
    by_partition: dict[int, list[tuple[AppendCommit, AppendEntry]]],
    moved: list[int],
    live: Counter[int],
) -> Iterator[tuple[Any, ...]]:
    """The rows that are not there yet. `moved` gets what they make of their partitions, `live` how many of them each blob has."""
    for partition_id, end, epoch, running in heads:
        taken = 0
        for commit, entry in by_partition[partition_id]:
            if entry.expected_end + entry.records <= end:
                continue  # an apply before whose reply was lost
            if entry.expected_end != end:
                raise StoreCorrupt(
                    f"partition {partition_id} ends at {end}, the journal goes on at {entry.expected_end}"
                )
            end += entry.records
            taken += entry.length
            live[commit.blob_id] += 1
            running = max(running, entry.max_timestamp)
            yield (
                partition_id,
                end - 1,
                entry.expected_end,
                commit.blob_id,
                entry.position,
                entry.length,
                entry.max_timestamp,
                running,
                entry.records,
                epoch,
                KIND_WAL,
                commit.now,
                entry.fold,
            )
        moved += (partition_id, end, taken, running)


def _heads(cursor: sqlite3.Cursor, partition_ids: list[int]) -> list[tuple[int, int, int, int]]:
    """Of those that are alive: id, end, leader epoch, largest timestamp."""
    heads: list[tuple[int, int, int, int]] = []
    for start in range(0, len(partition_ids), _PARTITIONS_MAX):
        some = partition_ids[start : start + _PARTITIONS_MAX]
        heads += cursor.execute(f"{_HEADS}({', '.join('?' * len(some))})", some).fetchall()
    return heads


def _advance(cursor: sqlite3.Cursor, moved: list[int]) -> None:
    """`moved`: of each partition its id, new end, further bytes, largest timestamp, one behind the other."""
    for start in range(0, len(moved), 4 * _PARTITIONS_MAX):
        some = moved[start : start + 4 * _PARTITIONS_MAX]
        cursor.execute(_ADVANCE.format(", ".join(["(?, ?, ?, ?)"] * (len(some) // 4))), some)


def _apply_notes(cursor: sqlite3.Cursor, queries: dict[str, str], commits: list[AppendCommit]) -> None:
    """All but those whose rows are there (an apply before whose reply was lost)."""
    noted = [commit for commit in commits if commit.notes]
    if not noted:
        return
    applied_to: dict[int, int] = dict(cursor.execute(_APPLIED_TO).fetchall())
    rows = NoteRows(cursor, queries)
    for commit in noted:
        if commit.end > applied_to.get(commit.blob_id, 0):
            for note in commit.notes:
                rows.add(note)
    rows.flush()


class SqliteJournalStore:
    """See `moldau.metadata.ports.JournalStore`."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._engine = engine

    def apply(self, commits: list[AppendCommit], done: AppendDone) -> None:
        def operation(cursor: sqlite3.Cursor) -> list[AppendResult]:
            # the system may write rows to the disk before we ask for it: what they name must be there by then
            try:
                self._engine.before_sync()
            except Exception as error:
                raise StoreUnavailable(f"the journal cannot be synced: {error}") from error
            return apply(cursor, self._engine.queries, commits)

        self._engine.submit(operation, done, durable=False, measured=False)

    async def applied_to(self, blob_id: int) -> int:
        async def body(tx: SqliteTx) -> int:
            rows = await tx.run("journal_get", blob_id=blob_id)
            return int(rows[0][0]) if rows else 0

        return await self._engine.read(body)
