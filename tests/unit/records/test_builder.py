import pytest

from moldau.records.batch import BatchHeader, compute_crc
from moldau.records.builder import build_batch, recompress
from moldau.records.record import Record, iter_records

NOW = 1_700_000_000_000
RECORDS = [Record(i, NOW + i % 7, b"key-%d" % i, b"a value that repeats " * 5, [("h", None)]) for i in range(50)]


def shifted(base: int) -> list[Record]:
    return [Record(base + r.offset, r.timestamp, r.key, r.value, r.headers) for r in RECORDS]


@pytest.mark.parametrize("codec", range(5))
def test_fields(codec: int) -> None:
    batch = build_batch(
        RECORDS,
        base_offset=1000,
        leader_epoch=4,
        codec=codec,
        producer_id=77,
        producer_epoch=2,
        base_sequence=900,
        transactional=True,
    )
    header = BatchHeader(batch)
    assert (header.base_offset, header.partition_leader_epoch, header.size) == (1000, 4, len(batch))
    assert (header.attributes, header.record_count, header.last_offset_delta) == (codec | 16, 50, 49)
    assert (header.producer_id, header.producer_epoch, header.base_sequence) == (77, 2, 900)
    assert (header.base_timestamp, header.max_timestamp) == (NOW, NOW + 6)
    assert header.crc == compute_crc(batch, 0, len(batch))
    assert list(iter_records(batch)) == shifted(1000)


def test_a_librdkafka_batch_built_again_is_the_same_bytes(golden: dict[str, bytes]) -> None:
    for name in ("librdkafka-none", "java-none", "transactional-commit"):
        raw = golden[name]
        header = BatchHeader(raw)
        assert (
            build_batch(
                list(iter_records(raw)),
                base_offset=header.base_offset,
                leader_epoch=header.partition_leader_epoch,
                producer_id=header.producer_id,
                producer_epoch=header.producer_epoch,
                base_sequence=header.base_sequence,
                transactional=header.is_transactional,
            )
            == raw
        )


def test_holes_keep_their_offsets() -> None:
    kept = [RECORDS[3], RECORDS[10], RECORDS[44]]
    batch = build_batch(kept, base_offset=2, last_offset=49, keep_offsets=True)
    header = BatchHeader(batch)
    assert (header.base_offset, header.last_offset, header.record_count) == (2, 49, 3)
    assert list(iter_records(batch)) == kept
    assert BatchHeader(build_batch(kept, base_offset=2, keep_offsets=True)).last_offset == 44


@pytest.mark.parametrize(
    ("offsets", "base", "last"), [([3, 3], 0, None), ([4, 3], 0, None), ([1], 2, None), ([1, 5], 0, 4)]
)
def test_offsets_that_cannot_be(offsets: list[int], base: int, last: int | None) -> None:
    records = [Record(offset, NOW, None, None) for offset in offsets]
    with pytest.raises(ValueError, match=str(offsets[-1])):
        build_batch(records, base_offset=base, last_offset=last, keep_offsets=True)


def test_a_batch_without_records_remembers_its_producer() -> None:
    batch = build_batch(
        [], base_offset=5, last_offset=9, codec=4, producer_id=1, producer_epoch=0, base_sequence=3, max_timestamp=NOW
    )
    header = BatchHeader(batch)
    assert (len(batch), header.record_count, header.next_offset, header.last_sequence) == (61, 0, 10, 7)
    assert (header.codec, header.base_timestamp, header.max_timestamp) == (0, -1, NOW)
    assert header.crc == compute_crc(batch, 0, 61)
    assert list(iter_records(batch)) == []


def test_a_delete_horizon_leaves_timestamps_as_they_are() -> None:
    batch = build_batch(RECORDS, delete_horizon_ms=NOW - 10**9)
    header = BatchHeader(batch)
    assert (header.has_delete_horizon, header.delete_horizon_ms) == (True, NOW - 10**9)
    assert list(iter_records(batch)) == RECORDS


def test_log_append_time() -> None:
    header = BatchHeader(build_batch(RECORDS, log_append_time=NOW + 99))
    assert (header.is_log_append_time, header.base_timestamp, header.max_timestamp) == (True, NOW + 99, NOW + 99)


@pytest.mark.parametrize("source", range(5))
@pytest.mark.parametrize("target", range(5))
def test_recompress(source: int, target: int) -> None:
    batch = build_batch(
        RECORDS, base_offset=8, leader_epoch=3, codec=source, producer_id=9, producer_epoch=1, base_sequence=7
    )
    again = recompress(memoryview(batch), target)
    before, after = BatchHeader(batch), BatchHeader(again)
    assert (after.codec, after.size, after.crc) == (target, len(again), compute_crc(again, 0, len(again)))
    for field in BatchHeader.__slots__:
        if field not in ("length", "crc", "attributes"):
            assert getattr(after, field) == getattr(before, field), field
    assert list(iter_records(again)) == shifted(8)


def test_recompress_level() -> None:
    batch = build_batch(RECORDS * 20)
    assert len(recompress(batch, 4, 19)) < len(recompress(batch, 4, -100))
