"""What every broker is put together of, whatever its stores are: the parts its handlers see, from settings to something that serves.

`moldau.broker.embedded` and `moldau.broker.shared` are the two kinds of node; they alone know which implementation stands behind a port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from moldau.clock import Clock, now_ms, steady_ms
from moldau.coordination.config import GroupConfig
from moldau.coordination.share.homes import ShareHomes
from moldau.coordination.share.partition import Limits
from moldau.coordination.share.records import SHARE_GROUP
from moldau.coordination.surroundings import Surroundings
from moldau.coordination.transactions.config import TransactionConfig
from moldau.coordination.transactions.coordinator import TransactionCoordinator
from moldau.log.blob_ids import BlobIds
from moldau.log.cleaner import Cleaner
from moldau.log.collection import ALONE, Collector
from moldau.log.extent_swap import ExtentSwap
from moldau.log.inline_cache import InlineCache
from moldau.log.lookup import Lookup
from moldau.log.reader import Reader
from moldau.log.refresher import Refresher
from moldau.log.retention import Retainer
from moldau.log.segment_builder import SegmentBuilder
from moldau.log.snapshots import Snapshots
from moldau.log.tail_cache import TailCache
from moldau.log.views import Views
from moldau.metadata.errors import FormatTooNew

from . import features
from .broker import Broker, Endpoint
from .catalog import Catalog
from .catalog_image import CatalogImage
from .config.settings import Settings
from .configs import Configs
from .dead_letters import TOPIC_NAME
from .fetch_sessions import FetchSessions
from .internal_topics import InternalTopics
from .metrics import Metrics
from .options import Options
from .outbox import Outbox
from .producer_ids import ProducerIds
from .purgatory import Purgatory
from .shares import Shares
from .upkeep import Jobs

if TYPE_CHECKING:
    from moldau.blobs.ports import BlobStore
    from moldau.coordination.share.ports import ShareStore
    from moldau.histogram import Histogram
    from moldau.log.cold import ColdReads
    from moldau.metadata.errors import StoreError
    from moldau.metadata.ports import CatalogStore, ClusterStore, LogStore, MaintenanceStore, TopicStore

FORMAT_VERSION = 1
"""Of everything that is stored. A release refuses a store whose version is above its own."""


class Engine(Protocol):
    """What is asked of a metadata store's engine, whichever it is."""

    commits: int
    failures: int
    last_refusal: StoreError | None
    commit_seconds: Histogram


