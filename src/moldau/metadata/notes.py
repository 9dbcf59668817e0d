"""What a journal says about rows that are no extents: groups, their offsets, transactions. Pure.

A note is what one call of a store would have written. It is final once it stands in the journal (`moldau.log.journal`), and its rows follow, many notes in one
transaction. So a note says what the rows will be and nothing that would have to be read first: the same rows come of it whenever it is applied.

The bytes of one note, big-endian (of several: one behind the other); text is UTF-8 (surrogates pass), each with its length before it:

    uint8 what | uint32 bytes that follow | ...
    1 group:        uint32 records | uint32 deleted offsets | uint32 offsets | those
    2 transaction:  id | uint8 flags | the row | uint32 partitions | int32 each | uint32 offsets | those | the end
      the end:      int64 producer id | int16 epoch | int64 now | uint32 markers | int32 partition id, int64 base offset, int32 leader epoch each |
                    the marker batches, of one length, in the same order
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap
from struct import Struct, pack
from struct import error as StructError

from .markers import Markers
from .rows import _Row
from .rows_groups import GroupRecord, OffsetKey, OffsetRow
from .rows_txn import End, TxnRow

_FRAME = Struct(">BI")
_COUNT = Struct(">I")
_COUNTS = Struct(">III")
_KIND = Struct(">ib")
_KEY = Struct(">16si")
_OFFSET = Struct(">16siqiqq")
_ROW = Struct(">qhqhbqiqqb")
_PARTITION = Struct(">i")
_END = Struct(">qhqI")
MARKER_AT = Struct(">iqi")
"""Partition id, base offset, leader epoch."""

_GROUP, _TXN = 1, 2
_BEGINS, _GONE, _ENDS, _COMMITS = 1, 2, 4, 8


class BadNote(Exception):
    """The bytes are no note."""


class GroupNote(_Row):
    """As `moldau.coordination.ports.GroupStore.write`."""

    __slots__ = ("deleted_offsets", "offsets", "records")

    def __init__(self, records: list[GroupRecord], offsets: list[OffsetRow], deleted_offsets: list[OffsetKey]) -> None:
        self.records = records
        self.offsets = offsets
        self.deleted_offsets = deleted_offsets

    def pack(self) -> bytes:
        """Its bytes."""
        parts = [_COUNTS.pack(len(self.records), len(self.deleted_offsets), len(self.offsets))]
        for kind, group, key, value in self.records:
            parts += (_KIND.pack(kind, value is not None), _text(group), _text(key))
            if value is not None:
                parts.append(_bytes(value))
        for group, topic_id, partition in self.deleted_offsets:
            parts += (_text(group), _KEY.pack(topic_id, partition))
        _pack_offsets(parts, self.offsets)
        return _framed(_GROUP, b"".join(parts))


class TxnNote(_Row):
    """As a `moldau.metadata.rows_txn.TxnChange`. `begins`: nothing took part before. The markers of an `end` have `now` as their time, and `ends` says where
    they are: (partition id, base offset, leader epoch) each, in the order of ids.
    """

    __slots__ = ("begins", "end", "ends", "now", "offsets", "partition_ids", "row", "transactional_id")

    def __init__(
        self,
        transactional_id: str,
        row: TxnRow | None,
        begins: bool = False,
        partition_ids: list[int] | None = None,
        offsets: list[OffsetRow] | None = None,
        end: End | None = None,
        now: int = 0,
        ends: list[tuple[int, int, int]] | None = None,
    ) -> None:
        self.transactional_id = transactional_id
        self.row = row
        self.begins = begins
        self.partition_ids = partition_ids or []
        self.offsets = offsets or []
        self.end = end
        self.now = now
        self.ends = ends or []

    def markers(self) -> Markers:
        """What the markers have in common. Only of one that ends."""
        assert self.end is not None
        return Markers(self.end, -1, self.now)

    def pack(self, batches: list[bytes] | None = None) -> bytes:
        """Its bytes; `batches` are its markers, if somebody has made them."""
        flags = (_BEGINS if self.begins else 0) | (_GONE if self.row is None else 0)
        if self.end is not None:
            flags |= _ENDS | (_COMMITS if self.end.commit else 0)
        parts = [_text(self.transactional_id), bytes([flags])]
        if self.row is not None:
            parts.append(_ROW.pack(*self.row[1:]))
        parts.append(_COUNT.pack(len(self.partition_ids)))
        parts.append(pack(f">{len(self.partition_ids)}i", *self.partition_ids))
        parts.append(_COUNT.pack(len(self.offsets)))
        _pack_offsets(parts, self.offsets)
        if self.end is not None:
            parts.append(_END.pack(self.end.producer_id, self.end.epoch, self.now, len(self.ends)))
            parts += starmap(MARKER_AT.pack, self.ends)
            parts += self.markers().batches(self.ends) if batches is None else batches
        return _framed(_TXN, b"".join(parts))


Note = GroupNote | TxnNote


def unpack(data: bytes) -> Iterator[tuple[Note, int]]:
    """The notes, and where each ends: the markers of one that ends a transaction lie right before that. Raises BadNote."""
    at = 0
    try:
        while at < len(data):
            what, length = _FRAME.unpack_from(data, at)
            at += _FRAME.size
            reader = _Reader(data, at, at + length)
            if what == _GROUP:
                note: Note = _unpack_group(reader)
            elif what == _TXN:
                note = _unpack_txn(reader)
            else:
                raise BadNote(f"there is no note {what}")
            at += length
            if reader.at != at or at > len(data):
                raise BadNote(f"a note ends at {reader.at} instead of {at}")
            yield note, at
    except (StructError, UnicodeDecodeError, IndexError) as error:
        raise BadNote(f"the note that ends before {at} is damaged: {error}") from error


def _framed(what: int, body: bytes) -> bytes:
    return _FRAME.pack(what, len(body)) + body


def _text(text: str) -> bytes:
    return _bytes(text.encode("utf-8", "surrogatepass"))


def _bytes(data: bytes) -> bytes:
    return _COUNT.pack(len(data)) + data


def _pack_offsets(parts: list[bytes], offsets: list[OffsetRow]) -> None:
    """Group and metadata of each come before the rest of it; most of one note are of one group."""
    last, group_bytes = None, b""
    for group, topic_id, partition, offset, leader_epoch, metadata, committed, expires in offsets:
        if group != last:
            last, group_bytes = group, _text(group)
        parts += (
            group_bytes,
            _text(metadata) if metadata else b"\0\0\0\0",
            _OFFSET.pack(topic_id, partition, offset, leader_epoch, committed, expires),
        )


class _Reader:
    """Reads of one note, from `at` on and not beyond `end`."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int, end: int) -> None:
        self.data = data
        self.at = at
        self.end = end

    def take(self, struct: Struct) -> tuple[int, ...]:
        return struct.unpack_from(self.data, self._advance(struct.size))

    def count(self) -> int:
        count: int = self.take(_COUNT)[0]
        return count

    def bytes(self) -> bytes:
        length = self.count()
        at = self._advance(length)
        return self.data[at : at + length]

    def text(self) -> str:
        return str(self.bytes(), "utf-8", "surrogatepass")

    def _advance(self, length: int) -> int:
        at = self.at
        if at + length > self.end:
            raise BadNote(f"{length} bytes were expected at {at}, there are {self.end - at}")
        self.at = at + length
        return at

    def skip(self, length: int) -> None:
        self._advance(length)

    def key(self) -> OffsetKey:
        group = self.text()
        topic_id, partition = _KEY.unpack_from(self.data, self._advance(_KEY.size))
        return OffsetKey(group, topic_id, partition)

    def offset(self) -> OffsetRow:
        group, metadata = self.text(), self.text()
        topic_id, partition, offset, epoch, committed, expires = _OFFSET.unpack_from(
            self.data, self._advance(_OFFSET.size)
        )
        return OffsetRow(group, topic_id, partition, offset, epoch, metadata, committed, expires)


