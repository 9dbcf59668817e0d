"""The matrix: for each state of a row, each request and each relation of its producer to the row's, the answer that Kafka gives."""

from __future__ import annotations

from typing import Any

import pytest

from moldau.coordination.transactions.end import abort, end_version_1, end_version_2, expire, time_out
from moldau.coordination.transactions.enlist import enlist, enlist_offsets, verify
from moldau.coordination.transactions.init import init_producer
from moldau.coordination.transactions.refusal import NeedsProducerId, TxnRefused
from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.rows_txn import ABORTED, COMMITTED, EMPTY, ONGOING, PREPARED, End, TxnRow
from moldau.protocol import error_codes as e

ID, SPARE, NOW = 7, 99, 5_000
EXHAUSTED = 32766
STATES = {"empty": EMPTY, "ongoing": ONGOING, "prepared": PREPARED, "committed": COMMITTED, "aborted": ABORTED}
OFFSETS = [OffsetRow("g", bytes(16), 0, 5, -1, "", NOW, -1)]
MAPPING, FENCED, STATE = e.INVALID_PRODUCER_ID_MAPPING, e.PRODUCER_FENCED, e.INVALID_TXN_STATE


def row(state: int = EMPTY, epoch: int = 3, previous: tuple[int, int] = (-1, -1), **changes: Any) -> TxnRow:
    began = -1 if state == EMPTY else 1_000
    return TxnRow("t", ID, epoch, *previous, state, 4, 2_000, began, 1_000, 2)._replace(**changes)


def code(work: Any) -> int:
    with pytest.raises(TxnRefused) as refused:
        work()
    assert str(refused.value)
    return refused.value.error_code


class TestInit:
    def test_a_new_id(self) -> None:
        with pytest.raises(NeedsProducerId):
            init_producer(None, NOW, "t", 60, None, None)
        change = init_producer(None, NOW, "t", 60, None, SPARE)
        assert change is not None
        assert change.end is None
        assert change.row == TxnRow("t", SPARE, 0, -1, -1, EMPTY, 0, 60, -1, NOW, 1)

    @pytest.mark.parametrize("state", ["empty", "committed", "aborted"])
    def test_an_instance_fences_the_one_before(self, state: str) -> None:
        change = init_producer(row(STATES[state], previous=(ID, 2)), NOW, "t", 60, None, None)
        assert change is not None
        assert change.end is None
        assert change.row == row(EMPTY, 4, timeout_ms=60, updated_ms=NOW)

    @pytest.mark.parametrize("state", ["ongoing", "prepared"])
    def test_it_aborts_what_is_open_in_the_same_change(self, state: str) -> None:
        change = init_producer(row(STATES[state]), NOW, "t", 60, None, None)
        assert change is not None
        assert change.end == End(False, ID, 4)
        assert change.row == row(EMPTY, 5, timeout_ms=60, updated_ms=NOW)

    @pytest.mark.parametrize(
        ("state", "epoch", "after", "marker"),
        [
            (EMPTY, EXHAUSTED - 1, (ID, EXHAUSTED), None),
            (EMPTY, EXHAUSTED, (SPARE, 0), None),
            (EMPTY, EXHAUSTED + 1, (SPARE, 0), None),
            (ONGOING, EXHAUSTED - 2, (ID, EXHAUSTED), EXHAUSTED - 1),
            (ONGOING, EXHAUSTED - 1, (SPARE, 0), EXHAUSTED),
            (ONGOING, EXHAUSTED, (SPARE, 0), EXHAUSTED + 1),
        ],
    )
    def test_the_last_epochs(self, state: int, epoch: int, after: tuple[int, int], marker: int | None) -> None:
        if after[0] == SPARE:
            with pytest.raises(NeedsProducerId):
                init_producer(row(state, epoch), NOW, "t", 60, None, None)
        change = init_producer(row(state, epoch), NOW, "t", 60, None, SPARE)
        assert change is not None
        assert change.row is not None
        assert (change.row.producer_id, change.row.epoch) == after
        assert change.end == (End(False, ID, marker) if marker is not None else None)

    @pytest.mark.parametrize("state", ["empty", "committed", "aborted"])
    def test_a_producer_raises_its_own_epoch_and_asks_again(self, state: str) -> None:
        first = init_producer(row(STATES[state]), NOW, "t", 60, (ID, 3), None)
        assert first is not None
        assert first.end is None
        assert first.row == row(EMPTY, 4, (ID, 3), timeout_ms=60, updated_ms=NOW)
        assert init_producer(first.row, NOW, "t", 60, (ID, 3), None) is None
        assert code(lambda: init_producer(first.row, NOW, "t", 60, (ID, 2), None)) == FENCED

    def test_of_the_last_epoch_too(self) -> None:
        first = init_producer(row(EMPTY, EXHAUSTED), NOW, "t", 60, (ID, EXHAUSTED), SPARE)
        assert first is not None
        assert first.row is not None
        assert (first.row.producer_id, first.row.epoch) == (SPARE, 0)
        assert init_producer(first.row, NOW, "t", 60, (ID, EXHAUSTED), None) is None

    def test_what_it_left_open_is_aborted(self) -> None:
        change = init_producer(row(ONGOING), NOW, "t", 60, (ID, 3), None)
        assert change is not None
        assert change.end == End(False, ID, 4)
        assert change.row == row(EMPTY, 4, (ID, 3), timeout_ms=60, updated_ms=NOW)
        assert init_producer(change.row, NOW, "t", 60, (ID, 3), None) is None

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("expected", [(ID, 2), (ID, 4), (8, 3), (8, 0)])
    def test_anybody_else_is_fenced_and_aborts_nothing(self, state: str, expected: tuple[int, int]) -> None:
        assert code(lambda: init_producer(row(STATES[state]), NOW, "t", 60, expected, SPARE)) == FENCED

    def test_who_asks_again_after_the_next_transaction_began(self) -> None:
        assert code(lambda: init_producer(row(ONGOING, 4, (ID, 3)), NOW, "t", 60, (ID, 3), SPARE)) == FENCED

    def test_an_id_that_has_expired(self) -> None:
        change = init_producer(None, NOW, "t", 60, (ID, 3), SPARE)
        assert change is not None
        assert change.row is not None
        assert (change.row.producer_id, change.row.epoch) == (SPARE, 0)
        assert init_producer(change.row, NOW, "t", 60, (ID, 3), None) is None


