"""The metadata store that several brokers share, opened by its URL: an engine and the stores on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .errors import StoreUnavailable

if TYPE_CHECKING:
    from .postgres.catalog_store import PostgresCatalogStore
    from .postgres.cluster_store import PostgresClusterStore
    from .postgres.engine import PostgresEngine
    from .postgres.group_store import PostgresGroupStore
    from .postgres.lease_store import PostgresLeaseStore
    from .postgres.log_store import PostgresLogStore
    from .postgres.txn_store import PostgresTxnStore
    from .sql.maintenance_rows import SqlMaintenanceStore
    from .sql.recovery_rows import SqlRecoveryStore
    from .sql.topic_rows import SqlTopicStore

_SCHEMES = ("postgresql://", "postgres://")


class Stores:
    """One engine, and each port of `moldau.metadata.ports` (and that of groups) on it."""

    __slots__ = ("catalog", "cluster", "engine", "groups", "leases", "log", "maintenance", "recovery", "topics", "txns")

    def __init__(
        self,
        engine: PostgresEngine,
        log: PostgresLogStore,
        topics: SqlTopicStore,
        cluster: PostgresClusterStore,
        catalog: PostgresCatalogStore,
        groups: PostgresGroupStore,
        leases: PostgresLeaseStore,
        maintenance: SqlMaintenanceStore,
        recovery: SqlRecoveryStore,
        txns: PostgresTxnStore,
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

    async def close(self) -> None:
        """What waits is refused, what runs is waited for; then the connections say good-bye."""
        await self.log.close()
        await self.groups.close()
        await self.engine.close()


async def open_stores(
    url: str,
    format_version: int,
    now: int,
    *,
    connections_max: int = 12,
    retry_seconds: float = 10.0,
    clock: Callable[[], int] | None = None,
) -> Stores:
    """Connect, bring the schema up to date, name the cluster if it is new (`now` is its birthday).

    `clock` replaces the store's own in tests. Raises ValueError for a URL that is none of ours, StoreUnavailable, StoreCorrupt,
    FormatTooNew.
    """
    if not url.startswith(_SCHEMES):
        scheme = url.partition(":")[0] or url
        raise ValueError(
            f"moldau.metadata.url: {scheme!r} is no store that brokers can share;"
            " expected postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"
        )
    try:
        from .postgres.engine import PostgresEngine
    except ImportError as error:
        raise StoreUnavailable(f"PostgreSQL needs the package {error.name}: pip install 'moldau[cluster]'") from error
    engine = PostgresEngine(url, connections_max=connections_max, retry_seconds=retry_seconds, clock=clock)
    await engine.open()
    try:
        return await _on_postgres(engine, format_version, now)
    except BaseException:
        await engine.close()
        raise


async def _on_postgres(engine: PostgresEngine, format_version: int, now: int) -> Stores:
    from .postgres.catalog_store import PostgresCatalogStore
    from .postgres.cluster_store import PostgresClusterStore
    from .postgres.group_store import PostgresGroupStore
    from .postgres.lease_store import PostgresLeaseStore
    from .postgres.log_store import PostgresLogStore
    from .postgres.txn_store import PostgresTxnStore
    from .sql.maintenance_rows import SqlMaintenanceStore
    from .sql.recovery_rows import SqlRecoveryStore
    from .sql.topic_rows import SqlTopicStore

    cluster = PostgresClusterStore(engine, format_version)
    await cluster.create_cluster(now)
    return Stores(
        engine,
        PostgresLogStore(engine),
        SqlTopicStore(engine),
        cluster,
        PostgresCatalogStore(engine),
        PostgresGroupStore(engine),
        PostgresLeaseStore(engine),
        SqlMaintenanceStore(engine),
        SqlRecoveryStore(engine),
        PostgresTxnStore(engine, cluster),
    )