class Node:
    """A broker with its stores: `start`, then serve, then `stop`; `abort` after a start that failed half-way."""

    engine: Engine

    def __init__(self, options: Options, clock: Clock = now_ms) -> None:
        self.options = options
        self.clock = clock
        self.broker = Broker()
        self.before_known: Callable[[], None] = lambda: None
        """Called before others can learn of this broker: from now on its ports take connections, which are served when it is up."""

    async def start(self, endpoints: list[Endpoint]) -> None:
        """Open the stores and build the broker, whose clients will be told of `endpoints`. Raises StoreError, BlobError, OSError."""
        raise NotImplementedError

    async def introduce(self) -> None:
        """It serves; where there are others, it waits for a moment until they know that."""

    async def leave(self) -> None:
        """It will stop soon: clients are sent to others, if there are any."""

    async def stop(self) -> None:
        """Commit what is pending, close the stores. Nobody is served any more."""
        raise NotImplementedError

    async def abort(self) -> None:
        """Close what is open, write nothing."""
        raise NotImplementedError

    # -- the parts, in the order in which they need each other ----------------------------------------------------------

    async def _know(
        self,
        cluster_store: ClusterStore,
        topic_store: TopicStore,
        catalog_store: CatalogStore,
        loop: asyncio.AbstractEventLoop,
        *,
        shared: bool,
    ) -> None:
        """What is known of the cluster: its id, configs, topics; `shared`: other brokers change it, too."""
        options, broker, clock = self.options, self.broker, self.clock
        broker.loop = loop
        broker.clock = clock
        broker.steady_clock = steady_ms() if clock is now_ms else clock
        broker.options = options
        broker.node_id = options.node_id
        broker.rack = options.rack
        broker.auto_create_topics = options.auto_create_topics
        broker.num_partitions = options.num_partitions
        broker.pending_max_bytes = options.pending_max_bytes
        broker.cluster_store = cluster_store
        broker.topic_store = topic_store
        broker.cluster = await cluster_store.load_cluster()
        why = features.too_new(broker.cluster.features)
        if why is not None:
            raise FormatTooNew(why)
        settings = options.settings or Settings.load(env={})
        broker.configs = Configs(settings, options.node_id, cluster_store, topic_store)
        broker.catalog = broker.configs.catalog = Catalog(catalog_store, broker.configs, shared=shared)
        await broker.catalog.load()

    def _read(
        self,
        log_store: LogStore,
        blobs: BlobStore,
        *,
        shared: bool,
        guesses: bool = False,
        cold: ColdReads | None = None,
    ) -> None:
        """How partitions are read; `shared`: other brokers write them, too; `guesses`: they did once."""
        options, broker = self.options, self.broker
        broker.cache = TailCache(options.tail_cache_bytes)
        broker.log_store = log_store
        broker.views = Views(log_store, broker.cache, options.views_max)
        broker.catalog.gone = broker.views.drop
        broker.refresher = Refresher(log_store if shared else None, broker.views)
        inline = InlineCache(log_store) if shared else None
        broker.reader = Reader(log_store, blobs, broker.cache, guesses=shared or guesses, cold=cold, inline=inline)
        broker.lookup = Lookup(log_store, broker.reader)

    def _serve(self) -> None:
        """What only clients and their connections need."""
        options, broker = self.options, self.broker
        broker.producer_ids = ProducerIds(broker.cluster_store)
        broker.fetch_sessions = FetchSessions(options.fetch_session_slots)
        broker.internal_topics = InternalTopics()
        broker.purgatory = Purgatory(broker.loop)
        broker.metrics = Metrics()
        broker.outbox = Outbox()

    def _jobs(
        self,
        store: MaintenanceStore,
        blobs: BlobStore,
        ids: BlobIds,
        checkpoint: Callable[[], Awaitable[int]] | None,
        rows: LogStore,
        *,
        alone: bool,
    ) -> Jobs:
        """The maintenance of what is stored; `rows` is the log store without what is in a journal only. `alone`: nobody shares the stores."""
        broker, clock = self.broker, self.clock
        views, log_store = broker.views, broker.log_store
        snapshots = Snapshots(rows, store, views, clock, self.options.producer_expiration_ms)
        swap = ExtentSwap(store, blobs, views, snapshots, clock)
        return Jobs(
            SegmentBuilder(log_store, rows, store, swap, views, ids, clock),
            snapshots,
            Retainer(log_store, store, views, snapshots, clock),
            Collector(store, blobs, clock, **(ALONE if alone else {})),
            Cleaner(log_store, store, swap, views, ids, clock),
            lambda: broker.configs.broker,
            checkpoint,
        )

    def _transactions(self, *, sole: bool, mine: Callable[[], bool] = lambda: True) -> TransactionCoordinator:
        """The coordinator of transactions; `mine`: whether this broker ends those whose time is over."""
        broker = self.broker
        return TransactionCoordinator(
            broker.txn_store,
            broker.markers.end,
            TransactionConfig(**{name: getattr(self.options, name) for name in TransactionConfig.__slots__}),
            broker.producer_ids.take,
            lambda: features.transaction_version(broker.cluster.features),
            self.clock,
            sole=sole,
            mine=mine,
        )

    def _shares(self, store: ShareStore) -> Shares:
        """Share-partitions that are at home here. The broker's members are known."""
        broker = self.broker

        def limits(group: str) -> Limits:
            settings = broker.configs.of_group(group)
            return Limits(
                settings["share.record.lock.duration.ms"],
                settings["share.delivery.count.limit"],
                settings["share.partition.max.record.locks"],
                bool(settings[TOPIC_NAME]) and features.share_version(broker.cluster.features) >= features.DEAD_LETTERS,
            )

        homes = ShareHomes(store, SHARE_GROUP, broker.steady_clock, limits)
        return Shares(broker, store, homes, broker.configs.broker["group.share.max.share.sessions"])

    def _around_groups(self, config: GroupConfig) -> Surroundings:
        """What groups know of this broker."""
        configs, members, catalog = self.broker.configs, self.broker.members, self.broker.catalog
        return Surroundings(config, CatalogImage(catalog, members), lambda key: configs.broker[key], configs.of_group)

    async def _quiet(self) -> None:
        """Every batch that was taken is answered."""
        while not self.broker.appender.idle:  # noqa: ASYNC110  the appender has no waiters while it serves
            await asyncio.sleep(0.001)


def group_config(options: Options) -> GroupConfig:
    """What the coordination of groups goes by."""
    return GroupConfig(**{name: getattr(options, name) for name in GroupConfig.__slots__})
