"""Two writers with stale views, on the store in memory and on SQLite or PostgreSQL: the same answers, and a log without gap or
overlap.

Properties 1 and 3 of the metadata store: offsets of a partition are contiguous, and whatever two brokers do in whatever
order gives a history that one broker could have made.
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
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.postgres import Servers
from support.stores import Stores, entry, memory_opener, postgres_opener, sqlite_opener, submit, topic_id, url_opener

from moldau.metadata.errors import StoreError
from moldau.metadata.opening import sqlite_url
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.rows import APPENDED, KIND_SEGMENT, MOVED, AppendCommit, BlobRow, Extent

PARTITIONS = 3
WRITERS = st.integers(0, 1)
PARTITION = st.integers(0, PARTITIONS - 1)
APPEND = st.tuples(PARTITION, st.integers(1, 5), st.integers(-1, 50))
FLUSH = st.tuples(WRITERS, st.lists(APPEND, min_size=1, max_size=4), st.booleans(), st.booleans())


class TwoWriters(RuleBasedStateMachine):
    """`views[writer][partition]` is the end that the writer believes in; only its own appends and `refresh` move it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="moldau-test-"))
        self.stores: list[Stores] = []
        self.views = [[0] * PARTITIONS, [0] * PARTITIONS]
        self.appended: list[list[tuple[int, int]]] = [[] for _ in range(PARTITIONS)]
        self.next_blob = 1
        self.now = 1000

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def both(self, call: Any) -> Any:
        """The same call on both stores; the same answer, or the same error."""

        async def one(it: Stores) -> Any:
            try:
                return await call(it)
            except StoreError as error:
                return type(error)

        memory, other = (self.do(one(it)) for it in self.stores)
        assert memory == other
        return memory

    def of(self, writer: int, it: Stores) -> Stores:
        """The store as that writer reaches it."""
        return it

    def opener(self) -> Any:
        """Of what is compared with the store in memory."""
        return sqlite_opener(self.folder)

    @initialize()
    def open(self) -> None:
        for opener in (memory_opener(), self.opener()):
            self.stores.append(self.do(self.stack.enter_async_context(opener())))
        self.ids: list[int] = self.both(lambda it: it.topic("t", PARTITIONS))

    def teardown(self) -> None:
        self.do(self.stack.aclose())
        self.loop.close()
        shutil.rmtree(self.folder)

    def _commit(self, flush: Any) -> tuple[AppendCommit, list[tuple[int, int, int]]]:
        writer, appends, inline, durable = flush
        ends = list(self.views[writer])
        entries, claims = [], []
        for index, records, timestamp in appends:
            entries.append(entry(self.ids[index], ends[index], records, max_timestamp=timestamp))
            claims.append((index, ends[index], records))
            ends[index] += records
        blob_id, self.next_blob = self.next_blob, self.next_blob + 1
        self.now += 1
        new = -1 if inline else 100
        return AppendCommit(blob_id, entries, b"bytes" if inline else None, durable, self.now, new), claims

    def _learn(self, writer: int, claims: list[tuple[int, int, int]], results: Any) -> None:
        for (index, base, records), result in zip(claims, results, strict=True):
            if result.status == APPENDED:
                assert result.offset == base
                self.appended[index].append((base, base + records))
                self.views[writer][index] = base + records
            elif result.status == MOVED:
                # what a broker does: catch up, and decide again later
                assert result.offset != base
                self.views[writer][index] = result.offset

    @rule(flush=FLUSH)
    def append(self, flush: Any) -> None:
        commit, claims = self._commit(flush)
        self._learn(flush[0], claims, self.both(lambda it: submit(self.of(flush[0], it).log, commit)))

    @rule(flushes=st.lists(FLUSH, min_size=2, max_size=6))
    def append_at_once(self, flushes: list[Any]) -> None:
        """Submitted together, each decided on what its writer knew before: they take effect in the order of submission."""
        commits = [self._commit(flush) for flush in flushes]

        async def all_of(it: Stores) -> list[Any]:
            return await asyncio.gather(*[submit(it.log, commit) for commit, _ in commits])

        for flush, (_, claims), results in zip(flushes, commits, self.both(all_of), strict=True):
            self._learn(flush[0], claims, results)

    @rule(writer=WRITERS, index=PARTITION)
    def refresh(self, writer: int, index: int) -> None:
        state = self.both(lambda it: it.log.load_partition(self.ids[index]))
        if state is not None:
            self.views[writer][index] = state.row.end_offset

    @rule(index=PARTITION, offset=st.integers(-1, 60))
    def raise_log_start(self, index: int, offset: int) -> None:
        self.both(lambda it: it.log.raise_log_start(self.ids[index], offset))

    @rule(index=PARTITION, offset=st.integers(-3, 60), limit=st.integers(1, 5))
    def look_up(self, index: int, offset: int, limit: int) -> None:
        self.both(lambda it: it.log.extents_from(self.ids[index], offset, limit))
        self.both(lambda it: it.log.extents_before(self.ids[index], offset, limit))
        self.both(lambda it: it.log.extent_by_time(self.ids[index], offset))

    @rule(index=PARTITION, count=st.integers(1, 4))
    def retain(self, index: int, count: int) -> None:
        """Drop the oldest extents, as retention does: the log start first."""
        extents = self.both(lambda it: it.log.extents_from(self.ids[index], 0, count))
        if extents:
            self.both(lambda it: it.log.raise_log_start(self.ids[index], extents[-1].last_offset + 1))
            self.both(lambda it: it.maintenance.delete_extents(self.ids[index], extents))
            self.both(lambda it: it.maintenance.delete_extents(self.ids[index], extents))

    @rule(index=PARTITION, offset=st.integers(0, 40), count=st.integers(1, 4))
    def build_segment(self, index: int, offset: int, count: int) -> None:
        old = self.both(lambda it: it.log.extents_from(self.ids[index], offset, count))
        if not old:
            return
        blob_id, self.next_blob = self.next_blob, self.next_blob + 1
        new = Extent(
            partition_id=self.ids[index],
            base_offset=old[0].base_offset,
            last_offset=old[-1].last_offset,
            blob_id=blob_id,
            position=0,
            length=sum(e.length for e in old),
            max_timestamp=max(e.max_timestamp for e in old),
            running_max_timestamp=old[-1].running_max_timestamp,
            records=sum(e.records for e in old),
            leader_epoch=0,
            kind=KIND_SEGMENT,
            appended_at=old[-1].appended_at,
        )
        blob = BlobRow(blob_id, KIND_SEGMENT, new.length, self.now)
        self.both(lambda it: it.maintenance.replace_extents(self.ids[index], old, [new], blob))

    @rule(index=PARTITION, offset=st.integers(0, 60))
    def snapshot(self, index: int, offset: int) -> None:
        self.both(lambda it: it.maintenance.write_snapshot(self.ids[index], offset, b"%d" % offset))

    @rule()
    def collect(self) -> None:
        self.now += 1
        self.both(lambda it: it.maintenance.doom_unreferenced(self.now, 0, 3))
        self.both(lambda it: it.maintenance.blobs())
        self.both(lambda it: it.maintenance.blob_ends())

    @rule()
    def delete_and_recreate(self) -> None:
        """The topic goes while writers still know its partitions; a new one of the name has new ids."""
        name = topic_id(f"t{self.now}")
        (row,) = self.both(lambda it: it.topics.load_topics())
        self.both(lambda it: it.topics.delete_topic(row.topic_id, self.now))
        self.both(lambda it: it.append(entry(self.ids[0], 0), blob_id=1 << 40))
        for partition_id in self.both(lambda it: it.maintenance.dead_partitions(10)):
            self.both(lambda it, p=partition_id: it.maintenance.purge_partition(p, 1 << 20))
        fresh = self.both(lambda it: it.topics.create_topic(name, "t", PARTITIONS, {}, self.now))
        self.now += 1
        assert not set(self.ids) & {p.partition_id for p in fresh.partitions}
        self.ids = [p.partition_id for p in fresh.partitions]
        self.views = [[0] * PARTITIONS, [0] * PARTITIONS]
        self.appended = [[] for _ in range(PARTITIONS)]

    @invariant()
    def contiguous(self) -> None:
        if not self.stores:
            return
        for index, partition_id in enumerate(self.ids):
            state = self.both(lambda it, p=partition_id: it.log.load_partition(p))
            extents = self.both(lambda it, p=partition_id: it.log.extents_from(p, 0, 1 << 30))
            row = state.row
            # whoever appended: one after the other, none lost, none twice
            starts, ends = [start for start, _ in self.appended[index]], [end for _, end in self.appended[index]]
            assert starts == [0, *ends][:-1]
            assert row.end_offset == (self.appended[index][-1][1] if self.appended[index] else 0)
            assert 0 <= row.log_start_offset <= row.end_offset
            assert all(a.last_offset + 1 == b.base_offset for a, b in pairwise(extents))
            assert all(a.running_max_timestamp <= b.running_max_timestamp for a, b in pairwise(extents))
            assert row.bytes_total == sum(e.length for e in extents)
            if extents:
                assert extents[-1].last_offset + 1 == row.end_offset
                assert extents[0].base_offset <= row.log_start_offset
            else:
                assert row.log_start_offset == row.end_offset


