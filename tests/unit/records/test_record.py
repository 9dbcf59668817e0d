import struct
from collections.abc import Iterator

import pytest

from moldau.protocol import error_codes
from moldau.records.batch import HEADER_BYTES, BatchHeader
from moldau.records.builder import append_record, append_varint, build_batch
from moldau.records.compression import GZIP, compress
from moldau.records.errors import InvalidBatch
from moldau.records.record import Record, iter_record_heads, iter_records, read_varint, read_varlong

NOW = 1_700_000_000_000
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def batch_of(raw: bytes, count: int, codec: int = 0) -> bytes:
    """A batch around any bytes; the checksum is not looked at here."""
    head = bytearray(build_batch([Record(0, NOW, b"", b"")])[:HEADER_BYTES])
    struct.pack_into(">i", head, 8, HEADER_BYTES - 12 + len(raw))
    struct.pack_into(">h", head, 21, codec)
    struct.pack_into(">i", head, 57, count)
    return bytes(head) + raw


def body(*parts: bytes | int) -> bytes:
    """A record whose fields are given as varints or bytes, with its true length before it."""
    inner = bytearray()
    for part in parts:
        if isinstance(part, int):
            append_varint(inner, part)
        else:
            inner += part
    out = bytearray()
    append_varint(out, len(inner))
    return bytes(out + inner)


def refused(walk: Iterator[object]) -> InvalidBatch:
    with pytest.raises(InvalidBatch) as caught:
        list(walk)
    return caught.value


@pytest.mark.parametrize("codec", CODECS)
def test_what_librdkafka_wrote(golden: dict[str, bytes], codec: str) -> None:
    raw = golden[f"librdkafka-{codec}"]
    base = BatchHeader(raw).base_offset
    assert list(iter_records(memoryview(raw))) == [
        Record(
            base + i,
            NOW + i * 7 - (50 if i == 6 else 0),
            None if i % 4 == 3 else b"key-%d" % i,
            None if i == 5 else b"librdkafka record %d " % i * 6,
            [("h", b"x%d" % i), ("null", None)] if i % 5 == 0 else (),
        )
        for i in range(12)
    ]


@pytest.mark.parametrize("codec", CODECS)
def test_what_the_java_client_wrote(golden: dict[str, bytes], codec: str) -> None:
    raw = golden[f"java-{codec}"]
    records = list(iter_records(raw))
    padding = b"padding " * (400 if codec == "snappy" else 5)  # 38 KiB: more than one block of Java's snappy
    assert [(r.key, r.value, r.headers) for r in records] == [
        (b"key-%d" % i, b"java record %d " % i + padding, (("h", b"%d" % i), ("n", b""))) for i in range(12)
    ]
    assert max(r.timestamp for r in records) == BatchHeader(raw).max_timestamp


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_heads_agree_with_records(golden: dict[str, bytes], codec: str, strict: bool) -> None:
    for client in ("librdkafka", "java"):
        raw = golden[f"{client}-{codec}"]
        header = BatchHeader(raw)
        assert list(iter_record_heads(raw, strict=strict)) == [
            (r.offset - header.base_offset, r.timestamp - header.base_timestamp, r.key is not None)
            for r in iter_records(raw)
        ]


def test_log_append_time_is_the_time_of_each_record() -> None:
    records = [Record(i, NOW + i, b"k", b"v") for i in range(3)]
    assert [r.timestamp for r in iter_records(build_batch(records, log_append_time=5))] == [5, 5, 5]


def test_header_names_that_are_not_utf8_survive() -> None:
    raw = body(b"\0", 0, 0, -1, -1, 1, 2, b"\xff\xfe", -1)
    (record,) = iter_records(batch_of(raw, 1))
    assert record.headers == (("\udcff\udcfe", None),)
    again = bytearray()
    append_record(again, record, 0, 0)
    assert bytes(again) == raw


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (-1, "01"),
        (1, "02"),
        (63, "7e"),
        (-64, "7f"),
        (64, "8001"),
        (300, "d804"),
        (2**31 - 1, "feffffff0f"),
        (-(2**31), "ffffffff0f"),
    ],
)
def test_varints(value: int, encoded: str) -> None:
    raw = bytes.fromhex(encoded)
    out = bytearray()
    append_varint(out, value)
    assert out == raw
    assert read_varint(b"x" + raw + b"x", 1) == (value, 1 + len(raw))
    assert read_varlong(b"x" + raw + b"x", 1) == (value, 1 + len(raw))


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**40, -(2**40)])
def test_varlongs(value: int) -> None:
    out = bytearray()
    append_varint(out, value)
    assert read_varlong(out, 0) == (value, len(out))


