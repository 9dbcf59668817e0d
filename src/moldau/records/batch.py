"""The header of a record batch in message format v2, read and patched where it lies.

Byte layout, big endian (KIP-98, Kafka class DefaultRecordBatch):

    0   int64   base offset             outside the checksum: the reader patches it
    8   int32   length                  of everything after this field
    12  int32   partition leader epoch  outside the checksum: the reader patches it
    16  int8    magic                   2
    17  uint32  CRC-32C                 of everything from the attributes to the end of the batch
    21  int16   attributes              bits 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
    23  int32   last offset delta       the offset of the last record, also when compaction has removed it
    27  int64   base timestamp          ms; record timestamps are relative to it. With bit 6: the delete horizon
    35  int64   max timestamp           ms; with bit 3 the timestamp of every record
    43  int64   producer id             -1: none
    51  int16   producer epoch          -1: none
    53  int32   base sequence           -1: none
    57  int32   record count            records still in the batch
    61  records, compressed as a whole if there is a codec
"""

from collections.abc import Iterator
from struct import Struct
from typing import TypeAlias

from moldau.records.crc import crc32c
from moldau.records.errors import corrupt

Buffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview

HEADER_BYTES = 61
LENGTH_END = 12
"""`length` counts from here: a batch takes LENGTH_END + length bytes."""
LENGTH_MIN = HEADER_BYTES - LENGTH_END
RECORD_BYTES_MIN = 7
"""A record with nothing in it: seven fields of one byte."""

BASE_OFFSET_AT = 0
LENGTH_AT = 8
LEADER_EPOCH_AT = 12
MAGIC_AT = 16
CRC_AT = 17
ATTRIBUTES_AT = 21
LAST_OFFSET_DELTA_AT = 23
BASE_TIMESTAMP_AT = 27
MAX_TIMESTAMP_AT = 35
PRODUCER_ID_AT = 43
PRODUCER_EPOCH_AT = 51
BASE_SEQUENCE_AT = 53
RECORD_COUNT_AT = 57

MAGIC_V2 = 2
NO_TIMESTAMP = -1
NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
NO_SEQUENCE = -1
NO_LEADER_EPOCH = -1
SEQUENCE_MAX = 2**31 - 1

CODEC_MASK = 0x07
LOG_APPEND_TIME_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

_HEADER = Struct(">qiibIhiqqqhii")
_unpack_header = _HEADER.unpack_from
_INT64 = Struct(">q")
_INT32 = Struct(">i")
_CRC_AND_ATTRIBUTES = Struct(">Ih")
_UINT32 = Struct(">I")


class BatchHeader:
    """The thirteen fields of a batch header, read once; changing them changes no bytes.

    Nothing is checked: `moldau.records.validate` does that for what clients send, and `iter_headers` for what is
    walked. Raises `struct.error` if fewer than 61 bytes follow `pos`.
    """

    __slots__ = (
        "attributes",
        "base_offset",
        "base_sequence",
        "base_timestamp",
        "crc",
        "last_offset_delta",
        "length",
        "magic",
        "max_timestamp",
        "partition_leader_epoch",
        "producer_epoch",
        "producer_id",
        "record_count",
    )

    base_offset: int
    length: int
    partition_leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    def __init__(self, buf: Buffer, pos: int = 0) -> None:
        (
            self.base_offset,
            self.length,
            self.partition_leader_epoch,
            self.magic,
            self.crc,
            self.attributes,
            self.last_offset_delta,
            self.base_timestamp,
            self.max_timestamp,
            self.producer_id,
            self.producer_epoch,
            self.base_sequence,
            self.record_count,
        ) = _unpack_header(buf, pos)

    @property
    def size(self) -> int:
        """Bytes of the whole batch, header included."""
        return self.length + LENGTH_END

    @property
    def codec(self) -> int:
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 are unassigned."""
        return self.attributes & CODEC_MASK

    @property
    def is_log_append_time(self) -> bool:
        return self.attributes & LOG_APPEND_TIME_BIT != 0

    @property
    def is_transactional(self) -> bool:
        return self.attributes & TRANSACTIONAL_BIT != 0

    @property
    def is_control(self) -> bool:
        return self.attributes & CONTROL_BIT != 0

    @property
    def has_delete_horizon(self) -> bool:
        return self.attributes & DELETE_HORIZON_BIT != 0

    @property
    def delete_horizon_ms(self) -> int | None:
        """When tombstones and markers of the batch may go (KIP-534); None if compaction has not set it."""
        return self.base_timestamp if self.attributes & DELETE_HORIZON_BIT else None

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        """The offset after the last one the batch takes up."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record, wrapped from 2^31-1 to 0; -1 if the batch has no sequence."""
        if self.base_sequence < 0:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & SEQUENCE_MAX  # as `add_sequence`

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)}" for name in _FIELD_ORDER)
        return f"BatchHeader({fields})"


