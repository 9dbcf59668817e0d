"""Producers with transactions in one partition: decisions, the last stable offset, aborted ranges, and their packed form."""

from __future__ import annotations

import pytest

from moldau.log import fold, snapshot
from moldau.log.producer_state import ProducerStates, Refused
from moldau.log.transactions import ABORTED_MAX, NONE_OPEN, AbortedRange, Transactions
from moldau.metadata.rows import Extent
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.record import Record


def header(
    epoch: int, sequence: int, *, transactional: bool = True, records: int = 1, producer_id: int = 7
) -> BatchHeader:
    batch = build_batch(
        [Record(n, 50, None, b"v") for n in range(records)],
        producer_id=producer_id,
        producer_epoch=epoch,
        base_sequence=sequence,
        transactional=transactional,
    )
    return BatchHeader(batch)


def refusal(states: ProducerStates, asked: BatchHeader, from_zero: bool = False) -> int:
    with pytest.raises(Refused) as refused:
        states.check(asked, from_zero)
    return refused.value.error_code


def test_the_oldest_open_transaction_is_the_first_and_ends_in_any_order() -> None:
    it = Transactions()
    assert it.first_open == NONE_OPEN
    for producer_id, offset in ((1, 10), (2, 20), (1, 25), (3, 30)):
        it.begin(producer_id, offset)
    assert it.first_open == 10
    it.end(2, 40, True)
    assert it.first_open == 10
    it.end(1, 41, False)
    assert it.first_open == 30
    it.end(1, 42, False)  # it has none any more
    it.end(3, 43, False)
    assert it.first_open == NONE_OPEN
    assert it.aborted == [AbortedRange(1, 10, 41, 30), AbortedRange(3, 30, 43, 44)]


def test_aborted_ranges_are_found_by_offsets_and_sorted_by_their_first() -> None:
    it = Transactions()
    it.begin(1, 0)
    it.begin(2, 5)
    it.end(2, 9, False)
    it.end(1, 12, False)
    it.begin(3, 20)
    it.end(3, 21, False)
    late, early, third = AbortedRange(2, 5, 9, 0), AbortedRange(1, 0, 12, 13), AbortedRange(3, 20, 21, 22)
    assert it.aborted_in(0, 22) == [early, late, third]
    assert it.aborted_in(0, 13) == [early, late]
    assert it.aborted_in(0, 5) == [early]
    assert it.aborted_in(10, 13) == [early]
    assert it.aborted_in(13, 20) == []
    assert it.aborted_in(21, 22) == [third]


def test_a_look_up_ends_where_nothing_later_can_begin() -> None:
    it = Transactions()
    looked = []

    class Watched(list[AbortedRange]):
        def __getitem__(self, index: int) -> AbortedRange:  # type: ignore[override]
            looked.append(index)
            return super().__getitem__(index)

    for n in range(1000, 5000, 2):
        it.begin(1, n)
        it.end(1, n + 1, False)
    it.aborted = Watched(it.aborted)
    assert [each.first_offset for each in it.aborted_in(4000, 4004)] == [4000, 4002]
    assert len(looked) < 20


def test_ranges_below_the_log_start_go() -> None:
    it = Transactions()
    for n in range(0, 10, 2):
        it.begin(1, n)
        it.end(1, n + 1, False)
    it.prune(5)
    assert [each.last_offset for each in it.aborted] == [5, 7, 9]
    it.prune(100)
    assert it.aborted == []


def test_only_the_last_ranges_are_kept_and_it_is_known_which() -> None:
    states = ProducerStates()
    it = states.transactions
    for n in range(0, 2 * ABORTED_MAX, 2):
        it.begin(1, n)
        it.end(1, n + 1, False)
    assert (len(it.aborted), it.complete_from, snapshot.pack(states)[0]) == (ABORTED_MAX, 0, 2)
    for n in range(2 * ABORTED_MAX, 2 * ABORTED_MAX + 10, 2):
        it.begin(1, n)
        it.end(1, n + 1, False)
    assert (len(it.aborted), it.complete_from) == (ABORTED_MAX, 10)
    assert it.aborted_in(9, 12) == [AbortedRange(1, 10, 11, 12)]
    again = snapshot.unpack(snapshot.pack(states)).transactions
    assert (again.aborted, again.complete_from) == (it.aborted, 10)
    it.prune(9)
    assert it.complete_from == 10
    it.prune(10)
    assert (len(it.aborted), it.complete_from) == (ABORTED_MAX, 0)


def test_a_plain_batch_within_a_transaction_is_refused() -> None:
    states = ProducerStates()
    states.add_batch(header(0, 0), 10, 1)
    assert refusal(states, header(0, 1, transactional=False)) == error_codes.INVALID_TXN_STATE
    assert refusal(states, header(0, 5, transactional=False)) == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert states.check(header(0, 1)) is None
    states.mark(7, 0, 11, True, 50, 2)
    assert states.check(header(0, 1, transactional=False)) is None


