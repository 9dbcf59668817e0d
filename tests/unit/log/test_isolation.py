"""What readers of committed records are told of the batches that they get."""

from __future__ import annotations

from moldau.log.isolation import Buffer, told
from moldau.log.transactions import AbortedRange
from moldau.log.view import PartitionView
from moldau.metadata.rows import PartitionRow, PartitionState
from moldau.records.builder import build_batch
from moldau.records.control import end_txn_marker
from moldau.records.keyed import empty
from moldau.records.record import Record


def view(*ranges: AbortedRange) -> PartitionView:
    made = PartitionView(PartitionState(PartitionRow(1, bytes(16), 0, True, 0, 0), 0, b"", []))
    made.high_watermark = 1000
    made.producers.transactions.aborted = list(ranges)
    return made


def data(base: int, producer_id: int = 7, records: int = 2, transactional: bool = True) -> bytes:
    made = [Record(base + n, 5, b"k", b"v") for n in range(records)]
    how = {"producer_id": producer_id, "producer_epoch": 0, "base_sequence": 0} if producer_id >= 0 else {}
    return bytes(build_batch(made, base_offset=base, transactional=transactional, **how))


def marker(base: int, commit: bool, producer_id: int = 7) -> bytes:
    return bytes(
        end_txn_marker(
            producer_id=producer_id,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            now=5,
            base_offset=base,
            leader_epoch=0,
        )
    )


FIRST, SECOND = AbortedRange(7, 0, 2, 3), AbortedRange(7, 3, 5, 6)
BOTH = view(FIRST, SECOND)


def test_a_range_is_told_where_its_marker_or_a_batch_of_it_is_there() -> None:
    whole: list[Buffer] = [data(0) + marker(2, False), data(3) + marker(5, False) + data(6)]
    assert told(BOTH, whole) == (whole, [FIRST, SECOND])
    rest: list[Buffer] = [marker(2, False) + data(3), marker(5, False)]
    assert told(BOTH, rest) == (rest, [FIRST, SECOND])
    beside: list[Buffer] = [data(0, producer_id=8), data(2, transactional=False)]
    assert told(BOTH, beside) == (beside, [])
    assert told(BOTH, []) == ([], [])


def test_an_answer_in_which_a_range_does_not_end_reaches_to_where_it_would() -> None:
    open_end: list[Buffer] = [data(0)]
    assert told(BOTH, open_end) == (open_end, [FIRST])


def test_an_answer_from_rows_of_different_times_ends_with_a_range_without_its_marker() -> None:
    mixed: list[Buffer] = [data(0), bytes(empty(2, 2, 0)) + data(3) + marker(5, False)]
    buffers, ranges = told(BOTH, mixed)
    assert (b"".join(buffers), ranges) == (data(0) + bytes(empty(2, 2, 0)), [FIRST])
    swallowed: list[Buffer] = [data(0), data(6)]  # an empty batch would be there; whatever is, it is not given
    buffers, ranges = told(BOTH, swallowed)
    assert (b"".join(buffers), ranges) == (data(0), [FIRST])


def test_ranges_that_the_rows_told_count_once() -> None:
    whole: list[Buffer] = [data(0) + marker(2, False), data(3) + marker(5, False)]
    assert told(view(SECOND), whole, [AbortedRange(7, 0, 2, 9), SECOND]) == (whole, [AbortedRange(7, 0, 2, 9), SECOND])
