"""Whatever maintenance does, in whatever order: the records stay, and the fold stays (properties 1 and 2 of the metadata store)."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.logs import Log
from support.stores import memory_opener, sqlite_opener

from moldau.log import segment_plan, snapshot
from moldau.log.producer_state import ProducerStates
from moldau.log.refold import Refold
from moldau.log.retention import Retention
from moldau.log.segment_plan import BuildRule
from moldau.log.snapshots import fold_into
from moldau.log.view import PartitionView

PRODUCERS = st.integers(0, 3)
EXPIRATION_MS = 5_000


class MaintainedLog(RuleBasedStateMachine):
    """One partition; `producers` are what each producer would send next, so that its sequences are right."""

    sqlite = False
    expiration_ms = 1 << 40

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="moldau-test-"))
        self.producers: dict[int, tuple[int, int]] = {}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.real = {
            name: getattr(segment_plan, name) for name in ("FIRST_BYTES", "INLINE_BYTES", "GROWTH", "ROWS_MAX")
        }
        # a few batches are enough for every kind of merge
        segment_plan.FIRST_BYTES, segment_plan.INLINE_BYTES, segment_plan.GROWTH = 300, 9000, 2
        segment_plan.ROWS_MAX = 7
        opener = sqlite_opener(self.folder) if self.sqlite else memory_opener()
        self.it = self.do(self.stack.enter_async_context(opener()))
        self.log = Log(self.it, expiration_ms=self.expiration_ms)
        (self.p,) = self.do(self.it.topic())

    def teardown(self) -> None:
        for name, value in self.real.items():
            setattr(segment_plan, name, value)
        self.do(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(seed=st.integers(0, 1 << 30), count=st.integers(1, 40), inline=st.booleans())
    def append(self, seed: int, count: int, inline: bool) -> None:
        rng = random.Random(seed)
        for _ in range(count):
            self.log.now += rng.randrange(9)
            records, size, producer = rng.randrange(1, 4), rng.randrange(1500), None
            if rng.random() < 0.6:
                number = rng.randrange(4)
                transactional = number in self.log.model.transactions.open or rng.random() < 0.3
                if transactional and rng.random() < 0.3:
                    self.end(number, rng.random() < 0.5)
                epoch, sequence = self.producers.get(number, (0, 0))
                producer = (number, epoch, sequence)
                self.producers[number] = (epoch, sequence + records)
            values = [b"%d" % size * (size // 4 + 1)] * records
            how = {"inline": inline, "producer": producer, "timestamp": self.log.now - size}
            self.do(self.log.append(self.p, values, transactional=producer is not None and transactional, **how))

    def end(self, number: int, commit: bool) -> None:
        epoch, _ = self.producers.get(number, (0, 0))
        if number % 2:  # transactions of version 2
            epoch += 1
            self.producers[number] = (epoch, 0)
        self.do(self.log.mark(self.p, number, epoch, commit))

    @rule(number=PRODUCERS, commit=st.booleans())
    def end_transaction(self, number: int, commit: bool) -> None:
        self.end(number, commit)

    @rule(number=PRODUCERS)
    def new_epoch(self, number: int) -> None:
        if number not in self.log.model.transactions.open:
            self.producers[number] = (self.producers.get(number, (0, 0))[0] + 1, 0)

    @rule(ms=st.integers(1, 3000))
    def wait(self, ms: int) -> None:
        self.log.now += ms

    @rule(
        large=st.integers(1000, 30_000),
        factor=st.integers(1, 4),
        age=st.sampled_from([0, 100]),
        roll=st.sampled_from([200, 1 << 40]),
    )
    def build(self, large: int, factor: int, age: int, roll: int) -> None:
        self.do(self.log.builder.build(self.p, BuildRule(large, large * factor, age, roll)))

    @rule()
    def take_snapshot(self) -> None:
        self.do(self.log.snapshots.take(self.p))

    @rule(ms=st.integers(0, 4000), limit=st.sampled_from([-1, -1, 2000, 20_000]))
    def retain(self, ms: int, limit: int) -> None:
        self.do(self.log.retainer.retain_all(lambda _: Retention(ms, limit)))

    @rule(ahead=st.integers(0, 9))
    def delete_records(self, ahead: int) -> None:
        moved = self.do(self.it.log.raise_log_start(self.p, self.view().log_start_offset + ahead))
        self.view().raise_log_start(moved[0])

    @rule()
    def restart(self) -> None:
        """All that was in memory is gone."""
        before = self.log
        self.log = Log(self.it, before.blobs, self.expiration_ms)
        self.log.now, self.log.ids, self.log.wal = before.now, before.ids, before.wal
        self.log.builder._ids = before.ids
        self.log.model, self.log.records = before.model, before.records
        self.do(self.log.builder.start(1000))

    @precondition(lambda self: self.log.wal >= 0)
    @rule()
    def collect(self) -> None:
        self.do(self.log.roll())
        self.do(self.log.collector.look_for_orphans())
        self.log.now += 1
        self.do(self.log.collector.collect_blobs(0))

    # -- what is true -------------------------------------------------------------------------------------------------

    def view(self) -> PartitionView:
        view = self.do(self.log.views.load(self.p))
        assert isinstance(view, PartitionView)
        return view

    def fresh(self) -> PartitionView:
        """As another broker would build it."""
        return PartitionView(self.do(self.it.log.load_partition(self.p)))

    @invariant()
    def rows_follow_one_another(self) -> None:
        extents = self.do(self.it.extents(self.p))
        row = self.do(self.it.row(self.p))
        for one, following in pairwise(extents):
            assert one.last_offset + 1 == following.base_offset
            assert one.running_max_timestamp <= following.running_max_timestamp
            assert one.appended_at <= following.appended_at
        if extents:
            assert extents[0].base_offset <= row.log_start_offset
            assert extents[-1].last_offset + 1 == row.end_offset
        else:
            assert row.log_start_offset == row.end_offset
        assert row.bytes_total == sum(extent.length for extent in extents)
        assert self.do(self.it.maintenance.live_counts()) == []

    @invariant()
    def every_record_is_there(self) -> None:
        start = self.view().log_start_offset
        assert self.do(self.log.read_all(self.p)) == [(o, v) for o, v, _ in self.log.records if o >= start]

    @invariant()
    def the_fold_is_that_of_everything_ever_appended(self) -> None:
        fresh = self.fresh()
        self.log.model.transactions.prune(fresh.log_start_offset)
        if self.expiration_ms == 1 << 40:
            assert snapshot.pack(fresh.producers) == snapshot.pack(self.log.model)
        # snapshots leave out who has expired; nobody else may be missing, and nothing of the others
        before = self.log.now - self.expiration_ms
        for producer_id, producer in self.log.model.by_id.items():
            if producer.appended_at >= before or producer_id in self.log.model.transactions.open:
                assert _last(fresh.producers, producer_id) == _last(self.log.model, producer_id)

    @invariant()
    def the_snapshot_agrees_with_the_extents_below_it(self) -> None:
        state = self.do(self.it.log.load_partition(self.p))
        refold = Refold(state)
        extents = self.do(self.it.extents(self.p))
        for extent in extents:
            refold.add(extent)
        assert refold.problems() == []
        if extents and extents[0].base_offset == 0 and self.expiration_ms == 1 << 40:
            whole = ProducerStates()
            fold_into(whole, extents, 0)
            whole.transactions.prune(state.row.log_start_offset)
            assert whole.transactions.open == self.log.model.transactions.open
            assert whole.transactions.aborted == self.log.model.transactions.aborted
            assert {p: _last(whole, p) for p in whole.by_id} == {
                p: _last(self.log.model, p) for p in self.log.model.by_id
            }

    @invariant()
    def the_view_in_memory_is_that_of_the_store(self) -> None:
        view, fresh = self.view(), self.fresh()
        assert (view.high_watermark, view.log_start_offset) == (fresh.high_watermark, fresh.log_start_offset)
        assert view.last_stable_offset == fresh.last_stable_offset
        assert view.producers.transactions.aborted == fresh.producers.transactions.aborted
        stored = self.do(self.it.log.extents_from(self.p, max(view.tail_start, view.log_start_offset), 10_000))
        mine = [extent for extent in view.extents if extent.last_offset >= view.log_start_offset]
        assert (
            [e.base_offset for e in mine] == [e.base_offset for e in stored if e.base_offset >= mine[0].base_offset]
            if mine
            else not [e for e in stored if e.base_offset >= view.tail_start]
        )

    @invariant()
    def times_are_found(self) -> None:
        view = self.view()
        there = [(o, t) for o, _, t in self.log.records if o >= view.log_start_offset]
        for target in {t for _, t in there[:: max(1, len(there) // 3)]}:
            expected = next((each for each in there if each[1] >= target), None)
            assert self.do(self.log.lookup.by_timestamp(view, target)) == expected


def _last(states: ProducerStates, producer_id: int) -> tuple[Any, ...] | None:
    producer = states.by_id.get(producer_id)
    if producer is None:
        return None
    if not producer.batches:
        return producer.epoch, producer.marked
    batch = producer.batches[-1]
    return producer.epoch, batch.first_sequence, batch.last_sequence, batch.base_offset, batch.last_offset


class MaintainedLogThatExpires(MaintainedLog):
    expiration_ms = EXPIRATION_MS


class MaintainedLogOnSqlite(MaintainedLog):
    sqlite = True


_SETTINGS = settings(
    max_examples=100, stateful_step_count=40, suppress_health_check=list(HealthCheck), derandomize=False
)
TestMaintainedLog = pytest.mark.slow(MaintainedLog.TestCase)
TestMaintainedLog.settings = _SETTINGS
TestMaintainedLogThatExpires = pytest.mark.slow(MaintainedLogThatExpires.TestCase)
TestMaintainedLogThatExpires.settings = _SETTINGS
TestMaintainedLogOnSqlite = pytest.mark.slow(MaintainedLogOnSqlite.TestCase)
TestMaintainedLogOnSqlite.settings = settings(_SETTINGS, max_examples=15)
