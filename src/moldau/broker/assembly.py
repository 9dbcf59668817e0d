"""Where a broker is put together: stores, log, coordination and the parts its handlers see, from settings to something that serves.

The only place that knows which implementation stands behind a port.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from moldau.clock import Clock, now_ms, steady_ms
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.coordination.config import GroupConfig
from moldau.coordination.coordinator import GroupCoordinator
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.log.collection import Collector
from moldau.log.journal import Journal
from moldau.log.journaled_store import JournaledStore
from moldau.log.lookup import Lookup
from moldau.log.reader import Reader
from moldau.log.refresher import Refresher
from moldau.log.replay import Replay
from moldau.log.retention import Retainer
from moldau.log.segment_builder import SegmentBuilder
from moldau.log.snapshots import Snapshots
from moldau.log.tail_cache import TailCache
from moldau.log.views import Views
from moldau.log.wal import WriteAhead
from moldau.version import VERSION

from .broker import Broker
from .catalog import Catalog
from .config.settings import Settings
from .configs import Configs
from .fetch_sessions import FetchSessions
from .metrics import Metrics
from .options import Options
from .outbox import Outbox
from .producer_ids import ProducerIds
from .purgatory import Purgatory
from .upkeep import Jobs, Upkeep

if TYPE_CHECKING:
    from moldau.blobs.local import LocalBlobs

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Of everything in a data directory. A release refuses a directory whose version is above its own."""


class Node:
    """A broker with its stores: `start`, then serve, then `stop`."""

    def __init__(self, options: Options, clock: Clock = now_ms) -> None:
        self.options = options
        self.clock = clock
        self.broker = Broker()
        self.blobs: LocalBlobs
        self.wal: WriteAhead

    async def start(self, data: Path, *, syncs: bool = True, power_kept: bool = False) -> None:
        """Open the stores under `data` and build the broker; they sync nothing if not `syncs` (`--ephemeral`).

        `power_kept`: the machine has been running since they were last open.

        Raises StoreError, BlobError, OSError.
        """
        from moldau.blobs.local import LocalBlobs
        from moldau.metadata.sql.cluster_rows import SqlClusterStore
        from moldau.metadata.sql.group_rows import SqlGroupStore
        from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
        from moldau.metadata.sql.recovery_rows import SqlRecoveryStore
        from moldau.metadata.sql.topic_rows import SqlTopicStore
        from moldau.metadata.sqlite.engine import SqliteEngine
        from moldau.metadata.sqlite.journal_store import SqliteJournalStore
        from moldau.metadata.sqlite.log_store import SqliteLogStore

        options, broker, clock = self.options, self.broker, self.clock
        loop = asyncio.get_running_loop()
        self.engine = SqliteEngine(data / "metadata.sqlite", loop, syncs=syncs, power_kept=power_kept)
        self.engine.open()
        engine = self.engine
        self.blobs = LocalBlobs(data / "blobs", syncs=syncs)
        self.engine.before_sync = self.blobs.sync
        cluster_store = SqlClusterStore(self.engine, FORMAT_VERSION)
        await cluster_store.create_cluster(clock())
        rows = SqliteLogStore(self.engine)
        journal_store = SqliteJournalStore(self.engine)
        self.maintenance_store = SqlMaintenanceStore(self.engine)
        replayed = await Replay(journal_store, self.maintenance_store, self.blobs, power_kept=power_kept).run()
        if replayed.blobs and not power_kept:
            # what acks=1 answered may be gone, and clients that saw it are to find that out (KIP-320)
            await SqlRecoveryStore(engine).raise_leader_epochs(1)
        ids = BlobIds(await cluster_store.reserve_blob_block())
        self.wal = WriteAhead(self.blobs, rows, self.maintenance_store, ids, clock)
        await self.wal.open()
        journal = Journal(journal_store, self.wal, loop, options.inline_max_bytes)
        log_store = JournaledStore(rows, journal)

        cache = TailCache(options.tail_cache_bytes)
        broker.loop = loop
        broker.clock = clock
        broker.steady_clock = steady_ms() if clock is now_ms else clock
        broker.data_dir = str(data)
        broker.commits = lambda: engine.commits
        broker.options = options
        broker.node_id = options.node_id
        broker.rack = options.rack
        broker.endpoints = []
        broker.auto_create_topics = options.auto_create_topics
        broker.num_partitions = options.num_partitions
        broker.pending_max_bytes = options.pending_max_bytes
        broker.cluster_store = cluster_store
        broker.topic_store = SqlTopicStore(self.engine)
        broker.log_store = log_store
        broker.cluster = await cluster_store.load_cluster()
        incarnation = await cluster_store.start_broker(options.node_id, options.rack, "", VERSION, clock())
        broker.peers = None
        broker.members = Membership(Member(options.node_id, incarnation, options.rack, {}, VERSION))
        settings = options.settings or Settings.load(env={})
        broker.configs = Configs(settings, options.node_id, cluster_store, broker.topic_store)
        await broker.configs.load()
        broker.catalog = broker.configs.catalog = Catalog(broker.topic_store, broker.configs)
        await broker.catalog.load()
        broker.cache = cache
        broker.views = Views(log_store, cache, options.views_max)
        broker.refresher = Refresher(None, broker.views)
        broker.reader = Reader(log_store, self.blobs, cache)
        broker.lookup = Lookup(log_store, broker.reader)
        broker.appender = Appender(
            journal,
            broker.views,
            cache,
            clock,
            loop,
            options.inline_max_bytes,
            options.flush_max_bytes,
        )
        broker.producer_ids = ProducerIds(cluster_store)
        broker.fetch_sessions = FetchSessions(options.fetch_session_slots)
        broker.purgatory = Purgatory(loop)
        broker.metrics = Metrics()
        broker.outbox = Outbox()
        views, store = broker.views, self.maintenance_store
        snapshots = Snapshots(log_store, store, views, clock, options.producer_expiration_ms)
        jobs = Jobs(
            SegmentBuilder(log_store, store, self.blobs, views, snapshots, ids, clock),
            snapshots,
            Retainer(log_store, store, views, snapshots, clock),
            Collector(store, self.blobs, clock),
            engine.checkpoint,
        )
        self.upkeep = Upkeep(jobs, views, broker.catalog, cluster_store, ids, options, clock)
        if options.maintains:
            self.upkeep.start()
        broker.groups = GroupCoordinator(
            SqlGroupStore(self.engine), _group_config(options), broker.steady_clock, broker.catalog.name_of
        )
        await broker.groups.start()

    async def abort(self) -> None:
        """The start failed half-way: close what is open, write nothing."""
        engine = getattr(self, "engine", None)
        if engine is not None:
            await asyncio.get_running_loop().run_in_executor(None, engine.close)
        blobs = getattr(self, "blobs", None)
        if blobs is not None:
            await blobs.close()

    async def stop(self) -> None:
        """Commit what is pending, seal, sync, close."""
        await self.upkeep.stop()
        await self.broker.groups.close()
        while not self.broker.appender.idle:  # noqa: ASYNC110  the appender has no waiters while it serves
            await asyncio.sleep(0.001)
        await self.wal.close()
        await asyncio.get_running_loop().run_in_executor(None, self.engine.close)
        await self.blobs.close()


def _group_config(options: Options) -> GroupConfig:
    return GroupConfig(**{name: getattr(options, name) for name in GroupConfig.__slots__})