def test_only_the_first_batch_of_a_transaction_opens_it() -> None:
    states = ProducerStates()
    assert states.opens(header(0, 0))
    assert not states.opens(header(0, 0, transactional=False))
    states.add_batch(header(0, 0), 10, 1)
    assert not states.opens(header(0, 1))
    assert states.opens(header(1, 0)), "a new epoch is another transaction"
    states.mark(7, 0, 11, False, 50, 2)
    assert states.opens(header(0, 1))
    assert states.check(header(0, 1)) is None, "version 1: sequences go on after a marker"


def test_markers_of_version_2_raise_the_epoch_and_sequences_begin_at_zero() -> None:
    states = ProducerStates()
    states.add_batch(header(0, 0, records=3), 10, 1)
    states.mark(7, 1, 13, True, 50, 2)
    producer = states.by_id[7]
    assert (producer.epoch, producer.batches, producer.marked, producer.timestamp) == (1, [], True, 50)
    assert refusal(states, header(0, 3)) == error_codes.INVALID_PRODUCER_EPOCH
    assert refusal(states, header(1, 3)) == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert refusal(states, header(2, 3)) == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert states.check(header(1, 0)) is None


def test_producers_of_version_2_begin_at_zero_where_they_are_unknown() -> None:
    states = ProducerStates()
    assert states.check(header(0, 4)) is None
    assert refusal(states, header(0, 4), from_zero=True) == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert states.check(header(0, 0), from_zero=True) is None


def test_a_marker_without_a_transaction_is_harmless() -> None:
    states = ProducerStates()
    states.mark(7, 3, 10, False, 50, 1)
    assert states.transactions.aborted == []
    assert states.by_id[7].epoch == 3
    assert states.check(header(3, 0)) is None


def test_producers_with_an_open_transaction_do_not_expire() -> None:
    states = ProducerStates()
    for producer_id in (1, 2, 3):
        states.add_batch(
            header(0, 0, producer_id=producer_id, transactional=producer_id == 2), producer_id, producer_id
        )
    assert states.expire(3) == 1
    assert list(states.by_id) == [2, 3]
    states.mark(2, 0, 9, True, 50, 9)
    assert states.expire(10) == 2


def test_a_snapshot_keeps_all_of_it_and_version_1_is_read() -> None:
    states = ProducerStates()
    states.add_batch(header(0, 0, producer_id=1), 0, 5)
    states.add_batch(header(0, 0, producer_id=2), 1, 6)
    states.mark(2, 1, 2, False, 51, 7)
    packed = snapshot.pack(states, 3)
    again = snapshot.unpack(packed)
    assert snapshot.pack(again, 3) == packed
    assert again.transactions.open == {1: 0}
    assert again.transactions.aborted == [AbortedRange(2, 1, 2, 0)]
    assert (again.by_id[2].marked, again.by_id[2].timestamp, again.by_id[1].timestamp) == (True, 51, 50)
    for length in range(len(packed)):
        with pytest.raises(ValueError, match=r"ends too early|holds|version") if length else _nothing():
            snapshot.unpack(packed[:length])
    with pytest.raises(ValueError, match="version 4"):
        snapshot.unpack(b"\x04" + packed[1:])
    one = bytes.fromhex(
        "01" + "0000000000000003" + "00000001" + "0000000000000007" + "0002" + "0000000000000009" + "01"
        "00000000"
        "00000001"
        "000000000000000a"
        "000000000000000b"
        "0000000000000032"
    )
    read = snapshot.unpack(one)
    assert (read.by_id[7].epoch, read.by_id[7].appended_at, read.by_id[7].timestamp) == (2, 9, 50)
    assert read.by_id[7].batches[0].last_offset == 11
    assert snapshot.expired_before(one) == 3


def _nothing() -> object:
    import contextlib

    return contextlib.nullcontext()


def extent(base: int, entries: bytes, last: int | None = None) -> Extent:
    return Extent(1, base, base if last is None else last, 1, 0, 10, 50, 50, 1, 0, 1, 5, entries)


def test_many_committed_transactions_leave_little_in_a_merged_fold() -> None:
    extents = []
    for n in range(200):
        extents.append(extent(2 * n, fold.of_batch(header(n, 0), 0)))
        extents.append(extent(2 * n + 1, fold.of_marker(7, n + 1, True, 50)))
    assert len(fold.unpack(fold.merge(extents))) == 2, "the first marker and the last one"


def test_merging_keeps_an_aborted_transaction_and_what_is_open() -> None:
    extents = [
        extent(0, fold.of_batch(header(0, 0), 0)),
        extent(1, fold.of_marker(7, 1, False, 50)),
        extent(2, fold.of_batch(header(1, 0), 0)),
        *(extent(n, fold.of_batch(header(1, n - 2), 0)) for n in range(3, 12)),
    ]
    assert [entry[4] for entry in fold.unpack(fold.merge(extents))] == [0, 1, 2, 7, 8, 9, 10, 11]
