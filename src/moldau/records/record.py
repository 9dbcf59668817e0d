"""The records inside a batch.

Byte layout (KIP-98, Kafka class DefaultRecord); the records follow the batch header without gaps, after decompression:

    varint   length               of everything after this field
    int8     attributes           unused
    varlong  timestamp delta      ms from the batch's base timestamp
    varint   offset delta         from the batch's base offset
    varint   key length, key      length -1: null
    varint   value length, value  length -1: null: a tombstone
    varint   header count, and for each: varint key length, key (UTF-8), varint value length (-1: null), value

A varint is at most five bytes, a varlong ten, least significant seven bits first, zigzag (0, -1, 1, -2 ... are 0, 1,
2, 3 ...). Whatever does not parse is `InvalidBatch` INVALID_RECORD, as in Kafka: the checksum was right, so it was
sent that way.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from moldau.records.batch import HEADER_BYTES, LENGTH_MIN, LOG_APPEND_TIME_BIT, BatchHeader, Buffer
from moldau.records.compression import DECOMPRESSED_BYTES_MAX, decompress
from moldau.records.errors import InvalidBatch, corrupt, invalid

Header: TypeAlias = tuple[str, bytes | None]

_INT64_MAX = 2**63 - 1
_INT64_MIN = -(2**63)


class Record:
    """One record: offset, timestamp (ms), key, value and headers, a pair of name and value each."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(
        self,
        offset: int,
        timestamp: int,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[Header] = (),
    ) -> None:
        self.offset = offset
        self.timestamp = timestamp
        self.key = key
        self.value = value
        self.headers: tuple[Header, ...] = tuple(headers)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Record):
            return NotImplemented
        return (
            self.offset == other.offset
            and self.timestamp == other.timestamp
            and self.key == other.key
            and self.value == other.value
            and self.headers == other.headers
        )

    def __hash__(self) -> int:
        return hash((self.offset, self.timestamp, self.key, self.value, self.headers))

    def __repr__(self) -> str:
        return (
            f"Record(offset={self.offset}, timestamp={self.timestamp}, key={self.key!r}, value={self.value!r}, "
            f"headers={self.headers!r})"
        )


def batch_header(batch: Buffer) -> BatchHeader:
    """Header of a buffer that holds exactly one batch; CORRUPT_MESSAGE if it does not."""
    if len(batch) < HEADER_BYTES:
        raise corrupt(f"a batch of {len(batch)} bytes is shorter than its header")
    header = BatchHeader(batch)
    if header.length < LENGTH_MIN or header.size != len(batch):
        raise corrupt(f"a batch of length {header.length} stands in {len(batch)} bytes")
    return header


def raw_records(batch: Buffer, header: BatchHeader, max_bytes: int = DECOMPRESSED_BYTES_MAX) -> memoryview:
    """The bytes of a batch's records, decompressed: what follows the header. Errors as of `decompress`."""
    return decompress(header.codec, memoryview(batch)[HEADER_BYTES : header.size], max_bytes)


def iter_records(batch: Buffer, max_bytes: int = DECOMPRESSED_BYTES_MAX) -> Iterator[Record]:
    """Every record of the one batch that `batch` is, decoded whole.

    In a batch with log append time each record has the batch's max timestamp. Header names that are no UTF-8 keep their
    bytes as surrogate escapes. Raises `InvalidBatch`: CORRUPT_MESSAGE if the header and the size disagree,
    INVALID_RECORD if a record does not parse, or bytes are left over or missing, and what `decompress` raises.
    """
    header = batch_header(batch)
    raw = bytes(raw_records(batch, header, max_bytes))
    base_offset = header.base_offset
    base_timestamp = header.base_timestamp
    stamped = header.attributes & LOG_APPEND_TIME_BIT
    pos = 0
    try:
        for index in range(_record_count(header)):
            start, end = _record_bounds(raw, pos, index)
            timestamp_delta, pos = read_varlong(raw, start + 1)
            offset_delta, pos = read_varint(raw, pos)
            key, pos = _read_bytes(raw, pos, end)
            value, pos = _read_bytes(raw, pos, end)
            headers: tuple[Header, ...] = ()
            count, pos = read_varint(raw, pos)
            if count:
                headers, pos = _read_headers(raw, pos, end, count)
            if pos != end:
                raise invalid(f"record {index} takes {pos - start} bytes, not the {end - start} it says")
            timestamp = header.max_timestamp if stamped else int64(base_timestamp + timestamp_delta)
            yield Record(base_offset + offset_delta, timestamp, key, value, headers)
    except IndexError:
        raise invalid("the records end inside a record") from None
    if pos != len(raw):
        raise invalid(f"{len(raw) - pos} bytes follow the last of {header.record_count} records")


