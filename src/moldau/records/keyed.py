"""What compaction does to one batch: finds the keys of its records, and makes the batch without some of them.

Sketch. `index` is the hot loop: of each record the length, the key and whether the value is null are read, half a microsecond each; nothing is
decoded that the decision does not need. A batch that loses nothing is never written again; one that does keeps the bytes of its other
records, since offsets and timestamps are relative to what the header keeps.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from moldau.records.batch import (
    CODEC_MASK,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    NO_TIMESTAMP,
    BatchHeader,
    pack_header,
)
from moldau.records.builder import append_varint, build_batch
from moldau.records.compression import NONE, compress
from moldau.records.errors import invalid
from moldau.records.record import int64, read_varint, read_varlong

RAW_KEY_MAX = 39
"""Longer keys are known by a digest of one byte more, so that no key can be taken for the digest of another."""
_DIGEST_BYTES = RAW_KEY_MAX + 1


class Indexed(NamedTuple):
    """Of consecutive records: where each begins, then where the last one ends; keys (long ones as digests); which are tombstones."""

    starts: list[int]
    keys: list[bytes | None]
    tombstones: list[int]


def index(raw: bytes, pos: int, count: int) -> Indexed:
    """The next `count` records from `pos` on in a batch's decompressed records. Raises `InvalidBatch` INVALID_RECORD."""
    starts: list[int] = []
    keys: list[bytes | None] = []
    tombstones: list[int] = []
    total = len(raw)
    started, found = starts.append, keys.append
    try:
        for number in range(count):
            started(pos)
            size = raw[pos]
            if size < 0x80:
                end = pos + 1
            elif raw[pos + 1] < 0x80:
                size = size & 0x7F | raw[pos + 1] << 7
                end = pos + 2
            else:
                size, end = read_varint(raw, pos)
                size <<= 1
            pos = end + 1  # past the attributes
            if size & 1 or size < 0:
                raise invalid(f"record {number} says it takes a negative number of bytes")
            end += size >> 1
            while raw[pos] > 0x7F:
                pos += 1
            pos += 1  # past the timestamp
            while raw[pos] > 0x7F:
                pos += 1
            pos += 1  # past the offset
            size = raw[pos]
            if size < 0x80:
                pos += 1
                size = (size >> 1) ^ -(size & 1)
            else:
                size, pos = read_varint(raw, pos)
            if size < 0:
                found(None)
            else:
                key = raw[pos : pos + size]
                pos += size
                found(key if size <= RAW_KEY_MAX else blake2b(key, digest_size=_DIGEST_BYTES).digest())
            if pos >= end or end > total:
                raise invalid(f"record {number} does not end where it says")
            if raw[pos] == 1:
                tombstones.append(number)
            pos = end
    except IndexError:
        raise invalid("the records end inside a record") from None
    starts.append(pos)
    return Indexed(starts, keys, tombstones)


def keep(header: BatchHeader, raw: bytes, spans: Sequence[tuple[int, int]], horizon_ms: int | None = None) -> bytearray:
    """The batch with those of its records only that stand at `spans` (begin, end) in `raw`, at least one, and the codec that it had.

    Offsets, timestamps and sequences stay. With `horizon_ms` the batch gets a delete horizon (KIP-534), unless it has one: that takes the place
    of the base timestamp, so the records' own are written anew.
    """
    attributes = header.attributes
    base_timestamp = header.base_timestamp
    if horizon_ms is not None and not header.has_delete_horizon:
        attributes |= DELETE_HORIZON_BIT
        body = _moved(raw, spans, base_timestamp - horizon_ms)
        base_timestamp = horizon_ms
    else:
        body = b"".join([raw[begin:end] for begin, end in spans])
    max_timestamp = header.max_timestamp
    if len(spans) < header.record_count and not attributes & LOG_APPEND_TIME_BIT:
        deltas = [_timestamp_delta(raw, begin)[0] for begin, _ in spans]
        max_timestamp = max(int64(header.base_timestamp + delta) for delta in deltas)
    codec = attributes & CODEC_MASK
    batch = bytearray(HEADER_BYTES)
    batch += body if codec == NONE else compress(codec, body)
    pack_header(
        batch,
        0,
        len(batch),
        base_offset=header.base_offset,
        leader_epoch=header.partition_leader_epoch,
        attributes=attributes,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=len(spans),
    )
    return batch


def _timestamp_delta(raw: bytes, begin: int) -> tuple[int, int, int]:
    """(timestamp delta, where the body begins, where what follows the timestamp begins) of the record that begins there."""
    _, start = read_varint(raw, begin)
    delta, rest = read_varlong(raw, start + 1)
    return delta, start, rest


def _moved(raw: bytes, spans: Sequence[tuple[int, int]], by: int) -> bytes:
    """The records with `by` added to their timestamp deltas."""
    out = bytearray()
    for begin, end in spans:
        delta, start, rest = _timestamp_delta(raw, begin)
        stamp = bytearray(raw[start : start + 1])
        append_varint(stamp, int64(delta + by))
        append_varint(out, len(stamp) + end - rest)
        out += stamp
        out += raw[rest:end]
    return bytes(out)


def stretch(batch: bytearray, last_offset: int) -> None:
    """Let the batch take up the offsets up to `last_offset`, whose records are gone. The whole buffer is the batch."""
    header = BatchHeader(batch)
    if last_offset < header.last_offset or last_offset - header.base_offset > LAST_OFFSET_DELTA_MAX:
        raise ValueError(f"a batch at {header.base_offset} cannot reach to {last_offset}")
    pack_header(
        batch,
        0,
        len(batch),
        base_offset=header.base_offset,
        leader_epoch=header.partition_leader_epoch,
        attributes=header.attributes,
        last_offset_delta=last_offset - header.base_offset,
        base_timestamp=header.base_timestamp,
        max_timestamp=header.max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=header.record_count,
    )


LAST_OFFSET_DELTA_MAX = 2**31 - 1


def empty(base_offset: int, last_offset: int, leader_epoch: int) -> bytearray:
    """A batch without records, which takes up offsets whose records are gone."""
    return build_batch(
        [], base_offset=base_offset, last_offset=last_offset, leader_epoch=leader_epoch, max_timestamp=NO_TIMESTAMP
    )
