"""The segment format: one partition's batches in one immutable blob, with an index by offset and by time in front of them.

    0   4 bytes  b"MSEG"
    4   uint8    version (1)
    5   3 bytes  zero
    8   int32    partition id
    12  int32    leader epoch of its batches
    16  int64    base offset
    24  int64    last offset
    32  uint64   length of the record area in bytes
    40  int64    max timestamp (ms), -1: no batch has one
    48  uint32   number of batches
    52  uint32   number of index entries, at least 1
    56  uint32   CRC-32C of the record area
    60  uint32   CRC-32C of bytes 0-59 and of the index
    64  index: for each entry
          uint32 base offset of a batch, relative to the segment's
          uint32 where that batch begins in the record area
          int64  max timestamp of the segment's batches before the next entry (a running maximum)
    ... record area: the batches, base offsets and leader epochs final

All numbers big endian. Entries ascend; the first is (0, 0), and the next one stands at the first batch that begins at least
`INDEX_INTERVAL_BYTES` after the one before. The extent's row names the record area, so the index is what lies before its position: one
read of known length. A seek is that read, a bisection, and the scan of one interval, however large the segment.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from struct import Struct

from moldau.metadata.rows import Extent
from moldau.records.batch import (
    ATTRIBUTES_AT,
    HEADER_BYTES,
    LENGTH_END,
    MAGIC_V2,
    compute_crc,
    iter_headers,
    set_base_offset,
)
from moldau.records.crc import crc32c
from moldau.records.errors import InvalidBatch

MAGIC = b"MSEG"
VERSION = 1
INDEX_INTERVAL_BYTES = 16 << 10
_HEAD = Struct(">4sB3xiiqqQqIIII")
_ENTRY = Struct(">IIq")
HEAD_BYTES = _HEAD.size
ENTRY_BYTES = _ENTRY.size
_UINT32 = Struct(">I")
_CRC_AT = HEAD_BYTES - 4
# base offset, length, leader epoch, magic, CRC, attributes, last offset delta, base timestamp, max timestamp
_BATCH = Struct(">qiibIhiqq")

Buffer = bytes | bytearray | memoryview


class BadSegment(Exception):
    """The bytes are no segment of this format, or a newer one."""


class BadExtent(Exception):
    """An extent's bytes are not the batches that its row names; nothing is built of it."""

    def __init__(self, extent: Extent, reason: str) -> None:
        super().__init__(
            f"extent {extent.base_offset}..{extent.last_offset} of partition {extent.partition_id},"
            f" blob {extent.blob_id:016x}: {reason}"
        )
        self.extent = extent


class Index:
    """The header and the index of one segment, unpacked."""

    __slots__ = (
        "base_offset",
        "batches",
        "last_offset",
        "leader_epoch",
        "length",
        "max_timestamp",
        "offsets",
        "partition_id",
        "positions",
        "records_crc",
        "timestamps",
    )

    def __init__(self, raw: Buffer) -> None:
        """From the bytes before the record area. Raises BadSegment."""
        if len(raw) < HEAD_BYTES:
            raise BadSegment(f"{len(raw)} bytes came, a header has {HEAD_BYTES}")
        (
            magic,
            version,
            self.partition_id,
            self.leader_epoch,
            self.base_offset,
            self.last_offset,
            self.length,
            self.max_timestamp,
            self.batches,
            entries,
            self.records_crc,
            crc,
        ) = _HEAD.unpack_from(raw)
        if magic != MAGIC:
            raise BadSegment(f"it begins with {magic!r}, expected {MAGIC!r}")
        if version != VERSION:
            raise BadSegment(f"version {version}; this release knows version {VERSION}")
        if len(raw) != HEAD_BYTES + entries * ENTRY_BYTES or not entries:
            raise BadSegment(f"an index of {entries} entries does not fit the {len(raw)} bytes before the records")
        if crc32c(raw[HEAD_BYTES:], crc32c(raw[:_CRC_AT])) != crc:
            raise BadSegment("checksum of header and index is wrong")
        table = list(_ENTRY.iter_unpack(raw[HEAD_BYTES:]))
        self.offsets = [entry[0] for entry in table]
        self.positions = [entry[1] for entry in table]
        self.timestamps = [entry[2] for entry in table]

    def seek(self, offset: int) -> tuple[int, int]:
        """(position in the record area, base offset) of the last indexed batch at or before `offset`."""
        at = max(0, bisect_right(self.offsets, offset - self.base_offset) - 1)
        return self.positions[at], self.base_offset + self.offsets[at]

    def by_time(self, timestamp: int) -> int:
        """Number of the first entry whose batches may reach `timestamp`; the number of entries if none does."""
        return bisect_left(self.timestamps, timestamp)

    def interval(self, at: int) -> tuple[int, int]:
        """(position, length) in the record area of what entry `at` covers."""
        position = self.positions[at]
        end = self.positions[at + 1] if at + 1 < len(self.positions) else self.length
        return position, end - position


