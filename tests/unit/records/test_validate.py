import struct
from collections.abc import Callable

import pytest

from moldau.protocol import error_codes as codes
from moldau.records import validate as module
from moldau.records.batch import BatchHeader, compute_crc
from moldau.records.builder import append_record, build_batch
from moldau.records.compression import compress
from moldau.records.control import end_txn_marker
from moldau.records.errors import InvalidBatch
from moldau.records.record import Record, iter_records
from moldau.records.validate import CREATE_TIME, LOG_APPEND_TIME, Rules, prepare, validate, validate_records

NOW = 1_700_000_000_000
HOUR = 3_600_000
RULES = Rules()
STAMPED = Rules(timestamp_type=LOG_APPEND_TIME)
COMPACTED = Rules(require_keys=True)
BOUNDED = Rules(timestamp_before_max_ms=HOUR)


def records(count: int = 3, timestamp: int = NOW, key: bytes | None = b"k") -> list[Record]:
    return [Record(i, timestamp + i, key, b"value %d" % i) for i in range(count)]


GOOD = bytes(build_batch(records()))


def patched(at: int, fmt: str, value: int, batch: bytes = GOOD, crc: bool = True) -> bytes:
    """A batch with one field overwritten; its checksum is right again unless `crc` is false."""
    out = bytearray(batch)
    struct.pack_into(">" + fmt, out, at, value)
    if crc and len(out) >= 61:
        struct.pack_into(">I", out, 17, compute_crc(out, 0, len(out)))
    return bytes(out)


def around(raw: bytes, count: int, codec: int = 0) -> bytes:
    """A batch with a right header and checksum around any bytes."""
    out = bytearray(GOOD[:61]) + raw
    struct.pack_into(">i", out, 8, len(out) - 12)
    struct.pack_into(">h", out, 21, codec)
    struct.pack_into(">i", out, 23, count - 1)
    struct.pack_into(">i", out, 57, count)
    struct.pack_into(">I", out, 17, compute_crc(out, 0, len(out)))
    return bytes(out)


def refused(batch: bytes, rules: Rules = RULES, *, zstd_allowed: bool = True) -> InvalidBatch:
    with pytest.raises(InvalidBatch) as caught:
        validate(memoryview(batch), rules, NOW, zstd_allowed=zstd_allowed)
    assert caught.value.message
    return caught.value


@pytest.mark.parametrize("rules", [RULES, STAMPED, COMPACTED, BOUNDED])
@pytest.mark.parametrize("codec", range(5))
def test_good_batches(codec: int, rules: Rules) -> None:
    batch = build_batch(records(), codec=codec, producer_id=4, producer_epoch=0, base_sequence=0, transactional=True)
    header = validate(memoryview(batch), rules, NOW)
    assert (header.size, header.codec, header.record_count, header.producer_id) == (len(batch), codec, 3, 4)


# name -> (batch, error of the table in the module's docstring)
FRAMES: dict[str, tuple[bytes, int]] = {
    "no bytes": (b"", codes.INVALID_RECORD),
    "11 bytes": (GOOD[:11], codes.INVALID_RECORD),
    "16 bytes": (GOOD[:16], codes.INVALID_RECORD),
    "17 bytes": (GOOD[:17], codes.INVALID_RECORD),
    "60 bytes": (GOOD[:60], codes.INVALID_RECORD),
    "last byte missing": (GOOD[:-1], codes.INVALID_RECORD),
    "length 13": (patched(8, "i", 13), codes.CORRUPT_MESSAGE),
    "length -1": (patched(8, "i", -1), codes.CORRUPT_MESSAGE),
    "length -2^31": (patched(8, "i", -(2**31)), codes.CORRUPT_MESSAGE),
    "length 2^31-1": (patched(8, "i", 2**31 - 1), codes.INVALID_RECORD),
    "length 14 and no more": (patched(8, "i", 14, GOOD[:26]), codes.CORRUPT_MESSAGE),
    "length 48 and no more": (patched(8, "i", 48, GOOD[:60]), codes.CORRUPT_MESSAGE),
    "length 14, rubbish after it": (patched(8, "i", 14), codes.CORRUPT_MESSAGE),
    "magic 3": (patched(16, "b", 3), codes.CORRUPT_MESSAGE),
    "magic -1": (patched(16, "b", -1), codes.CORRUPT_MESSAGE),
    "magic 1": (patched(16, "b", 1), codes.INVALID_RECORD),
    "magic 0": (patched(16, "b", 0), codes.INVALID_RECORD),
    "magic 1, cut": (patched(16, "b", 1)[:-1], codes.INVALID_RECORD),
    "two batches": (GOOD + GOOD, codes.INVALID_RECORD),
    "a batch and a cut one": (GOOD + GOOD[:-1], codes.INVALID_RECORD),
    "five bytes more": (GOOD + b"12345", codes.INVALID_RECORD),
    "twenty zeros more": (GOOD + bytes(20), codes.CORRUPT_MESSAGE),
    "a batch and one of magic 3": (GOOD + patched(16, "b", 3), codes.CORRUPT_MESSAGE),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str) -> None:
    batch, code = FRAMES[name]
    assert refused(batch).error_code == code