def test_varints_are_bounded() -> None:
    # bits beyond the type's are dropped, as Java drops them
    assert read_varint(b"\xff\xff\xff\xff\x7f", 0) == (-(2**31), 5)
    assert read_varlong(b"\xff" * 9 + b"\x7f", 0) == (-(2**63), 10)
    for read, most in ((read_varint, 5), (read_varlong, 10)):
        assert read(b"\xff" * (most - 1) + b"\x01", 0)[1] == most
        with pytest.raises(InvalidBatch):
            read(b"\xff" * most + b"\x01", 0)
        with pytest.raises(IndexError):
            read(b"\xff" * (most - 1), 0)


GOOD = body(b"\0", 0, 0, 1, b"k", 1, b"v", 0)
BAD_RECORDS = {
    "nothing": b"",
    "length 0": b"\x00",
    "length below 0": body(b"\0")[:0] + b"\x01",
    "longer than what is left": b"\x7e" + GOOD[1:],
    "length of six bytes": b"\xff" * 5 + b"\x01" + GOOD,
    "key over the end": body(b"\0", 0, 0, 60, b"k", 1, b"v", 0),
    "value over the end": body(b"\0", 0, 0, 1, b"k", 60, b"v", 0),
    "too long for its fields": body(b"\0", 0, 0, 1, b"k", 1, b"v", 0, b"??"),
    "too short for its fields": body(b"\0", 0, 0, 1, b"k", 1, b"v"),
    "headers below 0": body(b"\0", 0, 0, 1, b"k", 1, b"v", -1),
    "more headers than bytes": body(b"\0", 0, 0, 1, b"k", 1, b"v", 9),
    "null header name": body(b"\0", 0, 0, 1, b"k", 1, b"v", 1, -1, -1),
    "header value over the end": body(b"\0", 0, 0, 1, b"k", 1, b"v", 1, 1, b"h", 9),
    "ends at its attributes": body(b"\0"),
}


@pytest.mark.parametrize("codec", [0, GZIP])
@pytest.mark.parametrize("name", BAD_RECORDS)
def test_records_that_do_not_parse(name: str, codec: int) -> None:
    for raw, count in ((BAD_RECORDS[name], 1), (GOOD + BAD_RECORDS[name], 2)):
        batch = batch_of(compress(codec, raw), count, codec)
        assert refused(iter_records(batch)).error_code == error_codes.INVALID_RECORD
        assert refused(iter_record_heads(batch, strict=True)).error_code == error_codes.INVALID_RECORD


@pytest.mark.parametrize("wrong", [-1, 1])
def test_a_record_that_ends_elsewhere_than_it_says(wrong: int) -> None:
    batch = batch_of(bytes([GOOD[0] + 2 * wrong]) + GOOD[1:] + GOOD, 2)
    for walk in (iter_records(batch), iter_record_heads(batch), iter_record_heads(batch, strict=True)):
        assert refused(walk).error_code == error_codes.INVALID_RECORD


@pytest.mark.parametrize("count", [-1, 1, 3])
def test_another_number_of_records_than_the_header_says(count: int) -> None:
    batch = batch_of(GOOD * 2, count)
    for walk in (iter_records(batch), iter_record_heads(batch), iter_record_heads(batch, strict=True)):
        assert refused(walk).error_code == error_codes.INVALID_RECORD


@pytest.mark.parametrize("cut", [0, 12, 60, 61, -1])
def test_a_batch_that_is_not_whole(cut: int) -> None:
    batch = bytes(build_batch([Record(0, NOW, b"k", b"v")]))
    for broken in (batch[:cut], batch + b"?"):
        assert refused(iter_records(broken)).error_code == error_codes.CORRUPT_MESSAGE


def test_a_bomb_inside_a_batch() -> None:
    batch = build_batch([Record(0, NOW, None, bytes(5_000_000))], codec=GZIP)
    assert refused(iter_records(batch, 1_000_000)).error_code == error_codes.MESSAGE_TOO_LARGE
    assert refused(iter_record_heads(batch, 1_000_000)).error_code == error_codes.MESSAGE_TOO_LARGE


def test_timestamps_wrap_into_64_bits() -> None:
    batch = bytearray(batch_of(body(b"\0", 10, 0, -1, -1, 0), 1))
    struct.pack_into(">q", batch, 27, 2**63 - 1)
    (record,) = iter_records(batch)
    assert record.timestamp == -(2**63) + 9


def test_records_compare_and_show() -> None:
    record = Record(3, 4, b"k", None, [("h", None)])
    assert record == Record(3, 4, b"k", None, (("h", None),))
    assert hash(record) == hash(Record(3, 4, b"k", None, (("h", None),)))
    assert record != Record(3, 4, b"k", b"", [("h", None)])
    assert record != "record"
    assert repr(record) == "Record(offset=3, timestamp=4, key=b'k', value=None, headers=(('h', None),))"