_FIELD_ORDER = (
    "base_offset",
    "length",
    "partition_leader_epoch",
    "magic",
    "crc",
    "attributes",
    "last_offset_delta",
    "base_timestamp",
    "max_timestamp",
    "producer_id",
    "producer_epoch",
    "base_sequence",
    "record_count",
)


def add_sequence(sequence: int, increment: int) -> int:
    """The sequence `increment` records later. After 2^31-1 comes 0."""
    return (sequence + increment) & SEQUENCE_MAX


def compute_crc(buf: Buffer, pos: int, size: int) -> int:
    """Checksum of the batch of `size` bytes at `pos`, as it ought to stand in the header."""
    return crc32c(memoryview(buf)[pos + ATTRIBUTES_AT : pos + size])


def pack_header(
    buf: WritableBuffer,
    pos: int,
    size: int,
    *,
    base_offset: int,
    leader_epoch: int,
    attributes: int,
    last_offset_delta: int,
    base_timestamp: int,
    max_timestamp: int,
    producer_id: int,
    producer_epoch: int,
    base_sequence: int,
    record_count: int,
) -> None:
    """Write the header of the batch of `size` bytes at `pos`, checksum included; its records lie there already."""
    _HEADER.pack_into(
        buf,
        pos,
        base_offset,
        size - LENGTH_END,
        leader_epoch,
        MAGIC_V2,
        0,
        attributes,
        last_offset_delta,
        base_timestamp,
        max_timestamp,
        producer_id,
        producer_epoch,
        base_sequence,
        record_count,
    )
    _UINT32.pack_into(buf, pos + CRC_AT, compute_crc(buf, pos, size))


def set_base_offset(buf: WritableBuffer, pos: int, base_offset: int, leader_epoch: int) -> None:
    """Give the batch at `pos` its place in the log. Neither field is under the checksum: it stays as it is."""
    _INT64.pack_into(buf, pos, base_offset)
    _INT32.pack_into(buf, pos + LEADER_EPOCH_AT, leader_epoch)


def set_log_append_time(buf: WritableBuffer, pos: int, now: int) -> None:
    """Stamp the batch at `pos` with the broker's time (`message.timestamp.type=LogAppendTime`).

    Sets attribute bit 3 and the max timestamp, and computes the checksum again. The records keep their own deltas,
    which no reader looks at any more.
    """
    _set_timestamps(buf, pos, LOG_APPEND_TIME_BIT, now)


def clear_log_append_time(buf: WritableBuffer, pos: int) -> None:
    """Take attribute bit 3 back (a client must not set it) and compute the checksum again."""
    (max_timestamp,) = _INT64.unpack_from(buf, pos + MAX_TIMESTAMP_AT)
    _set_timestamps(buf, pos, 0, max_timestamp)


def _set_timestamps(buf: WritableBuffer, pos: int, bit: int, max_timestamp: int) -> None:
    (length,) = _INT32.unpack_from(buf, pos + LENGTH_AT)
    _, attributes = _CRC_AND_ATTRIBUTES.unpack_from(buf, pos + CRC_AT)
    _INT64.pack_into(buf, pos + MAX_TIMESTAMP_AT, max_timestamp)
    attributes = attributes & ~LOG_APPEND_TIME_BIT | bit
    _CRC_AND_ATTRIBUTES.pack_into(buf, pos + CRC_AT, 0, attributes)
    _UINT32.pack_into(buf, pos + CRC_AT, compute_crc(buf, pos, length + LENGTH_END))


def offset_span(first: Buffer, last: Buffer) -> int:
    """How many offsets lie from the first batch of one buffer to the end of the last whole batch of another."""
    (base,) = _INT64.unpack_from(first, BASE_OFFSET_AT)
    at, end = 0, len(last)
    while True:
        following = at + _INT32.unpack_from(last, at + LENGTH_AT)[0] + LENGTH_END
        if following + LENGTH_END > end:
            break
        at = following
    span: int = _INT64.unpack_from(last, at)[0] + _INT32.unpack_from(last, at + LAST_OFFSET_DELTA_AT)[0] + 1 - base
    return span


def iter_headers(buf: Buffer, pos: int = 0, end: int | None = None) -> Iterator[tuple[int, BatchHeader]]:
    """Walk the batches between `pos` and `end`: the position of each and its header.

    Ends before a batch that is not there whole, as at the end of a fetch response or of a torn file: what was walked
    ends at the last position plus its `size`. Checksums are not looked at. Raises `InvalidBatch` CORRUPT_MESSAGE where
    no batch of format v2 can begin.
    """
    if end is None:
        end = memoryview(buf).nbytes
    while end - pos >= HEADER_BYTES:
        header = BatchHeader(buf, pos)
        if header.length < LENGTH_MIN or header.magic != MAGIC_V2:
            raise corrupt(f"no batch at position {pos}: length {header.length}, magic {header.magic}")
        following = pos + header.length + LENGTH_END
        if following > end:
            return
        yield pos, header
        pos = following
