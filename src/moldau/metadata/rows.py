"""The rows of the metadata store as values: what the ports take and give.

Plain classes with slots: millions of extents pass through here, and a broker that starts must not pay for class
machinery. Offsets, ids and times are ints; times are milliseconds since the epoch; ids of topics are 16 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .commit_notes import CommitNote
    from .notes import Note
    from .rows_txn import TxnGuard

KIND_WAL = 0
"""The extent's bytes are a range of a write-ahead blob that many partitions share."""
KIND_INLINE = 1
"""The extent's bytes rode in the commit itself; the store keeps them in a table until maintenance moves them."""
KIND_SEGMENT = 2
"""The extent's bytes are a segment blob of this one partition, with final offsets and indexes."""


class _Row:
    """Equality and repr by slots, for tests and for logs."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    def __hash__(self) -> int:
        return hash(tuple(repr(getattr(self, name)) for name in self.__slots__))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self.__slots__)})"


class Extent(_Row):
    """A run of consecutive batches of one partition inside one blob.

    `fold` says what the batches meant to producers (see `moldau.log.fold`); it is empty where no batch was idempotent.
    `running_max_timestamp` is the largest timestamp of this and every earlier extent, which makes look-up by time a
    bisection.
    """

    __slots__ = (
        "appended_at",
        "base_offset",
        "blob_id",
        "fold",
        "kind",
        "last_offset",
        "leader_epoch",
        "length",
        "max_timestamp",
        "partition_id",
        "position",
        "records",
        "running_max_timestamp",
    )

    def __init__(
        self,
        partition_id: int,
        base_offset: int,
        last_offset: int,
        blob_id: int,
        position: int,
        length: int,
        max_timestamp: int,
        running_max_timestamp: int,
        records: int,
        leader_epoch: int,
        kind: int,
        appended_at: int,
        fold: bytes = b"",
    ) -> None:
        self.partition_id = partition_id
        self.base_offset = base_offset
        self.last_offset = last_offset
        self.blob_id = blob_id
        self.position = position
        self.length = length
        self.max_timestamp = max_timestamp
        self.running_max_timestamp = running_max_timestamp
        self.records = records
        self.leader_epoch = leader_epoch
        self.kind = kind
        self.appended_at = appended_at
        self.fold = fold


class PartitionRow(_Row):
    """The hot row of a partition: `end_offset` is where the next batch goes, and the version of every append."""

    __slots__ = (
        "alive",
        "bytes_total",
        "end_offset",
        "leader_epoch",
        "log_start_offset",
        "max_timestamp",
        "partition_id",
        "partition_index",
        "topic_id",
    )

    def __init__(
        self,
        partition_id: int,
        topic_id: bytes,
        partition_index: int,
        alive: bool = True,
        end_offset: int = 0,
        log_start_offset: int = 0,
        leader_epoch: int = 0,
        max_timestamp: int = -1,
        bytes_total: int = 0,
    ) -> None:
        self.partition_id = partition_id
        self.topic_id = topic_id
        self.partition_index = partition_index
        self.alive = alive
        self.end_offset = end_offset
        self.log_start_offset = log_start_offset
        self.leader_epoch = leader_epoch
        self.max_timestamp = max_timestamp
        self.bytes_total = bytes_total


def purged_row(partition_id: int) -> PartitionRow:
    """In place of a row that is not there any more."""
    return PartitionRow(partition_id, bytes(16), -1, False)


Assigned = dict[int, list[int]]
"""Of partitions that were assigned by hand: the index, and the node ids in their order."""


class TopicRow(_Row):
    """A topic that is alive, with its partitions sorted by index. `configs` are the overrides only; `version` is the metadata
    version of its last change.
    """

    __slots__ = ("assigned", "configs", "created_ms", "name", "partitions", "replication_factor", "topic_id", "version")

    def __init__(
        self,
        topic_id: bytes,
        name: str,
        configs: dict[str, str],
        created_ms: int,
        partitions: list[PartitionRow],
        replication_factor: int = 1,
        version: int = 0,
        assigned: Assigned | None = None,
    ) -> None:
        self.topic_id = topic_id
        self.name = name
        self.assigned: Assigned = dict(assigned or {})
        self.configs = configs
        self.created_ms = created_ms
        self.partitions = partitions
        self.replication_factor = replication_factor
        self.version = version


class BlobRow(_Row):
    """A stored blob. `size` is what commits may refer to once the blob is sealed, -1 while it still grows."""

    __slots__ = ("blob_id", "created_ms", "doomed_ms", "kind", "size")

    def __init__(self, blob_id: int, kind: int, size: int, created_ms: int, doomed_ms: int = -1) -> None:
        self.blob_id = blob_id
        self.kind = kind
        self.size = size
        self.created_ms = created_ms
        self.doomed_ms = doomed_ms


class InlineBlob(_Row):
    """Bytes that the metadata store keeps itself."""

    __slots__ = ("blob_id", "created_ms", "data")

    def __init__(self, blob_id: int, data: bytes, created_ms: int) -> None:
        self.blob_id = blob_id
        self.data = data
        self.created_ms = created_ms


class PartitionHead(_Row):
    """A partition's row and its first extent, as far as retention has to know them. `bytes_total` counts all extents."""

    __slots__ = (
        "appended_at",
        "bytes_total",
        "last_offset",
        "length",
        "log_start_offset",
        "max_timestamp",
        "partition_id",
        "topic_id",
    )

    def __init__(
        self,
        partition_id: int,
        topic_id: bytes,
        log_start_offset: int,
        bytes_total: int,
        last_offset: int,
        length: int,
        max_timestamp: int,
        appended_at: int,
    ) -> None:
        self.partition_id = partition_id
        self.topic_id = topic_id
        self.log_start_offset = log_start_offset
        self.bytes_total = bytes_total
        self.last_offset = last_offset
        self.length = length
        self.max_timestamp = max_timestamp
        self.appended_at = appended_at


