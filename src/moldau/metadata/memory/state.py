"""What the in-memory stores share: the tables, as dicts. Everything happens on one thread, so a method is a transaction."""

from __future__ import annotations

from collections.abc import Iterable

from moldau.clock import Clock, now_ms

from ..rows import KIND_INLINE, Assigned, BlobRow, BrokerRow, Extent, PartitionRow
from ..rows_groups import OffsetKey, OffsetRow
from ..rows_txn import TxnRow


class MemoryTopic:
    """A topic, alive or dead; its partitions lie in `MemoryState.partitions`."""

    __slots__ = (
        "alive",
        "assigned",
        "configs",
        "created_ms",
        "name",
        "partition_ids",
        "replication_factor",
        "topic_id",
        "version",
    )

    def __init__(
        self,
        topic_id: bytes,
        name: str,
        configs: dict[str, str],
        created_ms: int,
        replication_factor: int,
        version: int,
    ) -> None:
        self.topic_id = topic_id
        self.name = name
        self.configs = configs
        self.created_ms = created_ms
        self.replication_factor = replication_factor
        self.version = version
        self.alive = True
        self.partition_ids: list[int] = []
        self.assigned: Assigned = {}


class MemoryState:
    """One store's rows. `extents` of a partition are sorted by `last_offset`."""

    __slots__ = (
        "blobs",
        "brokers",
        "cleaned",
        "clock",
        "cluster_id",
        "created_ms",
        "entities",
        "entity_version",
        "extents",
        "features",
        "group_offsets",
        "incarnations",
        "inline",
        "inline_live",
        "journal",
        "leases",
        "live",
        "metadata_floor",
        "metadata_version",
        "next_blob_block",
        "next_partition_id",
        "next_producer_id",
        "partitions",
        "snapshots",
        "topics",
        "txn_offsets",
        "txn_partitions",
        "txns",
    )

    def __init__(self, cluster_id: str = "", created_ms: int = 0, clock: Clock = now_ms) -> None:
        self.clock = clock
        self.brokers: dict[int, tuple[BrokerRow, int]] = {}
        """With the time of the last heartbeat."""
        self.leases: dict[str, tuple[str, int, int]] = {}
        """Owner, epoch, and when it is over."""
        self.cluster_id = cluster_id
        self.created_ms = created_ms
        self.features: dict[str, int] = {}
        self.incarnations: dict[int, int] = {}
        self.entities: dict[tuple[str, str], dict[str, str]] = {}
        self.metadata_version = 1
        self.metadata_floor = 0
        self.entity_version = 0
        self.next_producer_id = 0
        self.next_blob_block = 1
        self.next_partition_id = 1
        self.topics: dict[bytes, MemoryTopic] = {}
        self.partitions: dict[int, PartitionRow] = {}
        self.journal: dict[int, int] = {}
        self.extents: dict[int, list[Extent]] = {}
        self.cleaned: dict[int, int] = {}
        self.snapshots: dict[int, tuple[int, bytes]] = {}
        self.blobs: dict[int, BlobRow] = {}
        self.inline: dict[int, tuple[int, bytes]] = {}
        self.group_offsets: dict[str, dict[tuple[bytes, int], OffsetRow]] = {}
        self.txns: dict[str, TxnRow] = {}
        self.txn_partitions: dict[str, set[int]] = {}
        self.txn_offsets: dict[str, dict[OffsetKey, OffsetRow]] = {}
        # how many extents name a blob: without an entry, none
        self.live: dict[int, int] = {}
        self.inline_live: dict[int, int] = {}

    def raise_version(self) -> int:
        """Topics, partitions, configs or entities change."""
        self.metadata_version += 1
        return self.metadata_version

    def count(self, extents: Iterable[Extent], change: int) -> None:
        """Extents came (1) or went (-1); inline bytes go with the last one that names them."""
        for extent in extents:
            inline = extent.kind == KIND_INLINE
            live = self.inline_live if inline else self.live
            left = live.get(extent.blob_id, 0) + change
            if left:
                live[extent.blob_id] = left
            else:
                live.pop(extent.blob_id, None)
                if inline:
                    self.inline.pop(extent.blob_id, None)


def copy_partition(row: PartitionRow) -> PartitionRow:
    """A partition's row changes with each append; who reads it gets a copy."""
    return PartitionRow(*(getattr(row, name) for name in PARTITION_FIELDS))


PARTITION_FIELDS = (
    "partition_id",
    "topic_id",
    "partition_index",
    "alive",
    "end_offset",
    "log_start_offset",
    "leader_epoch",
    "max_timestamp",
    "bytes_total",
)
"""In the order of `PartitionRow.__init__`."""
