"""What we write, independent programs read, and the other way round; and nothing but our own error comes of rubbish."""

import io
import warnings
from datetime import UTC, datetime

import pytest
from aiokafka.record.default_records import DefaultRecordBatch as AioBatch
from aiokafka.record.default_records import DefaultRecordBatchBuilder as AioBuilder
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as AioPythonBuilder
from hypothesis import given
from hypothesis import strategies as st
from kio.records.readers import read_batch
from kio.records.writers import write_prepared_batch

from moldau.records.batch import BatchHeader, compute_crc, iter_headers
from moldau.records.builder import build_batch, recompress
from moldau.records.compression import CODEC_NAMES, compress, decompress
from moldau.records.control import read_end_txn_marker
from moldau.records.errors import InvalidBatch
from moldau.records.lookup import find_max_timestamp, find_timestamp
from moldau.records.record import Record, iter_record_heads, iter_records
from moldau.records.validate import Rules, prepare, validate

with warnings.catch_warnings():
    # kafka-python reads its resources in a way that Python 3.11 and 3.12 call deprecated
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka.record.default_records import DefaultRecordBatch as KafkaBatch
    from kafka.record.default_records import DefaultRecordBatchBuilder as KafkaBuilder

pytestmark = pytest.mark.slow

NOW = 1_700_000_000_000
RULES = Rules(timestamp_after_max_ms=2**62)
DEEP = Rules(timestamp_after_max_ms=2**62, timestamp_before_max_ms=2**62)

blobs = st.binary(max_size=200) | st.builds(lambda b, n: b * n, st.binary(max_size=9), st.integers(0, 300))
headers = st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=20)), max_size=3)
timestamps = st.integers(0, 2**42) | st.integers(NOW - 9, NOW + 9)
codecs = st.integers(0, 4)


@st.composite
def record_lists(draw: st.DrawFn) -> list[Record]:
    fields = draw(
        st.lists(st.tuples(timestamps, st.none() | blobs, st.none() | blobs, headers), min_size=1, max_size=12)
    )
    return [Record(offset, *rest) for offset, rest in enumerate(fields)]


producers = st.sampled_from([(-1, -1, -1, False), (7, 0, 0, False), (2**40, 32767, 2**31 - 3, True)])