class AppendEntry(_Row):
    """One partition's part of an append commit. `expected_end` is both the guess of the base offset and the version
    read. Of a journal's section `data` may be its bytes, where they are few.
    """

    __slots__ = ("data", "expected_end", "fold", "length", "max_timestamp", "partition_id", "position", "records")

    def __init__(
        self,
        partition_id: int,
        expected_end: int,
        records: int,
        position: int,
        length: int,
        max_timestamp: int,
        fold: bytes = b"",
        data: bytes | bytearray | memoryview | None = None,
    ) -> None:
        self.partition_id = partition_id
        self.data = data
        self.expected_end = expected_end
        self.records = records
        self.position = position
        self.length = length
        self.max_timestamp = max_timestamp
        self.fold = fold


class AppendCommit(_Row):
    """One flush: the bytes are in blob `blob_id` already (`inline` is None) or travel with the commit as `inline`.

    `records` of an entry is the number of *offsets* it takes. `durable` False (acks=1 only) lets an embedded store skip
    the sync of this commit; a later durable commit makes it durable too. `new_blob_bytes` is for a blob that was put whole and that no row
    knows yet: the commit makes it known, sealed at that size. `guards` are of entries that open a transaction (any number of one
    partition): each must hold, or nothing of that partition is written. Of a journal's section `notes` are what else stands in it,
    `applied_to` is where it ends (-1: with the last entry), and `notes_weight` what it costs to have the notes wait for their rows, in extents.
    """

    __slots__ = (
        "applied_to",
        "blob_id",
        "durable",
        "entries",
        "guards",
        "inline",
        "new_blob_bytes",
        "notes",
        "notes_weight",
        "now",
    )

    def __init__(
        self,
        blob_id: int,
        entries: list[AppendEntry],
        inline: bytes | None,
        durable: bool,
        now: int,
        new_blob_bytes: int = -1,
        guards: tuple[TxnGuard, ...] = (),
        notes: Sequence[Note | CommitNote] = (),
        applied_to: int = -1,
        notes_weight: int = 0,
    ) -> None:
        self.blob_id = blob_id
        self.entries = entries
        self.guards = guards
        self.inline = inline
        self.durable = durable
        self.now = now
        self.new_blob_bytes = new_blob_bytes
        self.notes = notes
        self.applied_to = applied_to
        self.notes_weight = notes_weight

    @property
    def end(self) -> int:
        """Where its bytes end in the blob."""
        if self.applied_to >= 0:
            return self.applied_to
        last = self.entries[-1]
        return last.position + last.length


def applied_ends(commits: list[AppendCommit]) -> dict[int, int]:
    """Blob id to the end of the last byte that the commits name in it."""
    ends: dict[int, int] = {}
    for commit in commits:
        ends[commit.blob_id] = max(commit.end, ends.get(commit.blob_id, 0))
    return ends


