import struct

import pytest

from moldau.protocol import error_codes
from moldau.records import batch as batches
from moldau.records.batch import BatchHeader, add_sequence, compute_crc, iter_headers
from moldau.records.builder import build_batch
from moldau.records.errors import InvalidBatch
from moldau.records.record import Record

NOW = 1_700_000_000_000


def test_header_of_a_java_batch(golden: dict[str, bytes]) -> None:
    raw = golden["java-snappy"]
    header = BatchHeader(raw)
    assert (header.size, header.length, header.magic) == (len(raw), len(raw) - 12, 2)
    assert (header.codec, header.record_count, header.last_offset_delta) == (2, 12, 11)
    assert header.crc == compute_crc(raw, 0, len(raw))
    assert header.next_offset == header.base_offset + 12 == header.last_offset + 1
    assert not header.is_transactional
    assert not header.is_control
    assert not header.is_log_append_time
    assert not header.has_delete_horizon
    assert (header.producer_epoch, header.base_sequence, header.last_sequence) == (0, 0, 11)
    assert f"crc={header.crc}" in repr(header)


def test_header_at_a_position() -> None:
    batch = build_batch([Record(0, NOW, None, b"x")], base_offset=7, producer_id=2**40, producer_epoch=3)
    header = BatchHeader(memoryview(b"????" + batch), 4)
    assert (header.base_offset, header.producer_id, header.producer_epoch) == (7, 2**40, 3)


def test_flags() -> None:
    header = BatchHeader(
        build_batch([Record(0, 5, b"", b"")], transactional=True, control=True, delete_horizon_ms=99, log_append_time=7)
    )
    assert header.is_transactional
    assert header.is_control
    assert header.is_log_append_time
    assert header.delete_horizon_ms == 99
    assert header.max_timestamp == 7
    assert BatchHeader(build_batch([Record(0, 5, b"", b"")])).delete_horizon_ms is None


def test_field_positions_are_those_of_the_layout() -> None:
    raw = bytes(range(61))
    header = BatchHeader(raw)
    for name, at, fmt in [
        ("base_offset", batches.BASE_OFFSET_AT, "q"),
        ("length", batches.LENGTH_AT, "i"),
        ("partition_leader_epoch", batches.LEADER_EPOCH_AT, "i"),
        ("magic", batches.MAGIC_AT, "b"),
        ("crc", batches.CRC_AT, "I"),
        ("attributes", batches.ATTRIBUTES_AT, "h"),
        ("last_offset_delta", batches.LAST_OFFSET_DELTA_AT, "i"),
        ("base_timestamp", batches.BASE_TIMESTAMP_AT, "q"),
        ("max_timestamp", batches.MAX_TIMESTAMP_AT, "q"),
        ("producer_id", batches.PRODUCER_ID_AT, "q"),
        ("producer_epoch", batches.PRODUCER_EPOCH_AT, "h"),
        ("base_sequence", batches.BASE_SEQUENCE_AT, "i"),
        ("record_count", batches.RECORD_COUNT_AT, "i"),
    ]:
        assert getattr(header, name) == struct.unpack_from(">" + fmt, raw, at)[0], name


def test_set_base_offset_leaves_the_checksum_right() -> None:
    buf = bytearray(b"..") + build_batch([Record(0, NOW, b"k", b"v")])
    before = BatchHeader(buf, 2)
    batches.set_base_offset(buf, 2, 2**40, 9)
    after = BatchHeader(buf, 2)
    assert (after.base_offset, after.partition_leader_epoch, after.length) == (2**40, 9, before.length)
    assert after.crc == before.crc == compute_crc(buf, 2, after.size)


def test_log_append_time_set_and_cleared() -> None:
    first = build_batch([Record(0, NOW, b"k", b"v")], codec=1, transactional=True, producer_id=1)
    second = build_batch([Record(0, NOW, b"k", b"w")])
    buf = bytearray(first + second)
    batches.set_log_append_time(buf, 0, NOW + 77)
    header = BatchHeader(buf)
    assert (header.attributes, header.max_timestamp) == (1 | 8 | 16, NOW + 77)
    assert header.base_timestamp == NOW
    assert header.crc == compute_crc(buf, 0, header.size)
    assert buf[header.size :] == second
    batches.clear_log_append_time(buf, 0)
    header = BatchHeader(buf)
    assert (header.attributes, header.max_timestamp) == (1 | 16, NOW + 77)
    assert header.crc == compute_crc(buf, 0, header.size)


@pytest.mark.parametrize(
    ("base", "increment", "last"),
    [
        (0, 0, 0),
        (5, 6, 11),
        (2**31 - 1, 0, 2**31 - 1),
        (2**31 - 1, 1, 0),
        (2**31 - 3, 5, 2),
        (2**31 - 1, 2**31 - 1, 2**31 - 2),
    ],
)
def test_sequences_wrap(base: int, increment: int, last: int) -> None:
    assert add_sequence(base, increment) == last


def test_last_sequence() -> None:
    records = [Record(i, NOW, None, b"x") for i in range(4)]
    assert BatchHeader(build_batch(records, producer_id=1, base_sequence=2**31 - 2)).last_sequence == 1
    assert BatchHeader(build_batch(records)).last_sequence == -1


def test_iter_headers_walks_whole_batches(golden: dict[str, bytes]) -> None:
    parts = [golden["java-none"], golden["marker-abort"], golden["librdkafka-zstd"]]
    buf = b"".join(parts)
    walked = list(iter_headers(memoryview(buf)))
    assert [pos for pos, _ in walked] == [0, len(parts[0]), len(parts[0]) + 78]
    assert [header.size for _, header in walked] == [len(part) for part in parts]
    # cut anywhere in the last batch: the two before it are found
    for end in range(len(parts[0]) + 78, len(buf)):
        assert len(list(iter_headers(buf, 0, end))) == 2
    assert [pos for pos, _ in iter_headers(buf, len(parts[0]), len(parts[0]) + 78)] == [len(parts[0])]
    assert list(iter_headers(b"")) == []


@pytest.mark.parametrize(("at", "fmt", "value"), [(8, "i", 48), (8, "i", -1), (16, "b", 1), (16, "b", -1)])
def test_iter_headers_refuses_what_is_no_batch(at: int, fmt: str, value: int) -> None:
    good = build_batch([Record(0, NOW, b"k", b"v")])
    bad = bytearray(good)
    struct.pack_into(">" + fmt, bad, at, value)
    walk = iter_headers(good + bad)
    assert next(walk)[0] == 0
    with pytest.raises(InvalidBatch) as caught:
        next(walk)
    assert caught.value.error_code == error_codes.CORRUPT_MESSAGE
    assert f"position {len(good)}" in str(caught.value)