class TestEnlist:
    @pytest.mark.parametrize("state", ["empty", "committed", "aborted"])
    @pytest.mark.parametrize("version", [1, 2])
    def test_the_first_begins_the_transaction(self, state: str, version: int) -> None:
        change = enlist(row(STATES[state]), frozenset(), NOW, (ID, 3), [1, 2], version)
        assert change is not None
        assert change.row == row(ONGOING, seq=5, started_ms=NOW, updated_ms=NOW, version=version)
        assert change.partition_ids == [1, 2]

    def test_others_join_and_nobody_twice(self) -> None:
        change = enlist(row(ONGOING), frozenset((1,)), NOW, (ID, 3), [1, 2], 2)
        assert change is not None
        assert (change.row, change.partition_ids) == (row(ONGOING, updated_ms=NOW), [2])
        assert enlist(row(ONGOING), frozenset((1, 2)), NOW, (ID, 3), [1, 2], 2) is None
        assert enlist(row(ONGOING), frozenset((1, 2)), NOW, (ID, 3), [], 1) is None

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize(
        ("producer", "error"), [((ID, 2), FENCED), ((ID, 4), FENCED), ((8, 3), MAPPING), ((8, 0), MAPPING)]
    )
    def test_of_another_producer(self, state: str, producer: tuple[int, int], error: int) -> None:
        it = row(STATES[state])
        assert code(lambda: enlist(it, frozenset(), NOW, producer, [1], 2)) == error
        assert code(lambda: enlist_offsets(it, NOW, producer, OFFSETS, None, 2)) == error
        assert code(lambda: verify(it, frozenset((1,)), producer, [1])) == error

    def test_of_nobody(self) -> None:
        assert code(lambda: enlist(None, frozenset(), NOW, (ID, 3), [1], 2)) == MAPPING
        assert code(lambda: enlist_offsets(None, NOW, (ID, 3), OFFSETS, None, 2)) == MAPPING
        assert code(lambda: verify(None, frozenset(), (ID, 3), [1])) == MAPPING

    def test_nothing_joins_what_is_prepared(self) -> None:
        assert code(lambda: enlist(row(PREPARED), frozenset(), NOW, (ID, 3), [1], 2)) == STATE

    def test_offsets(self) -> None:
        guard = Guard("groups/1", 2)
        change = enlist_offsets(row(ONGOING), NOW, (ID, 3), OFFSETS, guard, 1)
        assert (change.row, change.offsets, change.guard) == (row(ONGOING, updated_ms=NOW), OFFSETS, guard)
        begun = enlist_offsets(row(COMMITTED), NOW, (ID, 3), OFFSETS, None, 2)
        assert begun.row == row(ONGOING, seq=5, started_ms=NOW, updated_ms=NOW)
        assert code(lambda: enlist_offsets(row(COMMITTED), NOW, (ID, 3), OFFSETS, None, 1)) == STATE

    def test_verification(self) -> None:
        assert verify(row(ONGOING), frozenset((1, 2)), (ID, 3), [1, 2]) == {}
        assert [each.error_code for each in verify(row(ONGOING), frozenset((1,)), (ID, 3), [1, 2]).values()] == [STATE]
        assert list(verify(row(COMMITTED), frozenset(), (ID, 3), [1, 2])) == [1, 2]


