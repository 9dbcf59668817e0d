"""The ports of the metadata store, one small protocol per user.

Every implementation passes the suites in `tests/contract`. Rules that hold for all of them:

- what a method wrote is durable when it returns (but for `AppendCommit.durable` False), and seen by every later read;
- a method either did all it says or raised and did nothing; after a lost reply the caller asks again and finds out by
reading;
- reads never wait for writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from .rows import (
    Altered,
    AlteredFeatures,
    AppendCommit,
    AppendResult,
    Assigned,
    Beat,
    BlobRow,
    BrokerRow,
    Changes,
    ClusterRow,
    Extent,
    InlineBlob,
    Lease,
    LockedPartition,
    PartitionHead,
    PartitionRow,
    PartitionSeen,
    PartitionState,
    TopicRow,
)
from .rows_txn import TxnGuard

LOCKED_EXTENTS_MAX = 1000
"""Of one partition, in what `Decide` gets. Who is further behind has to catch up otherwise first."""

Decide = Callable[[list[LockedPartition]], AppendCommit]
"""Pure: what to commit, given the partitions as they are under their locks, in the order of ids. It may be called again, with newer rows, and
on a thread of the store's own.
"""

AppendDone = Callable[[list[AppendResult] | None, Exception | None], None]
"""Called once, on the event loop's thread: results in the order of the entries, or the error."""

ApplyDone = Callable[[list[Extent] | None, Exception | None], None]
"""Called once, on the event loop's thread: extents that stand for several entries each, or the error."""


ConfigChange = Callable[[Mapping[str, str]], dict[str, str]]
"""Configs as they are to configs as they shall be. Pure, quick, and it may be called twice, on any thread. What it raises comes out."""


FeatureChange = Callable[[dict[str, int], list[BrokerRow]], dict[str, int]]
"""The stored levels of features, and every registered broker, to the levels as they shall be. As `ConfigChange` otherwise."""


class AppendStore(Protocol):
    """The sequencing commit of `moldau.log.shared_appender`."""

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        """Commit a flush as one transaction. `done` may be called before this returns (a small commit runs at once)."""
        ...

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Decide, guards: tuple[TxnGuard, ...] = ()
    ) -> list[AppendResult]:
        """An append that loses no race: in one durable transaction lock the partitions, let `decide` see where they are, and commit what it
        says. For who has lost a race with `append`, which would starve one of two brokers at a hot partition.

        `known` has the partitions and the end that the caller knows of each. `blob_id` is the blob that the commit is going to name, -1 if it
        carries its bytes; it must, because blobs are locked before partitions. So are transactions: `guards` has all that the commit may name. A commit without entries writes nothing. The answer is the
        results in the order of the entries. After a lost reply the store finds out what became of the commit, as for `append`, and if it
        did not happen asks `decide` again: the last commit that it gave is the one that the answer is about.

        The caller has no other commit for these partitions under way. Raises StoreError; the outcome of StoreUnavailable is in doubt.
        """
        ...


class JournalStore(Protocol):
    """Rows that follow what a journal has made final (`moldau.log.journal`)."""

    def apply(self, commits: list[AppendCommit], done: ApplyDone, blob_ids: Sequence[int] = ()) -> None:
        """Write the rows of all commits and of their notes, and that each blob is applied up to where they end, in one transaction.

        Their bytes are in blobs (`inline` is None). It waits for no sync: a later durable commit, or a checkpoint, makes it durable.
        Partitions that are gone are left out, and entries that are there already (after a lost reply all is given again). The error is
        StoreCorrupt when an entry does not begin where its partition ends.

        With `blob_ids` that nobody else uses, neighbours that have their bytes (`AppendEntry.data`) may become one extent of inline bytes: the answer is
        those that were made.
        """
        ...

    async def applied_to(self, blob_id: int) -> int:
        """The position up to which that blob is applied; 0 when nothing of it is, or when it is sealed."""
        ...