def as_tuples(batch: object) -> list[tuple[object, ...]]:
    return [(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch]  # type: ignore[attr-defined]


@given(record_lists(), codecs, producers)
def test_aiokafka_reads_ours(records: list[Record], codec: int, producer: tuple[int, int, int, bool]) -> None:
    batch = build_batch(
        records,
        base_offset=900,
        codec=codec,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        transactional=producer[3],
    )
    theirs = AioBatch(bytes(batch))
    assert theirs.validate_crc()
    assert theirs.is_transactional == producer[3]
    assert (theirs.producer_id, theirs.producer_epoch, theirs.base_sequence) == producer[:3]
    assert theirs.next_offset == BatchHeader(batch).next_offset
    assert as_tuples(theirs) == [
        (r.offset + 900, *rest) for r, (_, *rest) in zip(records, as_tuples(records), strict=True)
    ]


@given(record_lists(), st.sampled_from([0, 1]))
def test_kafka_python_reads_ours(records: list[Record], codec: int) -> None:
    theirs = KafkaBatch(bytes(build_batch(records, codec=codec)))
    assert theirs.validate_crc()
    assert as_tuples(theirs) == as_tuples(records)


@pytest.mark.parametrize("builder", [AioBuilder, AioPythonBuilder, KafkaBuilder])
@given(records=record_lists(), codec=codecs, producer=producers)
def test_we_read_theirs(builder: type, records: list[Record], codec: int, producer: tuple[int, int, int, bool]) -> None:
    codec = min(codec, 1) if builder is KafkaBuilder else codec  # it has no library for the others here
    theirs = builder(
        magic=2,
        compression_type=codec,
        is_transactional=producer[3],
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        batch_size=10**9,
    )
    for record in records:
        theirs.append(record.offset, record.timestamp, record.key, record.value, list(record.headers))
    batch = memoryview(bytes(theirs.build()))
    for rules in (RULES, DEEP):
        header = validate(batch, rules, NOW)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == producer[:3]
    assert header.is_transactional == producer[3]
    assert header.codec in (0, codec)  # they leave out compression that does not pay
    assert list(iter_records(batch)) == records
    if header.codec == 0:
        ours = build_batch(
            records,
            leader_epoch=header.partition_leader_epoch,
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
            transactional=producer[3],
        )
        assert ours == batch


@given(record_lists())
def test_kio_reads_and_writes_the_same_bytes(records: list[Record]) -> None:
    # kio keeps whole seconds only, and takes no record later than the batch's max timestamp
    whole = [Record(r.offset, r.timestamp % 2**41 // 1000 * 1000, r.key, r.value, r.headers) for r in records]
    batch = bytes(build_batch(whole, base_offset=3, leader_epoch=1, producer_id=5, producer_epoch=6, base_sequence=7))
    theirs, size = read_batch(batch, 0)
    assert size == len(batch)
    assert [
        (r.offset - 3, r.timestamp, r.key, r.value, [(h.key, h.value) for h in r.headers]) for r in theirs.records
    ] == [
        (
            r.offset,
            datetime.fromtimestamp(r.timestamp / 1000, UTC),
            r.key,
            r.value,
            [(name.encode(), value) for name, value in r.headers],
        )
        for r in whole
    ]
    out = io.BytesIO()
    write_prepared_batch(out, theirs)
    assert out.getvalue() == batch


@given(record_lists(), codecs, codecs, st.none() | st.integers(1, 9))
def test_recompression_keeps_the_records(records: list[Record], source: int, target: int, level: int | None) -> None:
    batch = recompress(build_batch(records, codec=source), target, None if target in (0, 2) else level)
    assert list(iter_records(batch)) == records
    assert validate(memoryview(batch), DEEP, NOW).codec == target


@given(st.integers(1, 4), st.binary(max_size=3000), st.integers(0, 3000))
def test_codecs_round_trip_within_their_bound(codec: int, data: bytes, bound: int) -> None:
    packed = compress(codec, data)
    if len(data) <= bound:
        assert decompress(codec, packed, bound) == data
    else:
        with pytest.raises(InvalidBatch, match=f"MESSAGE_TOO_LARGE.*{CODEC_NAMES[codec]}"):
            decompress(codec, packed, bound)


@given(st.integers(0, 7), st.binary(max_size=300))
def test_any_bytes_as_a_stream(codec: int, data: bytes) -> None:
    try:
        assert len(decompress(codec, data, 10_000)) <= 10_000
    except InvalidBatch:
        pass


@given(st.binary(max_size=200), st.integers(1, 20), codecs)
def test_any_bytes_as_records(raw: bytes, count: int, codec: int) -> None:
    batch = bytearray(build_batch([Record(0, NOW, b"", b"")])[:61]) + compress(codec, raw)
    batch[8:12] = (len(batch) - 12).to_bytes(4, "big")
    batch[22] = codec
    batch[57:61] = count.to_bytes(4, "big")
    outcomes = []
    for walk in (
        lambda: list(iter_records(batch)),
        lambda: list(iter_record_heads(batch, strict=True)),
        lambda: list(iter_record_heads(batch)),
        lambda: find_timestamp(batch, NOW),
        lambda: find_max_timestamp(batch),
        lambda: read_end_txn_marker(batch),
    ):
        try:
            walk()
            outcomes.append(True)
        except InvalidBatch:
            outcomes.append(False)
    assert outcomes[0] == outcomes[1]  # strict heads refuse exactly what full decoding refuses


@given(st.binary(max_size=200))
def test_any_bytes_as_a_batch(data: bytes) -> None:
    with pytest.raises(InvalidBatch):
        validate(memoryview(data), RULES, NOW)
    try:
        for _, header in iter_headers(data):
            assert header.size <= len(data)
    except InvalidBatch:
        pass


@given(record_lists(), codecs, st.data())
def test_any_damage_is_noticed(records: list[Record], codec: int, data: st.DataObject) -> None:
    batch = build_batch(records, codec=codec)
    at = data.draw(st.integers(0, len(batch) - 1).filter(lambda at: not 12 <= at < 16))
    batch[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InvalidBatch):
        validate(memoryview(batch), RULES, NOW)


@given(record_lists(), codecs, codecs, st.integers(0, 1))
def test_prepared_batches_are_valid_again(records: list[Record], source: int, target: int, timestamp_type: int) -> None:
    rules = Rules(codec=target, timestamp_type=timestamp_type, timestamp_after_max_ms=2**62)
    header, batch = prepare(memoryview(bytes(build_batch(records, codec=source))), rules, NOW)
    assert header.crc == compute_crc(batch, 0, len(batch))
    assert (header.codec, header.size) == (target, len(batch))
    stored = list(iter_records(batch))
    assert [(r.key, r.value, r.headers) for r in stored] == [(r.key, r.value, r.headers) for r in records]
    assert [r.timestamp for r in stored] == [NOW if timestamp_type else r.timestamp for r in records]


@given(record_lists(), codecs, timestamps, st.integers(0, 12))
def test_lookup_is_what_a_plain_search_finds(records: list[Record], codec: int, target: int, least: int) -> None:
    batch = build_batch(records, codec=codec)
    found = ((r.offset, r.timestamp) for r in records if r.timestamp >= target and r.offset >= least)
    assert find_timestamp(batch, target, least) == next(found, None)
    latest = max(r.timestamp for r in records)
    assert find_max_timestamp(batch) == next((r.offset, r.timestamp) for r in records if r.timestamp == latest)