HEADERS: dict[str, tuple[bytes, int]] = {
    "base offset 1": (patched(0, "q", 1), codes.INVALID_RECORD),
    "base offset -1": (patched(0, "q", -1), codes.INVALID_RECORD),
    "checksum": (patched(17, "I", 5, crc=False), codes.CORRUPT_MESSAGE),
    "codec 5": (patched(21, "h", 5), codes.UNSUPPORTED_COMPRESSION_TYPE),
    "codec 6": (patched(21, "h", 6), codes.UNSUPPORTED_COMPRESSION_TYPE),
    "codec 7": (patched(21, "h", 7), codes.UNSUPPORTED_COMPRESSION_TYPE),
    "delta -1": (patched(23, "i", -1), codes.INVALID_RECORD),
    "delta 1": (patched(23, "i", 1), codes.INVALID_RECORD),
    "delta 3": (patched(23, "i", 3), codes.INVALID_RECORD),
    "count 0": (patched(57, "i", 0), codes.INVALID_RECORD),
    "count -1, delta -2": (patched(23, "i", -2, patched(57, "i", -1)), codes.INVALID_RECORD),
    "no records at all": (bytes(build_batch([])), codes.INVALID_RECORD),
    "2^31-1 records in a few bytes": (around(GOOD[61:], 2**31 - 1), codes.INVALID_RECORD),
    "control": (patched(21, "h", 0x20), codes.INVALID_RECORD),
    "a marker": (
        bytes(end_txn_marker(producer_id=1, producer_epoch=0, commit=True, coordinator_epoch=0, now=NOW)),
        codes.INVALID_RECORD,
    ),
    "delete horizon": (patched(21, "h", 0x40), codes.INVALID_RECORD),
    "producer without sequence": (bytes(build_batch(records(), producer_id=0, producer_epoch=0)), codes.INVALID_RECORD),
    "producer without epoch": (bytes(build_batch(records(), producer_id=0, base_sequence=0)), codes.INVALID_RECORD),
    "transactional without producer": (bytes(build_batch(records(), transactional=True)), codes.INVALID_RECORD),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name: str) -> None:
    batch, code = HEADERS[name]
    error = refused(batch)
    assert error.error_code == code
    assert error.record_errors == ()


@pytest.mark.parametrize(
    "batch",
    [
        patched(12, "i", 7),  # the leader epoch is the broker's to write
        patched(21, "h", 0x80),
        patched(21, "h", 0x4000),
        patched(21, "h", -(2**15)),
        bytes(build_batch(records(), producer_epoch=0, base_sequence=0)),  # no producer id: neither counts
        bytes(build_batch(records(), producer_id=-2, producer_epoch=0, base_sequence=0)),
        bytes(build_batch([Record(0, NOW, None, None)])),
        bytes(build_batch(records(), producer_id=1, producer_epoch=0, base_sequence=2**31 - 2)),  # crosses the wrap
    ],
)
def test_what_kafka_takes_too(batch: bytes) -> None:
    validate(memoryview(batch), RULES, NOW)


def test_the_smallest_records_fit() -> None:
    for count in (1, 2, 60):
        batch = build_batch([Record(i, 0, None, None) for i in range(count)])
        assert len(batch) == 61 + 7 * count
        assert validate(memoryview(batch), RULES, NOW).record_count == count


def test_every_flipped_bit_is_found() -> None:
    batch = build_batch(records(1), producer_id=9, producer_epoch=1, base_sequence=0)
    for bit in range(len(batch) * 8):
        at = bit // 8
        if 12 <= at < 16:  # leader epoch: free
            continue
        batch[at] ^= 1 << bit % 8
        error = refused(bytes(batch))
        batch[at] ^= 1 << bit % 8
        if at >= 17:  # the checksum is looked at before anything it covers
            assert error.error_code == codes.CORRUPT_MESSAGE, bit
        elif at < 8:
            assert error.error_code == codes.INVALID_RECORD, bit
        else:
            assert error.error_code in (codes.CORRUPT_MESSAGE, codes.INVALID_RECORD), bit
    validate(memoryview(batch), RULES, NOW)


