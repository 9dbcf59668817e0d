"""The segment format."""

from __future__ import annotations

import random
from struct import pack

import pytest

from moldau.log.segment import (
    ENTRY_BYTES,
    HEAD_BYTES,
    INDEX_INTERVAL_BYTES,
    BadExtent,
    BadSegment,
    Index,
    build,
    check,
)
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, Extent
from moldau.records.batch import BatchHeader, iter_headers
from moldau.records.builder import build_batch
from moldau.records.crc import crc32c
from moldau.records.record import Record


def batch(base: int, count: int = 2, size: int = 10, timestamp: int = 100, epoch: int = 3) -> bytearray:
    records = [Record(n, timestamp, None, b"v" * size) for n in range(count)]
    return build_batch(records, base_offset=base, leader_epoch=epoch)


def extent_of(data: bytes, base: int, last: int, **other: int) -> Extent:
    fields = {"blob_id": 1, "position": 0, "kind": KIND_INLINE, "leader_epoch": 3, **other}
    return Extent(
        partition_id=9,
        base_offset=base,
        last_offset=last,
        length=len(data),
        max_timestamp=0,
        running_max_timestamp=0,
        records=1,
        appended_at=0,
        **fields,
    )


def parts_of(count: int, size: int = 10, seed: int = 1) -> list[tuple[Extent, bytes]]:
    """Extents of one to three batches with timestamps that go up and down."""
    rng = random.Random(seed)
    parts, base = [], 1000
    for _ in range(count):
        data, first = b"", base
        for _ in range(rng.randrange(1, 4)):
            data += batch(base, rng.randrange(1, 4), size, rng.randrange(1, 500))
            base = BatchHeader(data, [at for at, _ in iter_headers(data)][-1]).next_offset
        parts.append((extent_of(data, first, base - 1), data))
    return parts


def whole(parts: list[tuple[Extent, bytes]]) -> tuple[bytes, Extent]:
    """The blob, and the row that names it."""
    segment = build(parts)
    blob = b"".join(segment.buffers)
    row = extent_of(b"", parts[0][0].base_offset, parts[-1][0].last_offset, kind=KIND_SEGMENT)
    row.position, row.length = segment.position, segment.length
    return blob, row


def test_the_bytes_are_as_documented() -> None:
    data = batch(1000, 2, timestamp=77)
    blob, row = whole([(extent_of(data, 1000, 1001), data)])
    index = pack(">IIq", 0, 0, 77)
    head = pack(">4sB3xiiqqQqIII", b"MSEG", 1, 9, 3, 1000, 1001, len(data), 77, 1, 1, crc32c(data))
    assert blob == head + pack(">I", crc32c(head + index)) + index + data
    assert row.position == HEAD_BYTES + ENTRY_BYTES == 80


def test_the_index_leads_to_every_offset() -> None:
    parts = parts_of(300, 300)
    blob, row = whole(parts)
    index = Index(blob[: row.position])
    assert len(index.offsets) > 10
    for at, header in iter_headers(blob[row.position :]):
        for offset in range(header.base_offset, header.next_offset):
            position, base = index.seek(offset)
            assert position <= at < position + INDEX_INTERVAL_BYTES + 2000
            assert BatchHeader(blob, row.position + position).base_offset == base <= offset


def test_the_time_index_finds_the_first_batch_that_reaches_a_time() -> None:
    blob, row = whole(parts_of(300, 300))
    index = Index(blob[: row.position])
    headers = list(iter_headers(blob[row.position :]))
    for target in range(0, 500, 7):
        first = next((at for at, header in headers if header.max_timestamp >= target), None)
        number = index.by_time(target)
        if first is None:
            assert number == len(index.offsets)
        else:
            position, length = index.interval(number)
            assert position <= first < position + length
    covered = [index.interval(n) for n in range(len(index.offsets))]
    assert sum(length for _, length in covered) == row.length


def test_offsets_and_epochs_become_final() -> None:
    wrong = batch(0, 2, epoch=0) + batch(0, 3, epoch=0)
    right = batch(5, 1)
    blob, row = whole([(extent_of(wrong, 0, 4), bytes(wrong)), (extent_of(right, 5, 5), bytes(right))])
    headers = [header for _, header in iter_headers(blob[row.position :])]
    assert [(h.base_offset, h.partition_leader_epoch) for h in headers] == [(0, 3), (2, 3), (5, 3)]
    assert list(check(blob, row)) == []
    moved = batch(40, 2)
    blob, row = whole([(extent_of(moved, 7, 8), bytes(moved))])
    assert list(check(blob, row)) == []


def test_a_whole_segment_has_nothing_wrong() -> None:
    for seed in range(5):
        assert list(check(*whole(parts_of(100, 200, seed)))) == []


@pytest.mark.parametrize("seed", range(4))
def test_every_flipped_bit_is_found(seed: int) -> None:
    blob, row = whole(parts_of(30, 900, seed))
    rng = random.Random(seed)
    for _ in range(100):
        damaged = bytearray(blob)
        damaged[rng.randrange(len(blob))] ^= 1 << rng.randrange(8)
        assert list(check(damaged, row))
    assert list(check(blob[:-1], row))
    assert list(check(b"", row))


def test_an_index_that_lies_is_found() -> None:
    blob, row = whole(parts_of(100, 300))
    for at, change in ((0, 1), (4, 61), (15, 1)):
        lying = bytearray(blob)
        lying[HEAD_BYTES + ENTRY_BYTES + at] ^= change
        crc = crc32c(bytes(lying[HEAD_BYTES : row.position]), crc32c(bytes(lying[: HEAD_BYTES - 4])))
        lying[HEAD_BYTES - 4 : HEAD_BYTES] = pack(">I", crc)
        assert any("index entry" in problem for problem in check(lying, row)), at


def test_a_row_that_names_another_segment_is_found() -> None:
    blob, row = whole(parts_of(10))
    row.base_offset += 1
    assert any("its row" in problem for problem in check(blob, row))


def test_what_is_no_index_is_refused() -> None:
    blob, row = whole(parts_of(10))
    raw = blob[: row.position]
    for bad, text in (
        (raw[:50], "a header has"),
        (b"MLS1" + raw[4:], "expected b'MSEG'"),
        (raw[:4] + b"\x02" + raw[5:], "version 2"),
        (raw + bytes(16), "does not fit"),
        (raw[:20] + b"\xff" + raw[21:], "checksum"),
    ):
        with pytest.raises(BadSegment, match=text):
            Index(bad)


def test_damaged_extents_are_not_built_of() -> None:
    data = bytes(batch(0) + batch(2))
    flipped = bytearray(data)
    flipped[70] ^= 1
    for bad, last, text in (
        (bytes(flipped), 3, "wrong checksum"),
        (data, 4, "end at offset 3"),
        (data[:-5], 3, "no batch"),
        (data + b"junk", 3, "4 bytes at the end"),
    ):
        extent = extent_of(bad, 0, last)
        with pytest.raises(BadExtent, match=text) as raised:
            build([(extent, bad)])
        assert raised.value.extent is extent
    with pytest.raises(BadExtent, match="bytes came"):
        build([(extent_of(data, 0, 3), data[:-1])])
    with pytest.raises(BadExtent, match="offset 4 was expected"):
        build([(extent_of(data, 0, 3), data), (extent_of(data, 5, 8), data)])
