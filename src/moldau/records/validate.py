"""What a broker checks before it takes a batch from a client.

Answers in the order in which Kafka comes to them (ProduceRequest.validateRecords, UnifiedLog's
analyzeAndValidateRecords, LogValidator), found out by asking Apache Kafka 4.3.1, and ours:

    what is wrong                                        Kafka                          here
    ---------------------------------------------------  -----------------------------  -----------------------------
    no bytes, or fewer than the batch says               INVALID_RECORD                 the same
    length below 14; magic below 0 or above 2            CORRUPT_MESSAGE                the same
    magic 0 or 1                                         INVALID_RECORD                 the same
    zstd in Produce below version 7                      UNSUPPORTED_COMPRESSION_TYPE   the same
    more than one batch                                  INVALID_RECORD                 the same
    bytes after the batch: not the head of a batch       CORRUPT_MESSAGE                the same
    bytes after the batch: too few for a batch           dropped in silence             INVALID_RECORD
    length from 14 to 48: no room for the header         CORRUPT_MESSAGE or             CORRUPT_MESSAGE
                                                         UNKNOWN_SERVER_ERROR
    base offset is not 0                                 INVALID_RECORD                 the same
    larger than max.message.bytes                        MESSAGE_TOO_LARGE              the same
    checksum                                             CORRUPT_MESSAGE                the same
    codec 5 to 7                                         UNKNOWN_SERVER_ERROR           UNSUPPORTED_COMPRESSION_TYPE
    record count below 1, or not last offset delta + 1   INVALID_RECORD                 the same
    more records than the bytes can hold, without codec  INVALID_RECORD                 the same
    control batch                                        INVALID_RECORD                 the same
    producer id, but a sequence below 0                  INVALID_RECORD                 the same
    producer id, but an epoch below 0                    taken                          INVALID_RECORD
    transactional without a producer id                  taken if the transactional     INVALID_RECORD
                                                         id of the request is allowed
    delete horizon bit                                   taken, and later believed      INVALID_RECORD
    attribute bits 7 to 15                               taken                          the same
    timestamp out of range                               INVALID_TIMESTAMP, records     the same
    log append time bit, topic has LogAppendTime         INVALID_TIMESTAMP, records     the same
    log append time bit, topic has CreateTime            taken, the bit is cleared      the same (`prepare` clears it)
    null key in a compacted topic                        INVALID_RECORD, records        the same
    records that do not parse; their number differs      INVALID_RECORD or              taken, unless `rules` need the
                                                         UNKNOWN_SERVER_ERROR           records: then INVALID_RECORD
    compressed stream that does not decode               UNKNOWN_SERVER_ERROR           as above
    offset deltas other than 0, 1, 2 ...                 taken; UNKNOWN_SERVER_ERROR    taken, unless `rules` need the
                                                         in a compressed batch          records: then INVALID_RECORD
    header's max timestamp is not that of the records    corrected                      taken, but INVALID_TIMESTAMP if
                                                                                        it lies too far in the future

"records" means that `record_errors` name the records at fault. The last rows are the price of speed: Kafka decodes
every record of every batch, this broker keeps batches opaque. It checks the header and the checksum, a matter of
microseconds, and looks inside only where a topic's rules cannot be decided without (`Rules.needs_records`,
`validate_records`): keys on compacted topics, `message.timestamp.before.max.ms` when it is set. A client that writes
nonsense under a right checksum hurts the readers of its own batch only.
"""

from typing import Final, NoReturn

from moldau.protocol import error_codes
from moldau.records.batch import (
    ATTRIBUTES_AT,
    CODEC_MASK,
    CONTROL_BIT,
    DELETE_HORIZON_BIT,
    HEADER_BYTES,
    LENGTH_AT,
    LENGTH_END,
    LOG_APPEND_TIME_BIT,
    MAGIC_AT,
    MAGIC_V2,
    NO_TIMESTAMP,
    RECORD_BYTES_MIN,
    TRANSACTIONAL_BIT,
    BatchHeader,
    WritableBuffer,
    clear_log_append_time,
    set_log_append_time,
)
from moldau.records.compression import DECOMPRESSED_BYTES_MAX, ZSTD
from moldau.records.crc import crc32c
from moldau.records.errors import InvalidBatch, corrupt, invalid

__all__ = [
    "CREATE_TIME",
    "LOG_APPEND_TIME",
    "PRODUCER_CODEC",
    "InvalidBatch",
    "Rules",
    "prepare",
    "validate",
    "validate_records",
]

CREATE_TIME: Final = 0
LOG_APPEND_TIME: Final = 1

PRODUCER_CODEC: Final = -1
"""`compression.type=producer`: keep what the producer chose."""

UNLIMITED_MS: Final = 2**63 - 1
RECORD_ERRORS_MAX: Final = 1000
"""Kafka names every bad record of a batch; here the answer stays bounded."""

_MAGIC_0_LENGTH_MIN: Final = 14
_REFUSED_BITS: Final = CONTROL_BIT | DELETE_HORIZON_BIT


