"""Rows of a journal's notes, many notes in one transaction: what is written over by a later note never becomes a row.

Of group records and committed offsets the last one counts. A transaction that begins and ends within one apply leaves its own row and the offsets that it
committed. What reaches back to rows that are there (an end of an older transaction, deleted offsets) is done in its turn by a statement of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from ..commit_notes import CommitNote
from ..notes import GroupNote, Note, TxnNote
from ..rows_groups import OffsetKey, OffsetRow
from ..rows_txn import TxnRow
from .many_rows import ManyRows

_OFFSET_COLUMNS = (
    "group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata, commit_timestamp, expire_timestamp"
)
_OFFSETS = ManyRows("group_offset", _OFFSET_COLUMNS, "group_id, topic_id, partition_index")
_PENDING = ManyRows(
    "txn_offset", f"transactional_id, {_OFFSET_COLUMNS}", "transactional_id, group_id, topic_id, partition_index"
)
_RECORDS = ManyRows("coordinator_record", "kind, group_id, record_key, value", "kind, group_id, record_key")
_TXNS = ManyRows("txn", ", ".join(TxnRow._fields), "transactional_id")
_PARTITIONS = ManyRows("txn_partition", "transactional_id, partition_id", "transactional_id, partition_id")
_RECORD_DELETE = "DELETE FROM coordinator_record WHERE kind = ? AND group_id = ? AND record_key = ?"
_TOPIC = "SELECT 1 FROM topic WHERE topic_id = ? AND deleted_ms IS NULL"


class _Txn:
    """A transactional id of which this apply knows everything that takes part: none of it is in rows."""

    __slots__ = ("offsets", "partition_ids", "row")

    def __init__(self, row: TxnRow) -> None:
        self.row = row
        self.partition_ids: set[int] = set()
        self.offsets: dict[OffsetKey, OffsetRow] = {}


class NoteRows:
    """`add` the notes in their order, then `flush`. Inside the caller's transaction."""

    def __init__(self, cursor: sqlite3.Cursor, queries: dict[str, str]) -> None:
        self._cursor = cursor
        self._queries = queries
        self._records: dict[tuple[int, str, str], bytes | None] = {}
        self._offsets: dict[object, GroupNote | CommitNote] = {}
        self._txns: dict[str, _Txn] = {}
        self._alive: dict[bytes, bool] = {}

    def add(self, note: Note | CommitNote) -> None:
        """The next note."""
        if isinstance(note, CommitNote):
            self._offsets.pop(note.layout, None)  # the last one counts, and in its place
            self._offsets[note.layout] = note
        elif isinstance(note, GroupNote):
            self._group(note)
        else:
            self._txn(note)

    def flush(self) -> None:
        """Everything that was added is in rows."""
        gone = [key for key, value in self._records.items() if value is None]
        self._cursor.executemany(_RECORD_DELETE, gone)
        _RECORDS.put(self._cursor, ((*key, value) for key, value in self._records.items() if value is not None))
        _OFFSETS.put(self._cursor, self._last_offsets())
        txns = self._txns
        _TXNS.put(self._cursor, (txn.row for txn in txns.values()))
        _PARTITIONS.put(self._cursor, ((name, each) for name, txn in txns.items() for each in txn.partition_ids))
        _PENDING.put(self._cursor, ((name, *row) for name, txn in txns.items() for row in txn.offsets.values()))
        self._records.clear()
        self._offsets.clear()
        txns.clear()

    def _last_offsets(self) -> Iterable[OffsetRow]:
        last: dict[tuple[str, bytes, int], OffsetRow] = {}
        for note in self._offsets.values():
            for row in note.offsets:
                last[row[:3]] = row
        return last.values()

    def _group(self, note: GroupNote) -> None:
        for kind, group, key, value in note.records:
            self._records[kind, group, key] = value
        if note.deleted_offsets:
            self.flush()
            for group, topic_id, partition in note.deleted_offsets:
                key_of = {"group_id": group, "topic_id": topic_id, "partition_index": partition}
                self._run("group_offset_delete", **key_of)
                self._run("pending_offset_delete", **key_of)
        if note.offsets:
            self._offsets[id(note)] = note  # nobody else's, as long as it is here

    def _txn(self, note: TxnNote) -> None:
        name, row = note.transactional_id, note.row
        if row is None:
            self.flush()
            for query in ("txn_partitions_delete", "txn_offsets_delete", "txn_delete"):
                self._run(query, transactional_id=name)
            return
        txn = self._txns.get(name)
        if txn is None:
            if not note.begins:
                self._of_rows(note, row)
                return
            txn = self._txns[name] = _Txn(row)
        txn.row = row
        txn.partition_ids.update(note.partition_ids)
        for offset in note.offsets:
            txn.offsets[offset.key] = offset
        if note.end is not None:
            if note.end.commit:
                alive = [offset for key, offset in txn.offsets.items() if self._is_alive(key.topic_id)]
                self._group(GroupNote([], alive, []))
            txn.partition_ids.clear()
            txn.offsets.clear()

    def _of_rows(self, note: TxnNote, row: TxnRow) -> None:
        """Of what takes part some is in rows."""
        self.flush()
        name = note.transactional_id
        _TXNS.put(self._cursor, [row])
        _PARTITIONS.put(self._cursor, ((name, each) for each in note.partition_ids))
        _PENDING.put(self._cursor, ((name, *offset) for offset in note.offsets))
        if note.end is not None:
            if note.end.commit:
                self._run("txn_offsets_commit", transactional_id=name)
            self._run("txn_partitions_delete", transactional_id=name)
            self._run("txn_offsets_delete", transactional_id=name)

    def _is_alive(self, topic_id: bytes) -> bool:
        alive = self._alive.get(topic_id)
        if alive is None:
            alive = self._alive[topic_id] = self._cursor.execute(_TOPIC, (topic_id,)).fetchone() is not None
        return alive

    def _run(self, query: str, **parameters: Any) -> None:
        self._cursor.execute(self._queries[query], parameters)