def _unpack_group(reader: _Reader) -> GroupNote:
    records, deleted, offsets = reader.take(_COUNTS)
    return GroupNote(
        [_record(reader) for _ in range(records)],
        # in the order of the bytes: deleted ones first
        deleted_offsets=[reader.key() for _ in range(deleted)],
        offsets=[reader.offset() for _ in range(offsets)],
    )


def _record(reader: _Reader) -> GroupRecord:
    kind, there = reader.take(_KIND)
    group, key = reader.text(), reader.text()
    return GroupRecord(kind, group, key, reader.bytes() if there else None)


def _unpack_txn(reader: _Reader) -> TxnNote:
    transactional_id = reader.text()
    flags = reader.data[reader.at]
    reader.skip(1)
    row = None if flags & _GONE else TxnRow(transactional_id, *reader.take(_ROW))
    partition_ids = [reader.take(_PARTITION)[0] for _ in range(reader.count())]
    offsets = [reader.offset() for _ in range(reader.count())]
    note = TxnNote(transactional_id, row, bool(flags & _BEGINS), partition_ids, offsets)
    if flags & _ENDS:
        producer_id, epoch, note.now, count = reader.take(_END)
        note.end = End(bool(flags & _COMMITS), producer_id, epoch)
        note.ends = [(each[0], each[1], each[2]) for each in (reader.take(MARKER_AT) for _ in range(count))]
        reader.skip(count * note.markers().length)
    return note