APPENDED = 0
"""The entry was committed; `offset` is its base offset."""
MOVED = 1
"""The partition's end is not the expected one; `offset` is the true end. Nothing of this entry was written."""
GONE = 2
"""The partition was deleted."""
BLOB_GONE = 3
"""The blob is doomed, or no row knows it: its bytes may be deleted, and must be stored again under another id."""
TXN_OVER = 4
"""The transaction that the entry opens in the partition is over, or was never told of the partition. Nothing of this entry was written."""


class AppendResult(_Row):
    """The answer to one entry, in the order of the entries."""

    __slots__ = ("leader_epoch", "offset", "running_max_timestamp", "status")

    def __init__(self, status: int, offset: int, leader_epoch: int = 0, running_max_timestamp: int = -1) -> None:
        self.status = status
        self.offset = offset
        self.leader_epoch = leader_epoch
        self.running_max_timestamp = running_max_timestamp


class PartitionState(_Row):
    """What a view is built from: the row, the newest snapshot (or none), and every extent that ends at or after it."""

    __slots__ = ("extents", "row", "snapshot", "snapshot_offset")

    def __init__(self, row: PartitionRow, snapshot_offset: int, snapshot: bytes, extents: list[Extent]) -> None:
        self.row = row
        self.snapshot_offset = snapshot_offset
        self.snapshot = snapshot
        self.extents = extents


class LockedPartition(NamedTuple):
    """A partition's row under its lock (`alive` False when it is gone), and the first extents from the end on that its caller knew."""

    row: PartitionRow
    extents: list[Extent]


LOCKED_NOTHING = LockedPartition(PartitionRow(-1, bytes(16), -1, False), [])
"""Of partitions that nobody has locked."""


class PartitionSeen(NamedTuple):
    """What a broker believes of a partition it holds a view of."""

    partition_id: int
    end_offset: int
    log_start_offset: int
    leader_epoch: int

    def is_news(self, row: PartitionRow) -> bool:
        """Whether the row says anything else, or that the partition is dead."""
        return not row.alive or (row.end_offset, row.log_start_offset, row.leader_epoch) != self[1:]

    def purged(self) -> PartitionRow:
        """In place of a row that is not there any more."""
        return purged_row(self.partition_id)


class Lease(NamedTuple):
    """Who holds it, since which change of owner (`epoch`), and for how long yet by the store's clock."""

    name: str
    epoch: int
    owner: str
    remaining_ms: int


class Guard(NamedTuple):
    """The lease, and its epoch, that a write is made under."""

    name: str
    epoch: int


class BrokerRow(NamedTuple):
    """A registered broker. `age_ms`: since its last heartbeat, by the store's clock."""

    node_id: int
    incarnation: int
    listeners: str
    rack: str | None
    release: str
    draining: bool
    age_ms: int
    features: str = ""
    """The levels that it can serve; empty where it did not say, and in the answer to a heartbeat."""


class Beat(NamedTuple):
    """The answer to a heartbeat: every registered broker, in the order of ids, and the metadata version."""

    brokers: list[BrokerRow]
    metadata_version: int


class Altered(NamedTuple):
    """Configs as they are after a change, and the metadata version of the change."""

    configs: dict[str, str]
    version: int


class AlteredFeatures(NamedTuple):
    """Levels of features as they are stored after a change, and the metadata version of the change."""

    levels: dict[str, int]
    version: int


class Changes(NamedTuple):
    """What happened to topics and entities between two metadata versions, the later of which is `version`.

    `topics` are alive, and as they are at `version`; `deleted` are ids. With `whole` they are all that there are, for whoever had
    nothing or too little, and `deleted` is empty. `entities` are all of them, (kind, name, configs), or None when none has changed, nor a level of a feature.
    """

    version: int
    whole: bool
    topics: list[TopicRow]
    deleted: list[bytes]
    entities: list[tuple[str, str, dict[str, str]]] | None


class ClusterRow(_Row):
    """The one row that names the cluster. `format_version` is the version of everything persisted beside it."""

    __slots__ = ("cluster_id", "created_ms", "features", "format_version")

    def __init__(self, cluster_id: str, format_version: int, features: dict[str, int], created_ms: int) -> None:
        self.cluster_id = cluster_id
        self.format_version = format_version
        self.features = features
        self.created_ms = created_ms
