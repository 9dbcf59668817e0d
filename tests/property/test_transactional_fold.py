"""Whatever producers write, and however it is cut into extents, merged, snapshotted and deleted: the fold says what a naive reading of the history says."""

from __future__ import annotations

import random
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from moldau.log import fold, snapshot
from moldau.log.aborted_rows import AbortedScan
from moldau.log.producer_state import ProducerStates
from moldau.log.refold import Refold
from moldau.log.snapshots import fold_into
from moldau.log.transactions import AbortedRange
from moldau.log.view import PartitionView
from moldau.metadata.gathering import gather
from moldau.metadata.rows import AppendCommit, AppendEntry, Extent, PartitionRow, PartitionState

APPENDED_AT = 5


class Event(NamedTuple):
    """A batch, or a marker (`commit` is not None), at the offsets from `base` to `last`."""

    producer_id: int
    epoch: int
    sequence: int
    base: int
    last: int
    transactional: bool
    commit: bool | None = None

    def entry(self, extent_base: int) -> bytes:
        base = self.base - extent_base
        if self.commit is not None:
            return fold.of_marker(self.producer_id, self.epoch, self.commit, self.base, base)
        last = self.sequence + self.last - self.base
        return fold.pack_entry(
            self.producer_id,
            self.epoch,
            self.sequence,
            last,
            base,
            self.last - extent_base,
            self.base,
            self.transactional,
        )


class History:
    """Events in order, as producers of both versions of transactions make them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.end = 0
        self.next: dict[int, tuple[int, int]] = {}

    def add(self, kind: str, producer_id: int, records: int) -> None:
        epoch, sequence = self.next.get(producer_id, (0, 0))
        is_open = producer_id in self.open()
        base = self.end
        if kind in ("plain", "transactional"):
            if kind == "plain" and is_open:
                return
            self.end += records
            self.next[producer_id] = (epoch, sequence + records)
            self.events.append(Event(producer_id, epoch, sequence, base, self.end - 1, kind != "plain"))
        elif kind == "new epoch":
            if not is_open:
                self.next[producer_id] = (epoch + 1, 0)
        else:
            if producer_id % 2:  # version 2
                epoch, sequence = epoch + 1, 0
            self.end += 1
            self.next[producer_id] = (epoch, sequence)
            self.events.append(Event(producer_id, epoch, -1, base, base, True, kind == "commit"))

    # -- the naive reading --------------------------------------------------------------------------------------------

    def open(self, end: int = 1 << 60) -> dict[int, int]:
        found: dict[int, int] = {}
        for event in self.events:
            if event.base >= end:
                break
            if event.commit is not None:
                found.pop(event.producer_id, None)
            elif event.transactional:
                found.setdefault(event.producer_id, event.base)
        return found

    def stable(self, end: int) -> int:
        return min(self.open(end).values(), default=end)

    def aborted(self) -> list[AbortedRange]:
        return [
            AbortedRange(event.producer_id, first, event.base, self.stable(event.base + 1))
            for event in self.events
            if event.commit is False and (first := self.open(event.base).get(event.producer_id)) is not None
        ]

    def batches(self, producer_id: int) -> tuple[int, list[tuple[int, int]]]:
        """The epoch, and (sequence, offset) of the batches that are remembered."""
        mine = [event for event in self.events if event.producer_id == producer_id]
        epoch = mine[-1].epoch
        return epoch, [(e.sequence, e.base) for e in mine if e.epoch == epoch and e.commit is None][-5:]

    # -- as rows ------------------------------------------------------------------------------------------------------

    def extents(self, cuts: list[int]) -> list[Extent]:
        """`cuts` gives how many batches are in one extent; it is used again and again."""
        found, at, turn = [], 0, 0
        while at < len(self.events):
            count = cuts[turn % len(cuts)]
            run = self.events[at : at + count]
            at, turn = at + count, turn + 1
            base, last = run[0].base, run[-1].last
            folded = b"".join(event.entry(base) for event in run)
            found.append(Extent(1, base, last, 1, 0, 10, last, last, 1, 0, 1, APPENDED_AT, folded))
        return found


def merged(extents: list[Extent], sizes: list[int]) -> list[Extent]:
    found, at, turn = [], 0, 0
    while at < len(extents):
        run = extents[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(run), turn + 1
        first, last = run[0], run[-1]
        found.append(
            Extent(
                1, first.base_offset, last.last_offset, 1, 0, 10, last.last_offset, last.last_offset, 1, 0, 2, APPENDED_AT,
                fold.merge(run),
            )
        )  # fmt: skip
    return found


def folded(extents: list[Extent], onto: bytes = b"") -> ProducerStates:
    states = snapshot.unpack(onto)
    fold_into(states, extents, 0)
    return states


KINDS = ("plain", "transactional", "transactional", "transactional", "commit", "abort", "new epoch")


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Long ones, so that many transactions overlap; short ones, too."""
    rng = random.Random(draw(st.integers(0, 1 << 30)))
    history = History()
    for _ in range(draw(st.integers(1, 60))):
        history.add(rng.choice(KINDS), rng.randrange(4), rng.randrange(1, 4))
    return history


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=4)


