"""`JournalStore` on SQLite: rows of many flushes in one transaction that waits for no sync.

Written for a busy loop on the other thread: each step of a statement gives Python's lock away and has to win it back, so the rows of an
apply go in few statements, each of many rows: a SELECT, an UPDATE and INSERTs. Small neighbours become one row (`moldau.metadata.gathering`). The values of an INSERT are gathered when the one before has
run: that takes as long as running it, so the loop waits for the lock a tenth of a millisecond at most.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Any

from ..errors import StoreCorrupt, StoreUnavailable
from ..gathering import Gathered, gather, runs, worth_it
from ..ports import ApplyDone
from ..rows import KIND_WAL, AppendCommit, AppendEntry, Extent, applied_ends
from .engine import SqliteEngine
from .many_rows import ManyRows
from .note_rows import NoteRows
from .tx import SqliteTx

_COLUMNS = (
    "partition_id, last_offset, base_offset, blob_id, position, length, max_timestamp, running_max_timestamp, records, leader_epoch, kind, appended_at,"
    " fold"
)
_EXTENTS = ManyRows("extent", _COLUMNS)
_row_of = attrgetter(*_COLUMNS.split(", "))
_INLINE = ManyRows("inline_blob", "blob_id, created_ms, data, extents")
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


def apply(
    cursor: sqlite3.Cursor, queries: dict[str, str], commits: list[AppendCommit], blob_ids: Sequence[int] = ()
) -> list[Extent]:
    """Inside the caller's transaction. Raises StoreCorrupt."""
    _apply_notes(cursor, queries, commits)
    by_partition: dict[int, list[tuple[AppendCommit, AppendEntry]]] = {}
    for commit in commits:
        for entry in commit.entries:
            by_partition.setdefault(entry.partition_id, []).append((commit, entry))
    heads = _heads(cursor, list(by_partition))  # of those whose topics were not deleted
    made = _Made(blob_ids)
    _EXTENTS.put(cursor, made.extents(heads, by_partition))
    _INLINE.put(cursor, [(one.blob_id, one.appended_at, data, 1) for one, data in made.gathered])
    _advance(cursor, made.moved)
    cursor.executemany(_LIVE, [(count, blob_id) for blob_id, count in made.live.items()])
    cursor.executemany(_APPLIED, list(applied_ends(commits).items()))
    return [one for one, _ in made.gathered]


class _Made:
    """What an apply writes: `moved` is what becomes of the partitions, `live` how many extents more each blob has."""

    def __init__(self, blob_ids: Sequence[int]) -> None:
        self._blob_ids = iter(blob_ids)
        self.moved: list[int] = []
        self.live: Counter[int] = Counter()
        self.gathered: list[Gathered] = []

    def extents(
        self,
        heads: list[tuple[int, int, int, int]],
        by_partition: dict[int, list[tuple[AppendCommit, AppendEntry]]],
    ) -> Iterator[Sequence[Any]]:
        """The rows, as they are asked for."""
        for partition_id, end, epoch, running in heads:
            fresh = _fresh(by_partition[partition_id], end)
            for run in runs(fresh):
                blob_id = next(self._blob_ids, -1) if worth_it(run) else -1
                if blob_id >= 0:
                    one = gather(run, blob_id, epoch, running)
                    self.gathered.append(one)
                    running = one.extent.running_max_timestamp
                    yield _row_of(one.extent)
                    continue
                for commit, entry in run:
                    self.live[commit.blob_id] += 1
                    running = max(running, entry.max_timestamp)
                    yield (
                        partition_id,
                        entry.expected_end + entry.records - 1,
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
            if fresh:
                last = fresh[-1][1]
                taken = sum([entry.length for _, entry in fresh])
                self.moved += (partition_id, last.expected_end + last.records, taken, running)


def _fresh(placed: list[tuple[AppendCommit, AppendEntry]], end: int) -> list[tuple[AppendCommit, AppendEntry]]:
    """Those that are not in the rows of their partition yet, which ends there. Raises StoreCorrupt."""
    first = 0
    while first < len(placed) and placed[first][1].expected_end + placed[first][1].records <= end:
        first += 1  # an apply before whose reply was lost
    fresh = placed[first:]
    for _, entry in fresh:
        if entry.expected_end != end:
            raise StoreCorrupt(
                f"partition {entry.partition_id} ends at {end}, the journal goes on at {entry.expected_end}"
            )
        end += entry.records
    return fresh


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

    def apply(self, commits: list[AppendCommit], done: ApplyDone, blob_ids: Sequence[int] = ()) -> None:
        def operation(cursor: sqlite3.Cursor) -> list[Extent]:
            # the system may write rows to the disk before we ask for it: what they name must be there by then
            try:
                self._engine.before_sync()
            except Exception as error:
                raise StoreUnavailable(f"the journal cannot be synced: {error}") from error
            return apply(cursor, self._engine.queries, commits, blob_ids)

        self._engine.submit(operation, done, durable=False, measured=False)

    async def applied_to(self, blob_id: int) -> int:
        async def body(tx: SqliteTx) -> int:
            rows = await tx.run("journal_get", blob_id=blob_id)
            return int(rows[0][0]) if rows else 0

        return await self._engine.read(body)
