"""Making batches: from records, or from another batch with another codec."""

from collections.abc import Sequence

from moldau.records.batch import (
    CODEC_MASK,
    CONTROL_BIT,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    LOG_APPEND_TIME_BIT,
    NO_LEADER_EPOCH,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    TRANSACTIONAL_BIT,
    Buffer,
    pack_header,
)
from moldau.records.compression import DECOMPRESSED_BYTES_MAX, NONE, compress
from moldau.records.record import Record, batch_header, raw_records

_NULL = b"\x01"  # varint -1


def build_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    last_offset: int | None = None,
    keep_offsets: bool = False,
    leader_epoch: int = NO_LEADER_EPOCH,
    codec: int = NONE,
    level: int | None = None,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
    log_append_time: int | None = None,
    delete_horizon_ms: int | None = None,
    max_timestamp: int | None = None,
) -> bytearray:
    """One batch of `records`.

    Offsets: `base_offset` for the first record and one more for each; with `keep_offsets` every record keeps its own,
    which must not fall below `base_offset` nor pass `last_offset` (compaction leaves holes, and keeps the last offset
    of a batch whose last record is gone). Timestamps: each record's own, the base being the first record's, or
    `delete_horizon_ms` where that is set; `log_append_time` overrides them all; `max_timestamp` is that of the records
    unless given. Without records the batch is its header: what compaction leaves to remember a producer's sequence.
    """
    base_timestamp = records[0].timestamp if records else NO_TIMESTAMP
    attributes = codec if records else NONE
    if transactional:
        attributes |= TRANSACTIONAL_BIT
    if control:
        attributes |= CONTROL_BIT
    if delete_horizon_ms is not None:
        attributes |= DELETE_HORIZON_BIT
        base_timestamp = delete_horizon_ms
    if max_timestamp is None:
        max_timestamp = max((record.timestamp for record in records), default=NO_TIMESTAMP)
    if log_append_time is not None:
        attributes |= LOG_APPEND_TIME_BIT
        max_timestamp = log_append_time
        base_timestamp = log_append_time if delete_horizon_ms is None else base_timestamp
    raw = bytearray()
    delta = -1
    for index, record in enumerate(records):
        following = record.offset - base_offset if keep_offsets else index
        if following <= delta:
            raise ValueError(f"offset {record.offset} does not lie above {base_offset + delta}")
        delta = following
        append_record(raw, record, delta, record.timestamp - base_timestamp)
    if last_offset is not None:
        if last_offset - base_offset < delta:
            raise ValueError(f"the last offset {last_offset} lies below {base_offset + delta}")
        delta = last_offset - base_offset
    batch = bytearray(HEADER_BYTES)
    batch += raw if codec == NONE or not records else compress(codec, raw, level)
    pack_header(
        batch,
        0,
        len(batch),
        base_offset=base_offset,
        leader_epoch=leader_epoch,
        attributes=attributes,
        last_offset_delta=delta,
        base_timestamp=base_timestamp,
        max_timestamp=max_timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
        record_count=len(records),
    )
    return batch


def recompress(
    batch: Buffer, codec: int, level: int | None = None, max_bytes: int = DECOMPRESSED_BYTES_MAX
) -> bytearray:
    """The same batch with another codec (`compression.type`): the same records byte for byte, the same header but for
    length, codec and checksum. Raises `InvalidBatch` as `decompress` does.
    """
    header = batch_header(batch)
    raw = raw_records(batch, header, max_bytes)
    changed = bytearray(memoryview(batch)[:HEADER_BYTES])
    changed += compress(codec, raw, level)
    pack_header(
        changed,
        0,
        len(changed),
        base_offset=header.base_offset,
        leader_epoch=header.partition_leader_epoch,
        attributes=header.attributes & ~CODEC_MASK | codec,
        last_offset_delta=header.last_offset_delta,
        base_timestamp=header.base_timestamp,
        max_timestamp=header.max_timestamp,
        producer_id=header.producer_id,
        producer_epoch=header.producer_epoch,
        base_sequence=header.base_sequence,
        record_count=header.record_count,
    )
    return changed


def append_record(out: bytearray, record: Record, offset_delta: int, timestamp_delta: int) -> None:
    """Encode one record at the end of `out`; the layout is in `moldau.records.record`."""
    body = bytearray(1)
    append_varint(body, timestamp_delta)
    append_varint(body, offset_delta)
    _append_bytes(body, record.key)
    _append_bytes(body, record.value)
    append_varint(body, len(record.headers))
    for name, value in record.headers:
        _append_bytes(body, name.encode("utf-8", "surrogateescape"))
        _append_bytes(body, value)
    append_varint(out, len(body))
    out += body


def append_varint(out: bytearray, value: int) -> None:
    """Zigzag varint, of up to 64 bits."""
    value = (value << 1) ^ (value >> 63)
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _append_bytes(out: bytearray, field: bytes | None) -> None:
    if field is None:
        out += _NULL
    else:
        append_varint(out, len(field))
        out += field
