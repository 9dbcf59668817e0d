"""The broker as its handlers see it: the parts they need, put together by `moldau.broker.assembly`."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from moldau.host_port import host_port

from . import features
from .transactional import Joins

if TYPE_CHECKING:
    from collections.abc import Callable

    from moldau.clock import Clock
    from moldau.cluster.membership import Membership
    from moldau.cluster.peers import Peers
    from moldau.coordination.coordinator import GroupCoordinator
    from moldau.coordination.shards import GroupShards
    from moldau.coordination.transactions.coordinator import TransactionCoordinator
    from moldau.log.appender import Appender
    from moldau.log.lookup import Lookup
    from moldau.log.marker_writer import MarkerWriter
    from moldau.log.reader import Reader
    from moldau.log.refresher import Refresher
    from moldau.log.shared_appender import SharedAppender
    from moldau.log.tail_cache import TailCache
    from moldau.log.view import PartitionView
    from moldau.log.views import Views
    from moldau.metadata.ports import ClusterStore, LogStore, TopicStore
    from moldau.metadata.ports_txn import TxnStore
    from moldau.metadata.rows import ClusterRow

    from .catalog import Catalog, Topic
    from .configs import Configs
    from .fetch_sessions import FetchSessions
    from .internal_topics import InternalTopics
    from .metrics import Metrics
    from .options import Options
    from .outbox import Outbox
    from .producer_ids import ProducerIds
    from .purgatory import Purgatory
    from .shares import Shares
    from .steering import Steering


log = logging.getLogger(__name__)

_SAY_MS = 5000
"""A store that does not answer is told of once in so long."""


class Endpoint:
    """What clients of one listener are told to connect to."""

    __slots__ = ("host", "listener", "port")

    def __init__(self, listener: str, host: str, port: int) -> None:
        self.listener = listener
        self.host = host
        self.port = port

    def __str__(self) -> str:
        return host_port(self.host, self.port)


class Broker:
    """One broker process. Attributes are set once, by the assembly."""

    node_id: int
    rack: str | None
    endpoints: list[Endpoint]
    cluster: ClusterRow
    pending_max_bytes: int
    options: Options
    auto_create_topics: bool
    num_partitions: int
    data_dir: str
    commits: Callable[[], int]
    clock: Clock
    steady_clock: Clock
    loop: asyncio.AbstractEventLoop
    catalog: Catalog
    configs: Configs
    cache: TailCache
    views: Views
    refresher: Refresher
    members: Membership
    peers: Peers | None
    steering: Steering | None
    appender: Appender | SharedAppender
    reader: Reader
    lookup: Lookup
    log_store: LogStore
    topic_store: TopicStore
    cluster_store: ClusterStore
    txn_store: TxnStore
    markers: MarkerWriter
    producer_ids: ProducerIds
    fetch_sessions: FetchSessions
    purgatory: Purgatory
    metrics: Metrics
    outbox: Outbox
    groups: GroupCoordinator | GroupShards
    shares: Shares
    transactions: TransactionCoordinator
    internal_topics: InternalTopics

    def __init__(self) -> None:
        self.joins = Joins(self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._unanswered = 0
        self._unavailable_said = -_SAY_MS

    @property
    def verifies_transactions(self) -> bool:
        """`transaction.partition.verification.enable` as it is now."""
        return bool(self.configs.broker["transaction.partition.verification.enable"])

    @property
    def serves_shares(self) -> bool:
        """Whether share groups are on."""
        return features.share_version(self.cluster.features) > 0

    def told_of(self, endpoint: Endpoint) -> list[tuple[int, str, int, str | None]]:
        """(node id, host, port, rack) of every broker, as the clients of that listener reach it."""
        told = []
        for member in self.members.live:
            where = member.endpoint(endpoint.listener)
            if member is self.members.me:
                where = (endpoint.host, endpoint.port)
            if where is not None:
                told.append((member.node_id, *where, member.rack))
        return told

    def controller(self, told: list[tuple[int, str, int, str | None]]) -> int:
        """Whom the clients that are `told_of` these take their changes to: the lowest id, so that every broker says the same; -1
        if there is nobody. Any broker takes them.
        """
        return told[0][0] if told else -1

    def replicas_of(self, topic: Topic, partition_id: int) -> list[int]:
        """Those that clients are told of; the leader comes first. All of them are in sync: the stores keep the records."""
        return self.members.replicas_of(partition_id, topic.replication_factor)

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Hold a task until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def report_damage(self, view: PartitionView, offset: int, error: Exception) -> None:
        """Bytes that metadata names cannot be read, or are not what they were: said loudly, never skipped."""
        log.error(
            "event=damaged_log topic=%s partition=%d offset=%d error='%s' advice='run moldau inspect'",
            self.catalog.name_of(view.topic_id),
            view.partition_index,
            offset,
            error,
        )

    def report_unavailable(self, view: PartitionView, offset: int, error: Exception) -> None:
        """A store does not answer: nothing is wrong with the data, and it will pass. Said every few seconds at most, since every fetch
        meets it.
        """
        self._unanswered += 1
        now = self.steady_clock()
        if now < self._unavailable_said + _SAY_MS:
            return
        log.error(
            "event=store_unavailable topic=%s partition=%d offset=%d reads=%d error='%s'",
            self.catalog.name_of(view.topic_id),
            view.partition_index,
            offset,
            self._unanswered,
            error,
        )
        self._unavailable_said, self._unanswered = now, 0

    def leader_epoch_of(self, partition_id: int) -> int:
        """The epoch as far as it is known here: epochs rise at starts only."""
        view = self.views.get(partition_id)
        return view.leader_epoch if view is not None else self.catalog.leader_epochs.get(partition_id, 0)