ENDED = (True, False)
SAME, BELOW, ABOVE, OTHER = (ID, 3), (ID, 2), (ID, 4), (8, 3)


class TestEndVersion1:
    @pytest.mark.parametrize(
        ("state", "commit", "answer"),
        [
            (EMPTY, True, STATE),
            (EMPTY, False, STATE),
            (ONGOING, True, COMMITTED),
            (ONGOING, False, ABORTED),
            (PREPARED, True, COMMITTED),
            (PREPARED, False, ABORTED),
            (COMMITTED, True, None),
            (COMMITTED, False, STATE),
            (ABORTED, True, STATE),
            (ABORTED, False, None),
        ],
    )
    def test_by_state(self, state: int, commit: bool, answer: int | None) -> None:
        it = row(state)
        if answer == STATE:
            assert code(lambda: end_version_1(it, NOW, SAME, commit)) == STATE
        elif answer is None:
            assert end_version_1(it, NOW, SAME, commit) is None
        else:
            change = end_version_1(it, NOW, SAME, commit)
            assert change is not None
            assert (change.row, change.end) == (row(answer, updated_ms=NOW), End(commit, ID, 3))

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("commit", ENDED)
    @pytest.mark.parametrize(("producer", "error"), [(BELOW, FENCED), (ABOVE, FENCED), (OTHER, MAPPING)])
    def test_of_another_producer(self, state: str, commit: bool, producer: tuple[int, int], error: int) -> None:
        assert code(lambda: end_version_1(row(STATES[state]), NOW, producer, commit)) == error
        assert code(lambda: end_version_1(None, NOW, producer, commit)) == MAPPING


