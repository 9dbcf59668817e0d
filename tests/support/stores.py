"""The metadata stores of one backend, opened together, and short ways to say an append."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from moldau.coordination.ports import GroupStore
from moldau.coordination.share.ports import ShareStore
from moldau.metadata.memory.catalog_store import MemoryCatalogStore
from moldau.metadata.memory.cluster_store import MemoryClusterStore
from moldau.metadata.memory.lease_store import MemoryLeaseStore
from moldau.metadata.memory.log_store import MemoryLogStore
from moldau.metadata.memory.maintenance_store import MemoryMaintenanceStore
from moldau.metadata.memory.recovery_store import MemoryRecoveryStore
from moldau.metadata.memory.state import MemoryState
from moldau.metadata.memory.topic_store import MemoryTopicStore
from moldau.metadata.memory.txn_store import MemoryTxnStore
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.metadata.memory_shares import MemoryShareStore
from moldau.metadata.opening import open_stores
from moldau.metadata.ports import (
    AppendStore,
    CatalogStore,
    ClusterStore,
    LeaseStore,
    LogStore,
    MaintenanceStore,
    RecoveryStore,
    TopicStore,
)
from moldau.metadata.ports_txn import TxnStore
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.rows import AppendCommit, AppendEntry, AppendResult, Extent, PartitionRow
from moldau.metadata.sql.catalog_rows import SqlCatalogStore
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.group_rows import SqlGroupStore
from moldau.metadata.sql.lease_rows import SqlLeaseStore
from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
from moldau.metadata.sql.recovery_rows import SqlRecoveryStore
from moldau.metadata.sql.share_rows import SqlShareStore
from moldau.metadata.sql.topic_rows import SqlTopicStore
from moldau.metadata.sql.txn_rows import SqlTxnStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.log_store import SqliteLogStore

FORMAT = 7


class ManualClock:
    """The store's clock, which only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


class AppendLogStore(LogStore, AppendStore, Protocol):
    """Both ports, as every log store has them."""


class Stores:
    """One backend's stores; `engine` is None in memory."""

    def __init__(
        self,
        log: AppendLogStore,
        maintenance: MaintenanceStore,
        topics: TopicStore,
        cluster: ClusterStore,
        catalog: CatalogStore,
        recovery: RecoveryStore,
        leases: LeaseStore,
        groups: GroupStore,
        txns: TxnStore,
        shares: ShareStore,
        clock: ManualClock,
        engine: SqliteEngine | PostgresEngine | None = None,
    ) -> None:
        self.recovery = recovery
        self.leases = leases
        self.groups = groups
        self.txns = txns
        self.shares = shares
        self.clock = clock
        self.log = log
        self.maintenance = maintenance
        self.topics = topics
        self.cluster = cluster
        self.catalog = catalog
        self.engine = engine
        self._blob_ids = 0

    def blob_id(self) -> int:
        """A fresh one."""
        self._blob_ids += 1
        return self._blob_ids

    async def topic(self, name: str = "t", partitions: int = 1) -> list[int]:
        """A new topic's partition ids; its id is made of the name."""
        row = await self.topics.create_topic(topic_id(name), name, partitions, {}, 1)
        return [partition.partition_id for partition in row.partitions]

    async def append(self, *entries: AppendEntry, **how: Any) -> list[AppendResult]:
        """As `flush`, and wait for it."""
        return await submit(self.log, self.flush(*entries, **how))

    def flush(self, *entries: AppendEntry, **how: Any) -> AppendCommit:
        """A commit, inline unless told otherwise."""
        fields = {"blob_id": how.pop("blob_id", 0) or self.blob_id(), "inline": b"bytes", "durable": True, "now": 1000}
        return AppendCommit(entries=list(entries), **{**fields, **how})

    async def extents(self, partition_id: int) -> list[Extent]:
        """All of them."""
        return await self.log.extents_from(partition_id, 0, 1 << 30)

    async def row(self, partition_id: int) -> PartitionRow:
        """The partition's row."""
        state = await self.log.load_partition(partition_id)
        assert state is not None
        return state.row


def topic_id(name: str) -> bytes:
    return name.encode().ljust(16, b"\0")[:16]


def entry(partition_id: int, expected_end: int, records: int = 1, **other: Any) -> AppendEntry:
    fields: dict[str, Any] = {"position": 0, "length": 10 * records, "max_timestamp": 100}
    return AppendEntry(partition_id, expected_end, records, **{**fields, **other})


def submit(log: AppendStore, commit: AppendCommit) -> asyncio.Future[list[AppendResult]]:
    """The append as a future; a second answer fails the test."""
    future: asyncio.Future[list[AppendResult]] = asyncio.get_running_loop().create_future()

    def done(results: list[AppendResult] | None, error: Exception | None) -> None:
        assert asyncio.get_running_loop() is future.get_loop()
        if error is not None:
            future.set_exception(error)
        else:
            assert results is not None
            future.set_result(results)

    log.append(commit, done)
    return future


def memory_opener() -> Any:
    clock = ManualClock()
    state = MemoryState("a-cluster", 1, clock)
    cluster = MemoryClusterStore(state, FORMAT)
    groups = MemoryGroupStore(state)
    shares = MemoryShareStore(groups)

    @asynccontextmanager
    async def opener() -> AsyncIterator[Stores]:
        yield Stores(
            MemoryLogStore(state),
            MemoryMaintenanceStore(state),
            MemoryTopicStore(state),
            cluster,
            MemoryCatalogStore(state),
            MemoryRecoveryStore(state),
            MemoryLeaseStore(state),
            groups,
            MemoryTxnStore(state, cluster),
            shares,
            clock,
        )

    return opener


def postgres_opener(url: str, **options: Any) -> Any:
    return url_opener(url, **options)


def url_opener(url: str, **options: Any) -> Any:
    """Stores that several processes may have open."""
    clock = ManualClock()

    @asynccontextmanager
    async def opener() -> AsyncIterator[Stores]:
        it = await open_stores(url, FORMAT, 1, **{"clock": clock, **options})
        try:
            yield Stores(
                it.log,
                it.maintenance,
                it.topics,
                it.cluster,
                it.catalog,
                it.recovery,
                it.leases,
                it.groups,
                it.txns,
                it.shares,
                clock,
                it.engine,
            )
        finally:
            await it.close()

    return opener


def sqlite_opener(folder: Path) -> Any:
    clock = ManualClock()

    @asynccontextmanager
    async def opener() -> AsyncIterator[Stores]:
        engine = SqliteEngine(folder / "metadata.sqlite", asyncio.get_running_loop(), clock=clock)
        engine.open()
        try:
            cluster = SqlClusterStore(engine, FORMAT)
            await cluster.create_cluster(1)
            yield Stores(
                SqliteLogStore(engine),
                SqlMaintenanceStore(engine),
                SqlTopicStore(engine),
                cluster,
                SqlCatalogStore(engine),
                SqlRecoveryStore(engine),
                SqlLeaseStore(engine),
                SqlGroupStore(engine),
                SqlTxnStore(engine, cluster),
                SqlShareStore(engine),
                clock,
                engine,
            )
        finally:
            engine.close()

    return opener
