"""Whatever is written, in transactions or not, deleted, merged and compacted in whatever order: a reader learns the last value of each key.

The model knows everything that was ever written. A run of the cleaner may have a tiny memory, may end half-way, and everything in memory may be lost. Views keep
three aborted ranges; another broker, which looks now and then, may have rows that are long gone.
"""

from __future__ import annotations

import asyncio
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
from support.keyed_log import RULE, KeyedLog
from support.logs import Log
from support.stores import memory_opener, sqlite_opener

from moldau.log import segment_plan, transactions
from moldau.log.cleaner import CleanerLimits
from moldau.log.retention import Retention
from moldau.log.segment_plan import BuildRule
from moldau.metadata.errors import Conflict, StoreUnavailable
from moldau.records.batch import BatchHeader

PAIRS = st.lists(
    st.tuples(
        st.one_of(
            st.integers(0, 12).map(lambda n: b"k%d" % n),
            st.just(b"a key that is longer than any that is kept as it is"),
        ),
        st.one_of(st.none(), st.integers(0, 99).map(lambda n: b"v%d" % n)),
    ),
    min_size=1,
    max_size=6,
)


class CompactedLog(RuleBasedStateMachine):
    """One partition."""

    sqlite = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="moldau-test-"))

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.real = {
            name: getattr(segment_plan, name) for name in ("FIRST_BYTES", "INLINE_BYTES", "GROWTH", "ROWS_MAX")
        }
        segment_plan.FIRST_BYTES, segment_plan.INLINE_BYTES, segment_plan.GROWTH = 300, 1500, 2
        segment_plan.ROWS_MAX = 7
        self.ranges = transactions.ABORTED_MAX
        transactions.ABORTED_MAX = 3
        opener = sqlite_opener(self.folder) if self.sqlite else memory_opener()
        self.it = self.do(self.stack.enter_async_context(opener()))
        (p,) = self.do(self.it.topic())
        self.log = KeyedLog(self.it, p)
        self.other = Log(self.it, self.log.log.blobs)
        self.compacted_at: list[int] = []
        """When runs began, whether they went through or not."""

    def teardown(self) -> None:
        for name, value in self.real.items():
            setattr(segment_plan, name, value)
        transactions.ABORTED_MAX = self.ranges
        self.do(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(
        batches=st.lists(PAIRS, min_size=1, max_size=4),
        producer=st.sampled_from([-1, -1, 0, 1]),
        codec=st.sampled_from([0, 0, 4]),
        inline=st.booleans(),
        plain_producer=st.booleans(),
    )
    def write(self, batches: Any, producer: int, codec: int, inline: bool, plain_producer: bool) -> None:
        how = {"producer_id": 77, "producer_epoch": 1, "base_sequence": 0} if plain_producer and producer < 0 else {}
        self.do(self.log.write(*batches, producer=producer, codec=codec, inline=inline, **how))
        self.log.log.now += 1

    @precondition(lambda self: self.log.open)
    @rule(commit=st.booleans())
    def end(self, commit: bool) -> None:
        self.do(self.log.end(next(iter(self.log.open)), commit=commit))

    @rule(ms=st.integers(1, 3000))
    def wait(self, ms: int) -> None:
        self.log.log.now += ms

    @rule(
        memory=st.sampled_from([300, 1500, 1 << 20]),
        segment_bytes=st.sampled_from([500, 20_000]),
        age=st.sampled_from([0, 0, 1000]),
    )
    def compact(self, memory: int, segment_bytes: int, age: int) -> None:
        self.compacted_at.append(self.log.log.now)
        rule = RULE._replace(segment_bytes=segment_bytes, min_age_ms=age)
        if not self.do(self.log.compact(rule, CleanerLimits(memory))):
            return
        end = self.do(self.log.cleaned_to())
        self.no_key_is_there_twice(end)

    @rule(memory=st.sampled_from([300, 1 << 20]), swaps=st.integers(0, 3), lost=st.booleans())
    def compact_half(self, memory: int, swaps: int, lost: bool) -> None:
        """A conflict, or the store goes away, before or after it did what was asked."""
        real = self.it.maintenance.replace_extents
        left = swaps

        async def fails(*args: Any) -> None:
            nonlocal left
            left -= 1
            if left < 0 and not lost:
                raise Conflict("somebody was here")
            await real(*args)
            if left < 0:
                raise StoreUnavailable("gone")

        self.it.maintenance.replace_extents = fails
        self.compacted_at.append(self.log.log.now)
        try:
            self.do(self.log.compact(RULE._replace(segment_bytes=300), CleanerLimits(memory)))
        except StoreUnavailable:
            self.restart()
        finally:
            self.it.maintenance.replace_extents = real

    @rule(large=st.integers(1000, 5000), factor=st.integers(1, 4))
    def build(self, large: int, factor: int) -> None:
        self.do(self.log.log.builder.build(self.log.p, BuildRule(large, large * factor, 0, 1 << 40)))

    @rule(ahead=st.integers(0, 9))
    def delete_records(self, ahead: int) -> None:
        view = self.do(self.log.log.views.load(self.log.p))
        moved = self.do(
            self.it.log.raise_log_start(self.log.p, min(view.log_start_offset + ahead, view.high_watermark))
        )
        view.raise_log_start(moved[0])
        self.do(self.log.log.retainer.retain_all(lambda _: Retention(-1, -1)))

    @rule()
    def restart(self) -> None:
        self.log.restarted()

    @rule()
    def the_other_broker_looks(self) -> None:
        """What it had in memory stays as it is."""
        view = self.do(self.other.views.load(self.log.p))
        row = self.do(self.it.row(self.log.p))
        extents = self.do(self.it.log.extents_from(self.log.p, view.high_watermark, 1000))
        if extents and extents[0].base_offset == view.high_watermark:
            view.catch_up(extents)
            view.raise_log_start(row.log_start_offset)
        elif extents:
            self.other.views.drop(self.log.p)

    @rule()
    def collect(self) -> None:
        self.do(self.log.log.collector.collect_blobs(0))

    # -- what is true -------------------------------------------------------------------------------------------------

    def no_key_is_there_twice(self, end: int) -> None:
        self.log.log.reader._windows.clear()  # rows that a reader far behind keeps for a while: what he reads is older, and as right
        there = [record for record in self.do(self.log.there()) if record.offset < end]
        keys = [record.key for record in there]
        assert len(keys) == len(set(keys))
        assert None not in keys
        assert all(self.log.is_committed(record.offset) for record in there)

    @invariant()
    def what_is_there_is_as_it_was_written(self) -> None:
        for record in self.do(self.log.there()):
            assert record == self.log.writes[record.offset].record

    @invariant()
    def a_reader_learns_the_last_value_of_each_key(self) -> None:
        known = {record.key: record for record in self.do(self.log.committed()) if record.key is not None}
        last = self.do(self.log.last_values())
        now = self.log.log.now
        for key, record in last.items():
            if record.value is not None or key in known:
                assert known.pop(key) == record
            else:
                # it is gone: somebody compacted after it was written, and its time has passed since
                assert any(
                    at >= record.timestamp - 2 and at + RULE.delete_retention_ms <= now for at in self.compacted_at
                )
        assert known == {}, "aborted, deleted, or risen from the dead"

    @invariant()
    def who_reads_old_rows_learns_it_too(self) -> None:
        """What was aborted never comes, what was committed always does; tombstones wait for those only who read in time."""
        view = self.do(self.other.views.load(self.log.p))
        row = self.do(self.it.row(self.log.p))
        if view.high_watermark != row.end_offset or view.log_start_offset != row.log_start_offset:
            return
        committed = self.do(self.log.committed(700, self.other))
        assert all(self.log.is_committed(record.offset) for record in committed)
        known = {record.key: record for record in committed}
        for key, record in self.do(self.log.last_values()).items():
            assert record.value is None or known[key] == record

    @invariant()
    def what_is_not_cleaned_is_all_there(self) -> None:
        if self.compacted_at:
            return
        view = self.do(self.log.log.views.load(self.log.p))
        there = [record.offset for record in self.do(self.log.there())]
        assert there == [offset for offset in self.log.writes if offset >= view.log_start_offset]

    @invariant()
    def rows_follow_one_another(self) -> None:
        extents = self.do(self.log.extents())
        row = self.do(self.it.row(self.log.p))
        for one, following in pairwise(extents):
            assert one.last_offset + 1 == following.base_offset
            assert one.running_max_timestamp <= following.running_max_timestamp
        for extent in extents:
            assert extent.max_timestamp <= extent.running_max_timestamp
        assert row.bytes_total == sum(extent.length for extent in extents)
        view = self.do(self.log.log.views.load(self.log.p))
        assert view.bytes_total == row.bytes_total
        assert self.do(self.it.maintenance.live_counts()) == []

    @invariant()
    def look_ups_by_time_agree_with_the_records(self) -> None:
        view = self.do(self.log.log.views.load(self.log.p))
        there = self.do(self.log.there())
        markers = [header for header in map(BatchHeader, self.do(self.log.batches())) if header.is_control]
        if not there or markers:
            return
        wanted = there[len(there) // 2].timestamp
        first = next(record for record in there if record.timestamp >= wanted)
        assert self.do(self.log.log.lookup.by_timestamp(view, wanted)) == (first.offset, first.timestamp)


STEPS = settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))


class CompactedSqliteLog(CompactedLog):
    sqlite = True


TestCompactedLog = CompactedLog.TestCase
TestCompactedLog.settings = STEPS
TestCompactedLog = pytest.mark.slow(TestCompactedLog)
TestCompactedSqliteLog = CompactedSqliteLog.TestCase
TestCompactedSqliteLog.settings = settings(STEPS, max_examples=10)
TestCompactedSqliteLog = pytest.mark.slow(TestCompactedSqliteLog)
