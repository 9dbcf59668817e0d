import struct

import pytest

from moldau.records.builder import build_batch
from moldau.records.lookup import find_max_timestamp, find_timestamp
from moldau.records.record import Record

TIMES = [100, 105, 103, 110, 110, 90]
RECORDS = [Record(i, timestamp, None, b"v") for i, timestamp in enumerate(TIMES)]


@pytest.mark.parametrize("codec", range(5))
@pytest.mark.parametrize(
    ("target", "found"),
    [
        (0, (50, 100)),
        (100, (50, 100)),
        (101, (51, 105)),
        (104, (51, 105)),
        (106, (53, 110)),
        (110, (53, 110)),
        (111, None),
    ],
)
def test_first_at_or_above(codec: int, target: int, found: tuple[int, int] | None) -> None:
    assert find_timestamp(build_batch(RECORDS, base_offset=50, codec=codec), target) == found


def test_not_below_an_offset() -> None:
    batch = build_batch(RECORDS, base_offset=50)
    assert find_timestamp(batch, 101, 52) == (52, 103)
    assert find_timestamp(batch, 110, 54) == (54, 110)
    assert find_timestamp(batch, 100, 55) is None
    assert find_timestamp(batch, 0, 56) is None


@pytest.mark.parametrize("codec", range(5))
def test_first_of_the_greatest(codec: int) -> None:
    assert find_max_timestamp(build_batch(RECORDS, base_offset=50, codec=codec)) == (53, 110)


def test_log_append_time() -> None:
    batch = build_batch(RECORDS, base_offset=50, log_append_time=500)
    assert find_max_timestamp(batch) == (50, 500)
    assert find_timestamp(batch, 400) == (50, 500)
    assert find_timestamp(batch, 400, 53) == (53, 500)
    assert find_timestamp(batch, 501) is None


def test_holes_and_nothing() -> None:
    batch = build_batch(RECORDS[2:4], base_offset=0, last_offset=9, keep_offsets=True)
    assert find_timestamp(batch, 0) == (2, 103)
    assert find_max_timestamp(batch) == (3, 110)
    empty = build_batch([], last_offset=9, max_timestamp=110)
    assert find_timestamp(empty, 0) is None
    assert find_max_timestamp(empty) is None


def test_a_header_that_claims_too_much_is_not_believed() -> None:
    batch = build_batch(RECORDS)
    struct.pack_into(">q", batch, 35, 999)
    assert find_max_timestamp(batch) == (3, 110)
    assert find_timestamp(batch, 500) is None


def test_records_without_a_time() -> None:
    batch = build_batch([Record(0, -1, None, b"v"), Record(1, -1, None, b"v")])
    assert find_max_timestamp(batch) == (0, -1)
    assert find_timestamp(batch, 0) is None