class Rules:
    """What one topic asks of a batch; built once per topic configuration.

    `codec` is the id of `compression.type`, or `PRODUCER_CODEC`; `level` that codec's `compression.<codec>.level`, or
    None for its default. `decompressed_bytes_max` bounds what a batch may grow to where records must be looked at.
    """

    __slots__ = (
        "codec",
        "decompressed_bytes_max",
        "level",
        "max_message_bytes",
        "needs_records",
        "require_keys",
        "timestamp_after_max_ms",
        "timestamp_before_max_ms",
        "timestamp_type",
    )

    def __init__(
        self,
        *,
        max_message_bytes: int = 1048588,
        timestamp_type: int = CREATE_TIME,
        timestamp_before_max_ms: int = UNLIMITED_MS,
        timestamp_after_max_ms: int = 3_600_000,
        codec: int = PRODUCER_CODEC,
        level: int | None = None,
        require_keys: bool = False,
        decompressed_bytes_max: int = DECOMPRESSED_BYTES_MAX,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.timestamp_type = timestamp_type
        self.timestamp_before_max_ms = timestamp_before_max_ms
        self.timestamp_after_max_ms = timestamp_after_max_ms
        self.codec = codec
        self.level = level
        self.require_keys = require_keys
        self.decompressed_bytes_max = decompressed_bytes_max
        self.needs_records = require_keys or (timestamp_type == CREATE_TIME and timestamp_before_max_ms < UNLIMITED_MS)
        """Whether some rule cannot be decided from the header of a batch of several records."""


def validate(data: memoryview, rules: Rules, now: int, *, zstd_allowed: bool = True) -> BatchHeader:
    """Check the `records` field of one partition of a produce request; its header, if the batch may be appended.

    `zstd_allowed` is false for Produce below version 7 (KIP-110). Raises `InvalidBatch` as the table above says.
    Nothing is changed and, unless the rules need the records, nothing decoded: 2 us and the checksum.
    """
    size = len(data)
    if size < HEADER_BYTES:
        _refuse_frame(data)
    header = BatchHeader(data)
    attributes = header.attributes
    codec = attributes & CODEC_MASK
    if header.length != size - LENGTH_END or header.magic != MAGIC_V2:
        _refuse_frame(data)
    if codec == ZSTD and not zstd_allowed:
        raise InvalidBatch(error_codes.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7 or above")
    if header.base_offset != 0:
        raise invalid(f"the base offset of a produced batch must be 0, not {header.base_offset}")
    if size > rules.max_message_bytes:
        raise InvalidBatch(
            error_codes.MESSAGE_TOO_LARGE,
            f"a batch of {size} bytes exceeds max.message.bytes={rules.max_message_bytes}",
        )
    crc = crc32c(data[ATTRIBUTES_AT:])
    if crc != header.crc:
        raise corrupt(f"the batch has checksum {crc:08x}, and says {header.crc:08x}")
    if codec > ZSTD:
        raise InvalidBatch(error_codes.UNSUPPORTED_COMPRESSION_TYPE, f"unknown compression codec {codec}")
    if header.record_count < 1 or header.last_offset_delta != header.record_count - 1:
        raise invalid(f"{header.record_count} records, but the last offset delta is {header.last_offset_delta}")
    if codec == 0 and header.record_count * RECORD_BYTES_MIN > size - HEADER_BYTES:
        raise invalid(f"{header.record_count} records cannot stand in {size - HEADER_BYTES} bytes")
    if attributes & _REFUSED_BITS:
        raise invalid(
            "clients may not write control batches"
            if attributes & CONTROL_BIT
            else "clients may not set a delete horizon"
        )
    if header.producer_id >= 0:
        if header.base_sequence < 0 or header.producer_epoch < 0:
            raise invalid(
                f"producer id {header.producer_id}, but epoch {header.producer_epoch}, sequence {header.base_sequence}"
            )
    elif attributes & TRANSACTIONAL_BIT:
        raise invalid("a transactional batch without a producer id")
    too_late = rules.timestamp_type == CREATE_TIME and header.max_timestamp - now > rules.timestamp_after_max_ms
    if too_late or rules.needs_records or attributes & LOG_APPEND_TIME_BIT:
        validate_records(data, header, rules, now)
        if too_late:
            raise InvalidBatch(
                error_codes.INVALID_TIMESTAMP,
                f"the batch says its max timestamp is {header.max_timestamp}, which no record of it has",
            )
    return header


def _refuse_frame(data: memoryview) -> NoReturn:
    """Say what is wrong with bytes that are not exactly one batch of format v2."""
    size = len(data)
    if size < LENGTH_END:
        raise invalid(f"a partition's records must be one batch, not {size} bytes")
    length, magic = _length_and_magic(data)
    if not _may_begin_batch(length, magic):
        raise corrupt(f"the batch says it has length {length} and magic {magic}")
    if size < length + LENGTH_END:
        raise invalid(f"the batch says it takes {length + LENGTH_END} bytes, and there are {size}")
    if magic != MAGIC_V2:
        raise invalid(f"the batch has magic {magic}; only format v2 is taken")
    rest = data[length + LENGTH_END :]
    if rest:
        if len(rest) >= LENGTH_END and not _may_begin_batch(*_length_and_magic(rest)):
            raise corrupt(f"{len(rest)} bytes follow the batch, and are none themselves")
        raise invalid(f"{len(rest)} bytes follow the batch; a partition takes one batch per request")
    raise corrupt(f"a batch of {size} bytes is shorter than its header")


def _length_and_magic(data: memoryview) -> tuple[int, int]:
    """The two fields that every message format has had at the same place; magic 0 if the bytes end before it."""
    length = int.from_bytes(data[LENGTH_AT:LENGTH_END], "big", signed=True)
    return length, int.from_bytes(data[MAGIC_AT : MAGIC_AT + 1], "big", signed=True)


def _may_begin_batch(length: int, magic: int) -> bool:
    return length >= _MAGIC_0_LENGTH_MIN and 0 <= magic <= MAGIC_V2


def validate_records(data: memoryview, header: BatchHeader, rules: Rules, now: int) -> None:
    """Check every record of a batch whose header has passed: keys, timestamps, offsets, structure.

    Raises `InvalidBatch`: INVALID_TIMESTAMP if any record's timestamp is out of range, else INVALID_RECORD if any
    record lacks the key its topic asks for, both naming the records; INVALID_RECORD or MESSAGE_TOO_LARGE without names
    if the records cannot be read. Takes about a microsecond per record, and the time to decompress them.
    """
    from moldau.records.record import iter_record_heads

    stamped = header.attributes & LOG_APPEND_TIME_BIT
    create_time = rules.timestamp_type == CREATE_TIME
    earliest = now - rules.timestamp_before_max_ms
    latest = now + rules.timestamp_after_max_ms
    base_timestamp = header.base_timestamp
    errors: list[tuple[int, str]] = []
    code = error_codes.INVALID_RECORD
    heads = iter_record_heads(data, rules.decompressed_bytes_max, strict=True)
    for index, (offset_delta, timestamp_delta, has_key) in enumerate(heads):
        if offset_delta != index:
            raise invalid(f"record {index} has offset delta {offset_delta}")
        if rules.require_keys and not has_key:
            if len(errors) < RECORD_ERRORS_MAX:
                errors.append((index, "a compacted topic takes no record without a key"))
        else:
            timestamp = header.max_timestamp if stamped else base_timestamp + timestamp_delta
            if create_time and timestamp != NO_TIMESTAMP:
                if not earliest <= timestamp <= latest:
                    code = error_codes.INVALID_TIMESTAMP
                    if len(errors) < RECORD_ERRORS_MAX:
                        errors.append((index, f"timestamp {timestamp} is not between {earliest} and {latest}"))
            elif stamped:
                code = error_codes.INVALID_TIMESTAMP
                if len(errors) < RECORD_ERRORS_MAX:
                    errors.append((index, "a producer may not set the timestamp type to LogAppendTime"))
    if code == error_codes.INVALID_TIMESTAMP:
        raise InvalidBatch(code, "timestamps of the batch are not acceptable", errors)
    if errors:
        raise InvalidBatch(code, "records of the batch are not acceptable", errors)


def prepare(data: memoryview, rules: Rules, now: int, *, zstd_allowed: bool = True) -> tuple[BatchHeader, memoryview]:
    """`validate`, then what the topic's rules change: (header, batch as it is to be stored).

    The batch is `data` itself if nothing changes, which is the rule. `compression.type` other than `producer`
    compresses the records anew if their codec differs (and MESSAGE_TOO_LARGE is then asked again); `LogAppendTime`
    stamps the batch with `now`, in `data` itself if it is writable.
    """
    header = validate(data, rules, now, zstd_allowed=zstd_allowed)
    changed: WritableBuffer
    if rules.codec >= 0 and rules.codec != header.attributes & CODEC_MASK:
        from moldau.records.builder import recompress

        changed = recompress(data, rules.codec, rules.level, rules.decompressed_bytes_max)
        if len(changed) > rules.max_message_bytes:
            raise InvalidBatch(
                error_codes.MESSAGE_TOO_LARGE,
                f"{len(changed)} bytes after compression exceed max.message.bytes={rules.max_message_bytes}",
            )
        data = memoryview(changed)
        header = BatchHeader(data)
    if rules.timestamp_type == LOG_APPEND_TIME or header.attributes & LOG_APPEND_TIME_BIT:
        changed = bytearray(data) if data.readonly else data
        if rules.timestamp_type == LOG_APPEND_TIME:
            set_log_append_time(changed, 0, now)
        else:
            clear_log_append_time(changed, 0)
        data = memoryview(changed)
        header = BatchHeader(data)
    return header, data