def test_size() -> None:
    assert validate(memoryview(GOOD), Rules(max_message_bytes=len(GOOD)), NOW).size == len(GOOD)
    assert refused(GOOD, Rules(max_message_bytes=len(GOOD) - 1)).error_code == codes.MESSAGE_TOO_LARGE
    broken = patched(17, "I", 5, crc=False)
    assert refused(broken, Rules(max_message_bytes=10)).error_code == codes.MESSAGE_TOO_LARGE


def test_zstd_needs_produce_7() -> None:
    batch = bytes(build_batch(records(), codec=4))
    assert refused(batch, zstd_allowed=False).error_code == codes.UNSUPPORTED_COMPRESSION_TYPE
    assert validate(memoryview(batch), RULES, NOW).codec == 4
    assert validate(memoryview(build_batch(records(), codec=3)), RULES, NOW, zstd_allowed=False).codec == 3


@pytest.mark.parametrize("codec", [0, 1])
def test_timestamps_ahead(codec: int) -> None:
    late = [*records(2), Record(2, NOW + HOUR + 1, b"", b""), Record(3, NOW + HOUR, b"", b"")]
    error = refused(bytes(build_batch(late, codec=codec)))
    assert error.error_code == codes.INVALID_TIMESTAMP
    assert [index for index, _ in error.record_errors] == [2]
    assert str(NOW + HOUR + 1) in error.record_errors[0][1]
    assert str(error).startswith("INVALID_TIMESTAMP: ")
    assert "record 2: " in str(error)
    validate(memoryview(build_batch(late[:2] + late[3:])), RULES, NOW)
    validate(memoryview(build_batch(late)), STAMPED, NOW)  # the broker's time counts there
    validate(memoryview(build_batch(late)), Rules(timestamp_after_max_ms=HOUR + 1), NOW)


@pytest.mark.parametrize("codec", [0, 4])
def test_timestamps_behind(codec: int) -> None:
    old = [Record(0, NOW - HOUR, b"", b""), Record(1, NOW - HOUR - 1, b"", b""), Record(2, -1, b"", b"")]
    batch = bytes(build_batch(old, codec=codec))
    error = refused(batch, BOUNDED)
    assert error.error_code == codes.INVALID_TIMESTAMP
    assert [index for index, _ in error.record_errors] == [1]
    validate(memoryview(batch), RULES, NOW)
    for timestamp in (-1, NOW - HOUR):  # -1 is no timestamp
        validate(memoryview(build_batch([Record(0, timestamp, b"", b"")])), BOUNDED, NOW)
    assert refused(bytes(build_batch([Record(0, 0, b"", b"")])), BOUNDED).error_code == codes.INVALID_TIMESTAMP
    for timestamp in (0, -5):
        validate(memoryview(build_batch([Record(0, timestamp, b"", b"")])), RULES, NOW)


def test_a_header_with_a_max_timestamp_no_record_has() -> None:
    assert refused(patched(35, "q", NOW + 2 * HOUR)).error_code == codes.INVALID_TIMESTAMP
    validate(memoryview(patched(35, "q", 5)), RULES, NOW)


@pytest.mark.parametrize("rules", [COMPACTED, Rules(require_keys=True, timestamp_type=LOG_APPEND_TIME)])
@pytest.mark.parametrize("codec", [0, 2])
def test_keys_of_compacted_topics(codec: int, rules: Rules) -> None:
    mixed = [Record(0, NOW, b"k", b""), Record(1, NOW, None, b""), Record(2, NOW, b"", b""), Record(3, NOW, None, None)]
    batch = bytes(build_batch(mixed, codec=codec))
    error = refused(batch, rules)
    assert error.error_code == codes.INVALID_RECORD
    assert [index for index, _ in error.record_errors] == [1, 3]
    validate(memoryview(batch), RULES, NOW)


def test_a_bad_timestamp_outweighs_a_missing_key() -> None:
    both = [Record(0, NOW, None, b""), Record(1, NOW + 2 * HOUR, b"", b"")]
    error = refused(bytes(build_batch(both)), COMPACTED)
    assert error.error_code == codes.INVALID_TIMESTAMP
    assert [index for index, _ in error.record_errors] == [0, 1]
    # of one record the key is looked at first, and its timestamp then no more
    error = refused(bytes(build_batch([Record(0, NOW + 2 * HOUR, None, b"")])), COMPACTED)
    assert error.error_code == codes.INVALID_RECORD
    assert len(error.record_errors) == 1