def iter_record_heads(
    batch: Buffer, max_bytes: int = DECOMPRESSED_BYTES_MAX, *, strict: bool = False
) -> Iterator[tuple[int, int, bool]]:
    """Of every record (offset delta, timestamp delta, whether it has a key), without copying keys and values.

    Timestamp deltas are as stored, whatever the batch's timestamp type. With `strict` each record is walked to its end
    and must parse as `iter_records` wants it; else what follows the key's length is stepped over unseen. Raises what
    `iter_records` raises.
    """
    header = batch_header(batch)
    raw = bytes(raw_records(batch, header, max_bytes))  # indexing is half again as quick as in a view
    total = len(raw)
    pos = 0
    # Numbers below 64 take one byte: those are read here, and only the longer ones by the functions.
    try:
        for index in range(_record_count(header)):
            size, start = read_varint(raw, pos)
            end = start + size
            if size < 1 or end > total:
                raise _bad_size(size, total - start, index)
            pos = start + 1
            timestamp_delta = raw[pos]
            if timestamp_delta < 0x80:
                timestamp_delta = (timestamp_delta >> 1) ^ -(timestamp_delta & 1)
                pos += 1
            else:
                timestamp_delta, pos = read_varlong(raw, pos)
            offset_delta = raw[pos]
            if offset_delta < 0x80:
                offset_delta = (offset_delta >> 1) ^ -(offset_delta & 1)
                pos += 1
            else:
                offset_delta, pos = read_varint(raw, pos)
            key_size = raw[pos]
            if key_size < 0x80:
                key_size = (key_size >> 1) ^ -(key_size & 1)
                pos += 1
            else:
                key_size, pos = read_varint(raw, pos)
            if strict:
                if key_size > 0:
                    pos += key_size
                value_size = raw[pos]
                if value_size < 0x80:
                    value_size = (value_size >> 1) ^ -(value_size & 1)
                    pos += 1
                else:
                    value_size, pos = read_varint(raw, pos)
                if value_size > 0:
                    pos += value_size
                if raw[pos] or pos + 1 != end:
                    _walk_headers(raw, pos, end, index)
            elif pos > end:
                raise invalid(f"record {index} takes more than the {end - start} bytes it says")
            pos = end
            yield offset_delta, timestamp_delta, key_size >= 0
    except IndexError:
        raise invalid("the records end inside a record") from None
    if pos != total:
        raise invalid(f"{total - pos} bytes follow the last of {header.record_count} records")


def _record_count(header: BatchHeader) -> int:
    if header.record_count < 0:
        raise invalid(f"the batch says it has {header.record_count} records")
    return header.record_count


def _record_bounds(raw: Buffer, pos: int, index: int) -> tuple[int, int]:
    """Where the record whose length stands at `pos` begins, after that length, and ends."""
    size, start = read_varint(raw, pos)
    end = start + size
    if size < 1 or end > len(raw):
        raise _bad_size(size, len(raw) - start, index)
    return start, end


def _bad_size(size: int, left: int, index: int) -> InvalidBatch:
    return invalid(f"record {index} says it takes {size} bytes, and {left} are left")


def _walk_headers(raw: Buffer, pos: int, end: int, index: int) -> None:
    count, pos = read_varint(raw, pos)
    if not 0 <= count <= max(end - pos, 0):
        raise invalid(f"record {index} says it has {count} headers")
    for _ in range(count):
        size, pos = read_varint(raw, pos)
        if size < 0:
            raise invalid(f"a header name of record {index} has {size} bytes")
        size, pos = read_varint(raw, pos + size)
        pos += max(size, 0)
    if pos != end:
        raise invalid(f"record {index} does not end where it says")


def _read_bytes(raw: bytes, pos: int, end: int) -> tuple[bytes | None, int]:
    size, pos = read_varint(raw, pos)
    if size < 0:
        return None, pos
    following = pos + size
    if following > end:
        raise invalid(f"a field of {size} bytes runs over the end of its record")
    return raw[pos:following], following


def _read_headers(raw: bytes, pos: int, end: int, count: int) -> tuple[tuple[Header, ...], int]:
    if not 0 <= count <= end - pos:
        raise invalid(f"a record says it has {count} headers")
    headers: list[Header] = []
    for _ in range(count):
        name, pos = _read_bytes(raw, pos, end)
        if name is None:
            raise invalid("the name of a header is null")
        value, pos = _read_bytes(raw, pos, end)
        headers.append((name.decode("utf-8", "surrogateescape"), value))
    return tuple(headers), pos


def int64(value: int) -> int:
    """Timestamps wrap as Java's longs do: a made-up delta must not give a number no field can hold."""
    if _INT64_MIN <= value <= _INT64_MAX:
        return value
    return (value + 2**63) % 2**64 - 2**63


def read_varint(buf: Buffer, pos: int) -> tuple[int, int]:
    """Zigzag varint of 32 bits at `pos`: (value, position after it). IndexError at the end of the buffer."""
    byte = buf[pos]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), pos + 1
    value = byte & 0x7F
    for shift in (7, 14, 21, 28):
        pos += 1
        byte = buf[pos]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= 0xFFFFFFFF
            return (value >> 1) ^ -(value & 1), pos + 1
    raise invalid("a varint has more than five bytes")


def read_varlong(buf: Buffer, pos: int) -> tuple[int, int]:
    """Zigzag varint of 64 bits at `pos`: (value, position after it). IndexError at the end of the buffer."""
    byte = buf[pos]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), pos + 1
    value = byte & 0x7F
    shift = 7
    while shift < 70:
        pos += 1
        byte = buf[pos]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            value &= 0xFFFFFFFFFFFFFFFF
            return (value >> 1) ^ -(value & 1), pos + 1
        shift += 7
    raise invalid("a varlong has more than ten bytes")
