"""The metadata store that several brokers share, opened by its URL: an engine and the stores on it.

PostgreSQL is for brokers on any hosts. `sqlite:///PATH` is for the workers of one host whose parent has the data directory; it is no URL
of `moldau.metadata.url`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from .errors import StoreUnavailable

if TYPE_CHECKING:
    from .ports import CatalogStore, ClusterStore, LeaseStore, MaintenanceStore, RecoveryStore, TopicStore
    from .ports_txn import TxnStore
    from .postgres.group_store import PostgresGroupStore
    from .postgres.log_store import PostgresLogStore
    from .sql.group_rows import SqlGroupStore
    from .sql.share_rows import SqlShareStore
    from .sqlite.log_store import SqliteLogStore

_SCHEMES = ("postgresql://", "postgres://")
_SQLITE = "sqlite://"
_UNSYNCED = "?sync=off"


class Stores:
    """One engine, and each port of `moldau.metadata.ports` (and that of groups) on it. `told` is for people, without secrets."""

    __slots__ = (
        "_close",
        "catalog",
        "cluster",
        "engine",
        "groups",
        "leases",
        "log",
        "maintenance",
        "recovery",
        "shares",
        "told",
        "topics",
        "txns",
        "warm",
    )

    def __init__(
        self,
        engine: Any,
        log: SqliteLogStore | PostgresLogStore,
        topics: TopicStore,
        cluster: ClusterStore,
        catalog: CatalogStore,
        groups: SqlGroupStore | PostgresGroupStore,
        leases: LeaseStore,
        maintenance: MaintenanceStore,
        recovery: RecoveryStore,
        txns: TxnStore,
        shares: SqlShareStore,
        told: str,
        close: Callable[[], Awaitable[None]],
        warm: Callable[[], Awaitable[None]],
    ) -> None:
        self.engine = engine
        self.log = log
        self.topics = topics
        self.cluster = cluster
        self.catalog = catalog
        self.groups = groups
        self.leases = leases
        self.maintenance = maintenance
        self.recovery = recovery
        self.txns = txns
        self.shares = shares
        self.told = told
        self._close = close
        self.warm = warm
        """Have at hand what the first requests would wait for. Raises StoreError."""

    async def close(self) -> None:
        """What waits is refused, what runs is waited for; then the connections say good-bye."""
        await self._close()


def sqlite_url(file: Path, *, syncs: bool = True) -> str:
    """Of a metadata file that the workers of one host share."""
    return f"{_SQLITE}{quote(str(file.absolute()))}{'' if syncs else _UNSYNCED}"


async def open_stores(
    url: str,
    format_version: int,
    now: int,
    *,
    features: dict[str, int] | None = None,
    connections_max: int = 12,
    retry_seconds: float = 10.0,
    clock: Callable[[], int] | None = None,
) -> Stores:
    """Connect, bring the schema up to date, name the cluster if it is new (`now` is its birthday, `features` are its first levels).

    `clock` replaces the store's own in tests. Raises ValueError for a URL that is none of ours, StoreUnavailable, StoreCorrupt,
    FormatTooNew.
    """
    if url.startswith(f"{_SQLITE}/"):
        return await _on_sqlite(url, format_version, now, features, clock)
    if not url.startswith(_SCHEMES):
        scheme = url.partition(":")[0] or url
        raise ValueError(
            f"moldau.metadata.url: {scheme!r} is no store that brokers can share;"
            " expected postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"
        )
    return await _on_postgres(url, format_version, now, features, connections_max, retry_seconds, clock)


async def _on_postgres(
    url: str,
    format_version: int,
    now: int,
    features: dict[str, int] | None,
    connections_max: int,
    retry_seconds: float,
    clock: Callable[[], int] | None,
) -> Stores:
    try:
        from .postgres.engine import PostgresEngine
    except ImportError as error:
        raise StoreUnavailable(f"PostgreSQL needs the package {error.name}: pip install 'moldau[cluster]'") from error
    from .postgres.catalog_store import PostgresCatalogStore
    from .postgres.cluster_store import PostgresClusterStore
    from .postgres.group_store import PostgresGroupStore
    from .postgres.lease_store import PostgresLeaseStore
    from .postgres.log_store import PostgresLogStore
    from .postgres.share_store import PostgresShareStore
    from .postgres.txn_store import PostgresTxnStore
    from .sql.maintenance_rows import SqlMaintenanceStore
    from .sql.recovery_rows import SqlRecoveryStore
    from .sql.topic_rows import SqlTopicStore

    engine = PostgresEngine(url, connections_max=connections_max, retry_seconds=retry_seconds, clock=clock)
    await engine.open()
    try:
        cluster = PostgresClusterStore(engine, format_version)
        await cluster.create_cluster(now, features)
        log, groups = PostgresLogStore(engine), PostgresGroupStore(engine)
    except BaseException:
        await engine.close()
        raise

    async def close() -> None:
        await log.close()
        await groups.close()
        await engine.close()

    return Stores(
        engine,
        log,
        SqlTopicStore(engine),
        cluster,
        PostgresCatalogStore(engine),
        groups,
        PostgresLeaseStore(engine),
        SqlMaintenanceStore(engine),
        SqlRecoveryStore(engine),
        PostgresTxnStore(engine, cluster),
        PostgresShareStore(engine),
        engine.address.told,
        close,
        log.warm,
    )


async def _is_warm() -> None:
    """A file needs no connections."""


async def _on_sqlite(
    url: str, format_version: int, now: int, features: dict[str, int] | None, clock: Callable[[], int] | None
) -> Stores:
    from moldau.clock import now_ms

    from .sql.catalog_rows import SqlCatalogStore
    from .sql.cluster_rows import SqlClusterStore
    from .sql.group_rows import SqlGroupStore
    from .sql.lease_rows import SqlLeaseStore
    from .sql.maintenance_rows import SqlMaintenanceStore
    from .sql.recovery_rows import SqlRecoveryStore
    from .sql.share_rows import SqlShareStore
    from .sql.topic_rows import SqlTopicStore
    from .sql.txn_rows import SqlTxnStore
    from .sqlite.engine import SqliteEngine
    from .sqlite.log_store import SqliteLogStore

    syncs = not url.endswith(_UNSYNCED)
    file = Path(unquote(url.removeprefix(_SQLITE).removesuffix(_UNSYNCED)))
    loop = asyncio.get_running_loop()
    engine = SqliteEngine(file, loop, syncs=syncs, shared=True, clock=clock or now_ms)

    async def close() -> None:
        await loop.run_in_executor(None, engine.close)

    await loop.run_in_executor(None, engine.open)  # it may have to wait for its turn
    try:
        cluster = SqlClusterStore(engine, format_version)
        await cluster.create_cluster(now, features)
    except BaseException:
        await close()
        raise
    return Stores(
        engine,
        SqliteLogStore(engine),
        SqlTopicStore(engine),
        cluster,
        SqlCatalogStore(engine),
        SqlGroupStore(engine),
        SqlLeaseStore(engine),
        SqlMaintenanceStore(engine),
        SqlRecoveryStore(engine),
        SqlTxnStore(engine, cluster),
        SqlShareStore(engine),
        str(file),
        close,
        _is_warm,
    )