class Segment:
    """What `build` makes: the buffers of the blob, and what the extent's row says of it."""

    __slots__ = ("batches", "buffers", "length", "max_timestamp", "position")

    def __init__(self, buffers: list[Buffer], position: int, length: int, batches: int, max_timestamp: int) -> None:
        self.buffers = buffers
        self.position = position
        self.length = length
        self.batches = batches
        self.max_timestamp = max_timestamp


class Builder:
    """Takes the extents of a run one by one, checks each batch, and notes what the index needs."""

    def __init__(self, first: Extent) -> None:
        self._first = first
        self._next_offset = first.base_offset
        self._parts: list[Buffer] = []
        self._length = 0
        self._batches = 0
        self._index_at = 0
        self._entries: list[list[int]] = []
        self._max_timestamp = -1
        self._crc = 0

    def add(self, extent: Extent, data: Buffer) -> int:
        """The next extent with its bytes; returns how many batches it has. Raises BadExtent; then nothing of it was taken and the builder is of
        no more use.
        """
        base = extent.base_offset
        if base != self._next_offset or extent.leader_epoch != self._first.leader_epoch:
            raise BadExtent(extent, f"offset {self._next_offset} was expected")
        end = len(data)
        if end != extent.length or not end:
            raise BadExtent(extent, f"{end} bytes came, {extent.length} were expected")
        if end >= HEADER_BYTES and _BATCH.unpack_from(data)[0] != base:
            data = bytearray(data)  # the guess was wrong: each batch gets its true offset
        at, start, before = 0, self._length, self._batches
        view = memoryview(data)
        while at < end:
            if end - at < HEADER_BYTES:
                raise BadExtent(extent, f"{end - at} bytes at the end are no batch")
            stored_base, length, epoch, magic, crc, _, delta, _, max_timestamp = _BATCH.unpack_from(data, at)
            following = at + length + LENGTH_END
            if magic != MAGIC_V2 or length < HEADER_BYTES - LENGTH_END or following > end or delta < 0:
                raise BadExtent(extent, f"no batch at byte {at}")
            if crc32c(view[at + ATTRIBUTES_AT : following]) != crc:
                raise BadExtent(extent, f"the batch at offset {base} has a wrong checksum")
            if stored_base != base or epoch != extent.leader_epoch:
                if not isinstance(data, bytearray):
                    data = bytearray(data)
                    view = memoryview(data)
                set_base_offset(data, at, base, extent.leader_epoch)
            position = start + at
            if position >= self._index_at:
                self._entries.append([base - self._first.base_offset, position, self._max_timestamp])
                self._index_at = position + INDEX_INTERVAL_BYTES
            if max_timestamp > self._max_timestamp:
                self._max_timestamp = max_timestamp
                self._entries[-1][2] = max_timestamp
            self._batches += 1
            base += delta + 1
            at = following
        if base != extent.last_offset + 1:
            raise BadExtent(extent, f"its batches end at offset {base - 1}")
        self._parts.append(data)
        self._crc = crc32c(
            data, self._crc
        )  # here, where there is little of it: a whole segment would take milliseconds
        self._length += end
        self._next_offset = base
        return self._batches - before

    def bare(self) -> Segment:
        """The batches without header and index, for what stays inline."""
        return Segment(self._parts, 0, self._length, self._batches, self._max_timestamp)

    def finish(self) -> Segment:
        """The whole blob."""
        index = b"".join([_ENTRY.pack(*entry) for entry in self._entries])
        first = self._first
        head = bytearray(HEAD_BYTES)
        _HEAD.pack_into(
            head,
            0,
            MAGIC,
            VERSION,
            first.partition_id,
            first.leader_epoch,
            first.base_offset,
            self._next_offset - 1,
            self._length,
            self._max_timestamp,
            self._batches,
            len(self._entries),
            self._crc,
            0,
        )
        _UINT32.pack_into(head, _CRC_AT, crc32c(index, crc32c(head[:_CRC_AT])))
        position = HEAD_BYTES + len(index)
        return Segment([head, index, *self._parts], position, self._length, self._batches, self._max_timestamp)


