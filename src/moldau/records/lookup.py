"""Exact look-up by time inside one batch, as ListOffsets wants it."""

from moldau.records.batch import LOG_APPEND_TIME_BIT, Buffer
from moldau.records.compression import DECOMPRESSED_BYTES_MAX
from moldau.records.record import batch_header, int64, iter_record_heads


def find_timestamp(
    batch: Buffer, target: int, min_offset: int = 0, max_bytes: int = DECOMPRESSED_BYTES_MAX
) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record at or after `min_offset` whose timestamp is at or above `target` (ms).

    None if the batch has none. In a batch with log append time every record has the batch's max timestamp, and
    in any other a max timestamp below `target` settles it without a look inside. Raises `InvalidBatch` as
    `iter_record_heads` does. Kafka: FileRecords.searchForTimestamp.
    """
    header = batch_header(batch)
    stamped = header.attributes & LOG_APPEND_TIME_BIT
    if header.max_timestamp < target:
        return None
    for offset_delta, timestamp_delta, _ in iter_record_heads(batch, max_bytes):
        offset = header.base_offset + offset_delta
        timestamp = header.max_timestamp if stamped else int64(header.base_timestamp + timestamp_delta)
        if timestamp >= target and offset >= min_offset:
            return offset, timestamp
    return None


def find_max_timestamp(batch: Buffer, max_bytes: int = DECOMPRESSED_BYTES_MAX) -> tuple[int, int] | None:
    """(offset, timestamp) of the first record that has the greatest timestamp of the batch (ListOffsets -3, KIP-734).

    None if the batch has no records. Where the header claims a greater one than any record has, the records are
    believed. Raises `InvalidBatch` as `iter_record_heads` does. Kafka: RecordBatch.offsetOfMaxTimestamp.
    """
    header = batch_header(batch)
    stamped = header.attributes & LOG_APPEND_TIME_BIT
    found: tuple[int, int] | None = None
    for offset_delta, timestamp_delta, _ in iter_record_heads(batch, max_bytes):
        offset = header.base_offset + offset_delta
        timestamp = header.max_timestamp if stamped else int64(header.base_timestamp + timestamp_delta)
        if timestamp == header.max_timestamp:
            return offset, timestamp
        if found is None or timestamp > found[1]:
            found = offset, timestamp
    return found