class TwoBrokers(TwoWriters):
    """The two writers are brokers of their own, each with its engine on the same database."""

    servers: Servers
    version = 16

    def opener(self) -> Any:
        server = self.servers[self.version]
        return postgres_opener(server.url(server.database()))

    @initialize()
    def open(self) -> None:
        super().open()
        engine = self.stores[1].engine
        assert isinstance(engine, PostgresEngine)
        peer = postgres_opener(engine.address.url)
        self.peer: Stores = self.do(self.stack.enter_async_context(peer()))

    def of(self, writer: int, it: Stores) -> Stores:
        return self.peer if writer and it is self.stores[1] else it


class TwoWorkers(TwoWriters):
    """The two writers are workers of one host, each with its engine on the same SQLite file."""

    def opener(self) -> Any:
        return url_opener(sqlite_url(self.folder / "metadata.sqlite"))

    @initialize()
    def open(self) -> None:
        super().open()
        self.peer: Stores = self.do(self.stack.enter_async_context(self.opener()()))

    def of(self, writer: int, it: Stores) -> Stores:
        return self.peer if writer and it is self.stores[1] else it


class TwoBrokersOn18(TwoBrokers):
    version = 18


@pytest.fixture(autouse=True)
def servers(postgres_servers: Servers) -> None:
    TwoBrokers.servers = postgres_servers


TestTwoBrokers = pytest.mark.slow(TwoBrokers.TestCase)
TestTwoBrokersOn18 = pytest.mark.slow(TwoBrokersOn18.TestCase)
TestTwoBrokers.settings = TestTwoBrokersOn18.settings = settings(
    max_examples=5, stateful_step_count=25, suppress_health_check=list(HealthCheck)
)
TestTwoWorkers = pytest.mark.slow(TwoWorkers.TestCase)
TestTwoWriters = pytest.mark.slow(TwoWriters.TestCase)
TestTwoWriters.settings = TestTwoWorkers.settings = settings(
    max_examples=20, stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