class TestEndVersion2:
    @pytest.mark.parametrize("commit", ENDED)
    @pytest.mark.parametrize("state", [ONGOING, PREPARED])
    def test_the_epoch_rises_and_who_asks_again_gets_it(self, state: int, commit: bool) -> None:
        change = end_version_2(row(state), NOW, SAME, commit, None)
        assert change is not None
        assert change.end == End(commit, ID, 4)
        assert change.row == row(COMMITTED if commit else ABORTED, 4, (ID, 3), updated_ms=NOW)
        assert end_version_2(change.row, NOW, SAME, commit, None) is None
        assert code(lambda: end_version_2(change.row, NOW, SAME, not commit, None)) == STATE
        assert code(lambda: end_version_2(change.row, NOW, BELOW, commit, None)) == FENCED

    @pytest.mark.parametrize("commit", ENDED)
    def test_what_comes_late_never_hits_the_next_transaction(self, commit: bool) -> None:
        assert code(lambda: end_version_2(row(ONGOING, 4, (ID, 3)), NOW, SAME, commit, None)) == FENCED

    @pytest.mark.parametrize("commit", ENDED)
    def test_the_last_epoch(self, commit: bool) -> None:
        it = row(ONGOING, EXHAUSTED)
        with pytest.raises(NeedsProducerId):
            end_version_2(it, NOW, (ID, EXHAUSTED), commit, None)
        change = end_version_2(it, NOW, (ID, EXHAUSTED), commit, SPARE)
        assert change is not None
        assert change.row is not None
        assert change.end == End(commit, ID, 32767)
        assert (change.row.producer_id, change.row.epoch) == (SPARE, 0)
        assert end_version_2(change.row, NOW, (ID, EXHAUSTED), commit, None) is None
        assert code(lambda: end_version_2(change.row, NOW, (ID, EXHAUSTED), not commit, None)) == STATE
        assert code(lambda: end_version_2(change.row, NOW, (ID, EXHAUSTED - 1), commit, None)) == MAPPING

    @pytest.mark.parametrize("state", [EMPTY, COMMITTED, ABORTED])
    def test_an_empty_transaction(self, state: int) -> None:
        assert code(lambda: end_version_2(row(state), NOW, SAME, True, None)) == STATE
        change = end_version_2(row(state), NOW, SAME, False, None)
        assert change is not None
        assert change.end is None
        assert change.row == row(ABORTED, 4, (ID, 3), updated_ms=NOW, started_ms=row(state).started_ms)

    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("commit", ENDED)
    @pytest.mark.parametrize(("producer", "error"), [(BELOW, FENCED), (ABOVE, FENCED), (OTHER, MAPPING)])
    def test_of_another_producer(self, state: str, commit: bool, producer: tuple[int, int], error: int) -> None:
        assert code(lambda: end_version_2(row(STATES[state]), NOW, producer, commit, SPARE)) == error
        assert code(lambda: end_version_2(None, NOW, producer, commit, SPARE)) == MAPPING


class TestTimeOut:
    def test_the_producer_is_fenced(self) -> None:
        change = time_out(row(ONGOING), 3_000, 4, 1, None)
        assert change is not None
        assert change.row is not None
        assert change.end == End(False, ID, 4)
        assert change.row == row(ABORTED, 4, updated_ms=3_000)
        assert code(lambda: end_version_1(change.row, NOW, SAME, True)) == FENCED
        assert code(lambda: end_version_1(change.row, NOW, SAME, False)) == FENCED
        assert code(lambda: enlist(change.row, frozenset(), NOW, SAME, [1], 1)) == FENCED

    def test_in_version_2_it_may_abort_what_was_aborted_and_go_on(self) -> None:
        change = time_out(row(ONGOING), 3_000, 4, 2, None)
        assert change is not None
        assert change.row is not None
        assert change.row == row(ABORTED, 4, (ID, 3), updated_ms=3_000)
        assert code(lambda: end_version_2(change.row, NOW, SAME, True, None)) == STATE
        assert end_version_2(change.row, NOW, SAME, False, None) is None
        assert code(lambda: enlist(change.row, frozenset(), NOW, SAME, [1], 2)) == FENCED

    @pytest.mark.parametrize(
        ("it", "now", "seq"),
        [
            (None, NOW, 4),
            (row(ONGOING), 2_999, 4),
            (row(ONGOING, seq=5), NOW, 4),
            (row(COMMITTED), NOW, 4),
            (row(EMPTY), NOW, 4),
        ],
    )
    def test_nothing_else_ends(self, it: TxnRow | None, now: int, seq: int) -> None:
        assert time_out(it, now, seq, 2, None) is None

    def test_by_an_administrator(self) -> None:
        change = abort(row(ONGOING), 1_001, SAME, 1, None)
        assert change is not None
        assert (change.row, change.end) == (row(ABORTED, 4, updated_ms=1_001), End(False, ID, 4))
        assert abort(row(ONGOING), 1_001, BELOW, 1, None) is None
        assert abort(row(COMMITTED), 1_001, SAME, 1, None) is None
        assert abort(None, 1_001, SAME, 1, None) is None

    @pytest.mark.parametrize(
        ("state", "goes"), [(EMPTY, True), (COMMITTED, True), (ABORTED, True), (ONGOING, False), (PREPARED, False)]
    )
    def test_idle_ids_expire(self, state: int, goes: bool) -> None:
        change = expire(row(state), 1_001)
        assert (change is not None and change.row is None and change.end is None) is goes
        assert expire(row(state), 1_000) is None