@given(histories(), SIZES)
@settings(max_examples=200)
def test_the_fold_is_what_the_history_says(history: History, cuts: list[int]) -> None:
    states = folded(history.extents(cuts))
    assert list(states.transactions.open.items()) == list(history.open().items())
    assert states.transactions.aborted == history.aborted()
    assert set(states.by_id) == {event.producer_id for event in history.events}
    for producer_id, producer in states.by_id.items():
        remembered = [(batch.first_sequence, batch.base_offset) for batch in producer.batches]
        assert (producer.epoch, remembered) == history.batches(producer_id)
        assert producer.marked == any(e.producer_id == producer_id and e.commit is not None for e in history.events)


@given(histories(), SIZES, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
@settings(max_examples=200)
def test_what_readers_of_committed_records_are_told(
    history: History, cuts: list[int], start: int, length: int, log_start: int
) -> None:
    transactions = folded(history.extents(cuts)).transactions
    end = start + 1 + length
    expected = [each for each in history.aborted() if each.last_offset >= start and each.first_offset < end]
    assert transactions.aborted_in(start, end) == sorted(expected, key=lambda each: each.first_offset)
    transactions.prune(log_start)
    if start >= log_start:
        assert transactions.aborted_in(start, end) == sorted(expected, key=lambda each: each.first_offset)
    assert all(each.last_offset >= log_start for each in transactions.aborted)


@given(histories(), SIZES, SIZES, SIZES, st.integers(0, 99))
@settings(max_examples=300)
def test_rows_tell_what_was_aborted_wherever_one_begins_to_look(
    history: History, cuts: list[int], sizes: list[int], again: list[int], begin: int
) -> None:
    """Every batch above the begin that was aborted is in a range that was found, and no other transactional one is."""
    extents = merged(merged(history.extents(cuts), sizes), again)
    extents = [extent for extent in extents if extent.last_offset >= begin]
    scan = AbortedScan()
    for extent in extents:
        scan.add(extent)
    for event in history.events:
        if not extents or event.base < extents[0].base_offset or event.commit is not None or not event.transactional:
            continue
        found = [
            each for each in scan.found
            if each.producer_id == event.producer_id and each.first_offset <= event.base <= each.last_offset
        ]  # fmt: skip
        really = [
            each for each in history.aborted()
            if each.producer_id == event.producer_id and each.first_offset <= event.base <= each.last_offset
        ]  # fmt: skip
        assert [each.last_offset for each in found] == [each.last_offset for each in really]
    ends = {event.producer_id: event.base for event in history.events if event.commit is not None}
    for producer_id, offset in scan.markers.items():
        assert ends[producer_id] == offset


@given(histories(), SIZES, SIZES, SIZES, st.floats(0, 1))
@settings(max_examples=400)
def test_merged_rows_come_to_the_same_state_after_whatever_came_before(
    history: History, cuts: list[int], sizes: list[int], again: list[int], before: float
) -> None:
    extents = history.extents(cuts)
    cut = int(before * len(extents))
    begin, rest = extents[:cut], extents[cut:]
    onto = snapshot.pack(folded(begin))
    expected = snapshot.pack(folded(rest, onto))
    once = merged(rest, sizes)
    assert snapshot.pack(folded(once, onto)) == expected
    assert snapshot.pack(folded(merged(once, again), onto)) == expected


def gathered(extents: list[Extent], sizes: list[int]) -> list[Extent]:
    """As a journal would have made their rows."""
    found, at, turn = [], 0, 0
    while at < len(extents):
        run = extents[at : at + sizes[turn % len(sizes)]]
        at, turn = at + len(run), turn + 1
        placed = [
            (
                AppendCommit(1, [], None, False, APPENDED_AT),
                AppendEntry(
                    1, e.base_offset, e.last_offset + 1 - e.base_offset, 0, 10, e.max_timestamp, e.fold, bytes(10)
                ),
            )
            for e in run
        ]
        found.append(gather(placed, 7, 0, -1).extent)
    return found


@given(histories(), SIZES, SIZES, SIZES, st.floats(0, 1))
@settings(max_examples=400)
def test_gathered_rows_come_to_the_same_state_and_so_does_what_is_merged_of_them(
    history: History, cuts: list[int], sizes: list[int], again: list[int], before: float
) -> None:
    extents = history.extents(cuts)
    cut = int(before * len(extents))
    begin, rest = extents[:cut], extents[cut:]
    onto = snapshot.pack(folded(begin))
    expected = snapshot.pack(folded(rest, onto))
    once = gathered(rest, sizes)
    assert [(each.base_offset, each.last_offset) for each in once] == [
        (each.base_offset, each.last_offset) for each in merged(rest, sizes)
    ]
    assert snapshot.pack(folded(once, onto)) == expected
    assert snapshot.pack(folded(merged(once, again), onto)) == expected


@given(histories(), SIZES, SIZES, st.data())
@settings(max_examples=200)
def test_a_view_from_a_snapshot_is_that_of_the_whole_log(
    history: History, cuts: list[int], sizes: list[int], data: st.DataObject
) -> None:
    extents = history.extents(cuts)
    if not extents:
        return
    ends = [0, *(extent.last_offset + 1 for extent in extents)]
    at = data.draw(st.sampled_from(ends), "snapshot")
    log_start = data.draw(st.integers(0, history.end), "log start")
    below = folded([extent for extent in extents if extent.last_offset < at])
    below.transactions.prune(data.draw(st.integers(0, log_start), "log start at the snapshot"))
    packed = snapshot.pack(below)
    row = PartitionRow(1, bytes(16), 0, True, history.end, log_start)
    above = [extent for extent in extents if extent.last_offset >= at]
    view = PartitionView(PartitionState(row, at, packed, above))
    whole = PartitionView(PartitionState(row, 0, b"", extents))
    assert snapshot.pack(view.producers) == snapshot.pack(whole.producers)
    assert view.last_stable_offset == min(history.end, max(history.stable(history.end), log_start))
    # caught up from the snapshot's offset on, in pieces, it is the same; and `inspect` finds nothing wrong with the rows that are left
    if log_start <= at:
        behind = PartitionView(PartitionState(PartitionRow(1, bytes(16), 0, True, at, log_start), at, packed, []))
        for extent in above:
            behind.catch_up([extent])
        assert snapshot.pack(behind.producers) == snapshot.pack(whole.producers)
    refold = Refold(PartitionState(row, at, packed, above))
    gone = data.draw(st.integers(0, len(extents) - 1), "rows deleted")
    for extent in merged(extents[gone:], sizes):
        if extent.last_offset < at or extent.base_offset >= at:
            refold.add(extent)
        else:
            return  # never merged across a snapshot without a later one
    assert refold.problems() == []
