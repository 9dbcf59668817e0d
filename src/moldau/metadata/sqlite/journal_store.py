"""`JournalStore` on SQLite: rows of many flushes in one transaction that waits for no sync.

Written for a busy loop on the other thread: each step of a statement gives Python's lock away and has to win it back, so the rows of an
apply go in as few statements as they can: one UPDATE for each partition, and INSERTs of many rows each.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
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
_HEAD = "SELECT end_offset, leader_epoch, max_timestamp FROM partition WHERE partition_id = ? AND alive = 1"
_ADVANCE = "UPDATE partition SET end_offset = ?, bytes_total = bytes_total + ?, max_timestamp = ? WHERE partition_id = ? AND alive = 1"
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
    values: list[Any] = []
    live: Counter[int] = Counter()
    for partition_id, entries in by_partition.items():
        head = cursor.execute(_HEAD, (partition_id,)).fetchone()
        if head is None:
            continue  # the topic was deleted
        end, epoch, running = head
        taken = 0
        for commit, entry in entries:
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
            values += (
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
        cursor.execute(_ADVANCE, (end, taken, running, partition_id))
    _EXTENTS.put(cursor, values)
    cursor.executemany(_LIVE, [(count, blob_id) for blob_id, count in live.items()])
    cursor.executemany(_APPLIED, list(applied_ends(commits).items()))
    return []


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