class LogStore(Protocol):
    """Extents and ends of partitions: what `log/` reads while it serves."""

    async def load_partition(self, partition_id: int) -> PartitionState | None:
        """Row, newest snapshot and the extents after it; None when the partition is gone."""
        ...

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        """At most `limit` extents with `last_offset >= offset`, in order."""
        ...

    async def extents_before(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        """At most `limit` extents with `last_offset < offset`, the nearest ones, in order."""
        ...

    async def extent_by_time(self, partition_id: int, timestamp: int) -> Extent | None:
        """The first extent whose `running_max_timestamp >= timestamp`."""
        ...

    async def extent_after_epoch(self, partition_id: int, epoch: int) -> Extent | None:
        """The first extent of a later leader epoch."""
        ...

    async def read_inline(self, blob_id: int) -> bytes | None:
        """The bytes of an inline flush; None when maintenance has moved them."""
        ...

    async def raise_log_start(self, partition_id: int, offset: int) -> tuple[int, int] | None:
        """Move the log start up to `offset` (-1: the end), never down, never beyond the end.

        Returns (log_start_offset, end_offset) as they now are, or None when the partition is gone.
        """
        ...

    async def changed(self, seen: list[PartitionSeen]) -> list[PartitionRow]:
        """The rows of those that are not as seen, dead ones with `alive` False; in one statement, in the order of ids.

        What no extent tells reaches idle views so: log starts, deaths, leader epochs, and ends that others moved.
        """
        ...

    async def register_blob(self, blob: BlobRow) -> None:
        """Make the blob known before any extent names it."""
        ...


class MaintenanceStore(Protocol):
    """What the maintenance jobs need beyond `LogStore`. Every change is capped and idempotent.

    Bytes are counted: a blob knows how many extents name it (`live`), and what replaces or deletes extents takes its count
    off in the same transaction. So garbage is found without a look at the extents that remain.
    """

    async def replace_extents(
        self,
        partition_id: int,
        old: list[Extent],
        new: list[Extent],
        blob: BlobRow | None,
        inline: InlineBlob | None = None,
    ) -> None:
        """Swap rows that were read for rows that hold the same batches. Raises Conflict when one of `old` is not there
        as read, StoreCorrupt when a row or blob of `new` is there already.

        `blob` is where the bytes of `new` are, `inline` is them. Inline bytes that only `old` named are gone with it.
        """
        ...

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        """Delete exactly these rows (Conflict otherwise) and take their bytes off the partition's total."""
        ...

    async def inline_run(self, partition_id: int, first: int, last: int) -> dict[int, bytes]:
        """The bytes of the inline extents that end in [first, last], by their last offsets, in one query."""
        ...

    async def partition_heads(self, after: int, limit: int) -> list[PartitionHead]:
        """At most `limit` living partitions that have extents, with ids above `after`, in order, each with its first
        extent. Retention asks this of all partitions; it costs a seek each and no view.
        """
        ...

    async def small_extents(self, small_bytes: int, after: int, limit: int) -> list[tuple[int, int]]:
        """(partition id, offset) of at most `limit` living partitions with ids above `after`, in order: below the
        offset no extent is shorter than `small_bytes`. One pass over the extents; asked once, at the start.
        """
        ...

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        """Keep `packed`, the fold of everything below `offset`; older snapshots of the partition go."""
        ...

    async def cleaned_to(self, partition_id: int) -> int:
        """The offset below which compaction has left each key at most once; 0 when none has been here."""
        ...

    async def set_cleaned_to(self, partition_id: int, offset: int) -> None:
        """It never goes down; the dead get none."""
        ...

    async def dead_partitions(self, limit: int) -> list[int]:
        """Partitions of deleted topics that still have rows."""
        ...

    async def purge_partition(self, partition_id: int, limit: int) -> bool:
        """Delete at most `limit` extents of a dead partition; True when nothing of it is left."""
        ...

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        """Mark sealed blobs older than `min_age_ms` that no extent names; returns their ids. Costs what it finds."""
        ...

    async def doom_orphans(self, blob_ids: list[int], now: int) -> list[int]:
        """Give stored blobs that no row knows a row, doomed at `now`, so that no commit can name them any more. Returns
        those that had none.
        """
        ...

    async def doomed_blobs(self, before: int, limit: int, wal_before: int = 0) -> list[BlobRow]:
        """Blobs doomed before that time, write-ahead ones also if before `wal_before`: their bytes may go."""
        ...

    async def forget_blobs(self, blob_ids: list[int]) -> None:
        """Their bytes are gone; drop the rows."""
        ...

    async def seal_blob(self, blob_id: int, size: int) -> None:
        """No commit will refer to bytes beyond `size` any more."""
        ...

    async def blobs(self) -> list[BlobRow]:
        """All rows, for recovery, `inspect` and orphan collection."""
        ...

    async def blob_ends(self) -> dict[int, int]:
        """For each blob that extents name: the end of the furthest range."""
        ...

    async def live_counts(self) -> list[tuple[int, bool, int, int]]:
        """(blob id, inline, extents it is counted with, extents that name it) where the two differ, for `inspect`."""
        ...


class RecoveryStore(Protocol):
    """What a start after an unclean stop needs, and bringing back a copy. Nobody serves meanwhile."""

    async def raise_leader_epochs(self, by: int) -> None:
        """Of every partition that is alive: the log may have gone back, and clients are to find that out (KIP-320)."""
        ...

    async def went_back(self) -> None:
        """The store is an older state of itself: raise epochs and skip ids that may have been given out since."""
        ...


class CatalogStore(Protocol):
    """What brokers that share the store follow each other by: one number that rises with each change of topics, partitions
    (growth), configs and entities, in the change's own transaction. Versions are committed in their order.
    """

    async def version(self) -> int:
        """Now; one small query."""
        ...

    async def changes(self, since: int) -> Changes:
        """After that version, on one snapshot; everything for -1. Costs what changed."""
        ...


class TopicStore(Protocol):
    """Topics, their partitions and configs. Each change raises the metadata version."""

    async def load_topics(self) -> list[TopicRow]:
        """All that are alive."""
        ...

    async def create_topic(
        self,
        topic_id: bytes,
        name: str,
        partitions: int,
        configs: dict[str, str],
        now: int,
        replication_factor: int = 1,
        assigned: Assigned | None = None,
    ) -> TopicRow:
        """Raises TopicExists."""
        ...

    async def delete_topic(self, topic_id: bytes, now: int) -> int:
        """Name and id are free at once, rows go later. Returns the metadata version. Raises TopicMissing."""
        ...

    async def add_partitions(self, topic_id: bytes, total: int, assigned: Assigned | None = None) -> TopicRow:
        """Grow to `total` partitions (no change when it has as many); of `assigned` what is new is kept. Raises TopicMissing."""
        ...

    async def assign_partitions(self, topic_id: bytes, assigned: Assigned) -> TopicRow:
        """From now on these partitions are on those brokers; what the topic does not have is left out. Raises TopicMissing."""
        ...

    async def alter_topic_configs(self, topic_id: bytes, change: ConfigChange) -> Altered:
        """Replace the overrides by what `change` makes of them; nobody else changes them meanwhile. Raises TopicMissing."""
        ...


class ClusterStore(Protocol):
    """The cluster itself, brokers, producer ids, and entities with configs."""

    async def load_cluster(self) -> ClusterRow: ...

    async def alter_features(self, change: FeatureChange) -> AlteredFeatures:
        """Replace the stored levels of features by what `change` makes of them. A broker that registers meanwhile is either seen by `change`, or
        finds the new levels when it then loads the cluster. Raises the metadata version; and what `change` raises, when nothing is changed.
        """
        ...

    async def start_broker(
        self, node_id: int, rack: str | None, listeners: str, release: str, now: int, features: str = ""
    ) -> int:
        """Register the broker; returns its new incarnation (1, 2, ...), never given twice for a node id."""
        ...

    async def heartbeat(self, node_id: int, incarnation: int) -> Beat:
        """Say that it is alive; learn who else is, and whether topics or configs have changed. Raises BrokerFenced."""
        ...

    async def set_draining(self, node_id: int, incarnation: int, draining: bool) -> None:
        """It wants to leave: others take over what it leads. Raises BrokerFenced."""
        ...

    async def forget_broker(self, node_id: int) -> None:
        """Registered no more; should it still run, its next heartbeat is refused."""
        ...

    async def load_brokers(self) -> list[BrokerRow]:
        """Every registered broker."""
        ...

    async def reserve_producer_ids(self, count: int) -> int:
        """The first of `count` consecutive ids that nobody else gets."""
        ...

    async def reserve_blob_block(self) -> int:
        """The number (1, 2, ...) of a block of 2^32 blob ids that nobody else gets."""
        ...

    async def load_entities(self) -> list[tuple[str, str, dict[str, str]]]:
        """(kind, name, configs) of everything that is not a topic: kinds are broker, group, client-metrics..."""
        ...

    async def alter_entity(self, kind: str, name: str, change: ConfigChange) -> Altered:
        """Replace the configs of an entity by what `change` makes of them; an empty dict removes it. Raises the metadata version."""
        ...


class LeaseStore(Protocol):
    """What must have one home. An owner is "node id:incarnation". The store's clock decides when a lease is over.

    An epoch rises whenever the owner changes (a lease that was released has none), never on renewal. Who holds a lease stops acting before it runs
    out by a clock of its own, counted from before the last renewal was sent; and every write made under it carries a `Guard`.
    """

    async def acquire(self, name: str, owner: str, ttl_ms: int, dead: str = "") -> Lease:
        """Take it, or hold it for longer; or learn who has it: compare `owner`.

        It is taken from the owner `dead` at once. Should that one live after all, its guarded writes are refused.
        """
        ...

    async def renew(self, owner: str, names: list[str], ttl_ms: int) -> set[str]:
        """Hold them for longer; returns those that nobody else has taken."""
        ...

    async def release(self, owner: str, names: list[str]) -> None:
        """Give up those that it holds: they are free at once, and writes guarded by them are refused."""
        ...

    async def holders(self, prefix: str) -> list[Lease]:
        """All leases that are held now and whose names begin so, in the order of names."""
        ...