def build(parts: Sequence[tuple[Extent, Buffer]]) -> Segment:
    """A segment of these extents, in order. Raises BadExtent."""
    builder = Builder(parts[0][0])
    for extent, data in parts:
        builder.add(extent, data)
    return builder.finish()


def check(blob: Buffer, extent: Extent) -> Iterator[str]:
    """What is wrong with a whole segment blob that `extent` names: checksums, counts, and the index against the batches."""
    view = memoryview(blob)
    try:
        index = Index(view[: extent.position])
    except BadSegment as error:
        yield f"segment header: {error}"
        return
    records = view[extent.position :]
    said = (index.partition_id, index.base_offset, index.last_offset, index.length)
    named = (extent.partition_id, extent.base_offset, extent.last_offset, extent.length)
    if said != named:
        yield f"segment header says partition, offsets and length {said}, its row {named}"
    if len(records) != index.length:
        yield f"segment has {len(records)} bytes of records, its header says {index.length}"
    if crc32c(records) != index.records_crc:
        yield "checksum of the segment's records is wrong"
    yield from _check_index(index, records)


def _check_index(index: Index, records: memoryview) -> Iterator[str]:
    batches, running, at = 0, -1, 0
    entries = len(index.offsets)
    try:
        for position, header in iter_headers(records):
            if at < entries and index.positions[at] == position:
                if at and index.timestamps[at - 1] != running:
                    yield f"index entry {at - 1}: timestamp {index.timestamps[at - 1]}, its batches reach {running}"
                if index.base_offset + index.offsets[at] != header.base_offset:
                    yield f"index entry {at}: offset {index.base_offset + index.offsets[at]}, the batch there begins at {header.base_offset}"
                at += 1
            if header.partition_leader_epoch != index.leader_epoch:
                yield f"batch at offset {header.base_offset}: leader epoch {header.partition_leader_epoch}, expected {index.leader_epoch}"
            if compute_crc(records, position, header.size) != header.crc:
                yield f"batch at offset {header.base_offset}: wrong checksum"
            running = max(running, header.max_timestamp)
            batches += 1
    except InvalidBatch as error:
        yield str(error)
        return
    if at != entries:
        yield f"index entry {at} points to no batch"
    elif index.timestamps[-1] != running:
        yield f"index entry {at - 1}: timestamp {index.timestamps[-1]}, its batches reach {running}"
    if (batches, running) != (index.batches, index.max_timestamp):
        yield f"segment header says {index.batches} batches up to time {index.max_timestamp}, there are {batches} up to {running}"