def test_the_list_of_bad_records_is_bounded() -> None:
    error = refused(bytes(build_batch(records(module.RECORD_ERRORS_MAX + 50, key=None))), COMPACTED)
    assert [index for index, _ in error.record_errors] == list(range(module.RECORD_ERRORS_MAX))


def test_log_append_time_is_not_the_producers_to_set() -> None:
    error = refused(patched(21, "h", 8), STAMPED)
    assert error.error_code == codes.INVALID_TIMESTAMP
    assert [index for index, _ in error.record_errors] == [0, 1, 2]
    header, batch = prepare(memoryview(patched(21, "h", 8)), RULES, NOW)
    assert not header.is_log_append_time
    assert batch == GOOD


def odd_deltas() -> bytes:
    raw = bytearray()
    for delta in (0, 2, 5):
        append_record(raw, Record(delta, NOW, b"k", b""), delta, 0)
    return bytes(raw)


@pytest.mark.parametrize(
    "batch",
    [
        around(GOOD[61:], 2),
        around(compress(1, GOOD[61:]), 4, codec=1),
        around(compress(4, GOOD[61:]), 2, codec=4),
        around(compress(1, GOOD[61:])[:-12], 3, codec=1),
        around(b"garbage 1234", 3, codec=2),
        around(b"\xff" * 40, 3),
        around(odd_deltas(), 3),
    ],
)
def test_contents_are_looked_at_only_where_the_rules_need_it(batch: bytes) -> None:
    validate(memoryview(batch), RULES, NOW)
    for rules in (COMPACTED, BOUNDED):
        assert rules.needs_records
        assert refused(batch, rules).error_code == codes.INVALID_RECORD
    header = BatchHeader(batch)
    with pytest.raises(InvalidBatch) as caught:
        validate_records(memoryview(batch), header, RULES, NOW)
    assert caught.value.error_code == codes.INVALID_RECORD


def test_which_rules_need_records() -> None:
    assert not RULES.needs_records
    assert not STAMPED.needs_records
    assert not Rules(timestamp_type=LOG_APPEND_TIME, timestamp_before_max_ms=5).needs_records
    assert Rules(timestamp_type=CREATE_TIME, timestamp_before_max_ms=5).needs_records


def test_a_bomb_is_refused() -> None:
    batch = bytes(build_batch([Record(0, NOW, b"", bytes(3_000_000))], codec=4))
    error = refused(batch, Rules(require_keys=True, decompressed_bytes_max=1_000_000))
    assert error.error_code == codes.MESSAGE_TOO_LARGE


def test_prepare_changes_nothing_that_need_not_change() -> None:
    data = memoryview(GOOD)
    header, batch = prepare(data, RULES, NOW)
    assert batch is data
    assert header.record_count == 3
    for codec in range(5):
        data = memoryview(build_batch(records(), codec=codec))
        assert prepare(data, Rules(codec=codec, level=9), NOW)[1] is data


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_prepare_stamps(kind: Callable[[bytes], bytes | bytearray]) -> None:
    header, batch = prepare(memoryview(kind(GOOD)), STAMPED, NOW + 5)
    assert (header.is_log_append_time, header.max_timestamp) == (True, NOW + 5)
    assert header.crc == compute_crc(batch, 0, len(batch))
    assert {record.timestamp for record in iter_records(batch)} == {NOW + 5}


@pytest.mark.parametrize("source", range(5))
@pytest.mark.parametrize("target", range(5))
def test_prepare_recompresses(source: int, target: int) -> None:
    many = records(40)
    rules = Rules(codec=target, timestamp_type=LOG_APPEND_TIME)
    header, batch = prepare(memoryview(build_batch(many, codec=source)), rules, NOW + 5)
    assert (header.codec, header.size, header.is_log_append_time) == (target, len(batch), True)
    assert header.crc == compute_crc(batch, 0, len(batch))
    assert [(r.key, r.value) for r in iter_records(batch)] == [(r.key, r.value) for r in many]


def test_prepare_asks_for_the_size_again() -> None:
    batch = build_batch([Record(0, NOW, b"", bytes(5000))], codec=4)
    size = prepare(memoryview(batch), Rules(codec=0), NOW)[0].size
    assert prepare(memoryview(batch), Rules(codec=0, max_message_bytes=size), NOW)[0].size == size
    with pytest.raises(InvalidBatch) as caught:
        prepare(memoryview(batch), Rules(codec=0, max_message_bytes=size - 1), NOW)
    assert caught.value.error_code == codes.MESSAGE_TOO_LARGE
    with pytest.raises(InvalidBatch) as caught:
        prepare(memoryview(around(b"garbage", 1, codec=4)), Rules(codec=1), NOW)
    assert caught.value.error_code == codes.INVALID_RECORD
