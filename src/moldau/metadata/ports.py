"""The ports of the metadata store, one small protocol per user.

Every implementation passes the suites in `tests/contract`. Rules that hold for all of them:

- what a method wrote is durable when it returns (but for `AppendCommit.durable` False), and seen by every later read;
- a method either did all it says or raised and did nothing; after a lost reply the caller asks again and finds out by
reading;
- reads never wait for writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .rows import AppendCommit, AppendResult, BlobRow, ClusterRow, Extent, PartitionState, TopicRow

AppendDone = Callable[[list[AppendResult] | None, Exception | None], None]
"""Called once, on the event loop's thread: results in the order of the entries, or the error."""


class LogStore(Protocol):
    """Extents and ends of partitions: what `log/` needs while it serves."""

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        """Commit a flush as one transaction. `done` may be called before this returns (a small commit runs at once)."""
        ...

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

    async def register_blob(self, blob: BlobRow) -> None:
        """Make the blob known before any extent names it."""
        ...


class MaintenanceStore(Protocol):
    """What the maintenance jobs need beyond `LogStore`. Every change is capped and idempotent."""

    async def replace_extents(
        self, partition_id: int, old: list[Extent], new: list[Extent], blob: BlobRow | None
    ) -> None:
        """Swap rows that were read for rows that hold the same batches. Raises Conflict when one of `old` is not there
        as read.
        """
        ...

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        """Delete exactly these rows (Conflict otherwise) and take their bytes off the partition's total."""
        ...

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        """Keep `packed`, the fold of everything below `offset`; older snapshots of the partition go."""
        ...

    async def dead_partitions(self, limit: int) -> list[int]:
        """Partitions of deleted topics that still have rows."""
        ...

    async def purge_partition(self, partition_id: int, limit: int) -> bool:
        """Delete at most `limit` extents of a dead partition; True when nothing of it is left."""
        ...

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        """Mark sealed blobs older than `min_age_ms` that no extent names; returns their ids. Inline blobs are simply
        deleted.
        """
        ...

    async def doomed_blobs(self, before: int, limit: int) -> list[BlobRow]:
        """Blobs doomed before that time: their bytes may go."""
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


class RecoveryStore(Protocol):
    """What a start after an unclean stop needs, and bringing back a copy. Nobody serves meanwhile."""

    async def synced_end(self, blob_id: int) -> int:
        """The furthest byte of the blob that a durable commit names: the file was synced up to there at least."""
        ...

    async def unsynced_extents(self, blob_id: int) -> list[Extent]:
        """Extents of commits that were not durable and lie at or beyond `synced_end`, by position."""
        ...

    async def drop_tails(self, cuts: dict[int, int]) -> dict[int, int]:
        """Cut partitions off, each at an offset where an extent begins; returns how many records of each went.

        Raises StoreCorrupt, and cuts none, when that would take away what must not be lost: a durable commit, or what the
        log start or a snapshot was moved to.
        """
        ...

    async def raise_leader_epochs(self, by: int) -> None:
        """Of every partition that is alive: the log may have gone back, and clients are to find that out (KIP-320)."""
        ...

    async def went_back(self) -> None:
        """The store is an older state of itself: raise epochs and skip ids that may have been given out since."""
        ...


class TopicStore(Protocol):
    """Topics, their partitions and configs."""

    async def load_topics(self) -> list[TopicRow]:
        """All that are alive."""
        ...

    async def create_topic(
        self, topic_id: bytes, name: str, partitions: int, configs: dict[str, str], now: int
    ) -> TopicRow:
        """Raises TopicExists."""
        ...

    async def delete_topic(self, topic_id: bytes, now: int) -> None:
        """Name and id are free at once, rows go later. Raises TopicMissing."""
        ...

    async def add_partitions(self, topic_id: bytes, total: int) -> TopicRow:
        """Grow to `total` partitions (no change when it has as many). Raises TopicMissing."""
        ...

    async def set_topic_configs(self, topic_id: bytes, configs: dict[str, str]) -> None:
        """Replace the overrides. Raises TopicMissing."""
        ...


class ClusterStore(Protocol):
    """The cluster itself, brokers, producer ids, and entities with configs."""

    async def load_cluster(self) -> ClusterRow: ...

    async def set_feature(self, name: str, level: int) -> None:
        """Level 0 removes the feature."""
        ...

    async def start_broker(self, node_id: int, rack: str | None, listeners: str, release: str, now: int) -> int:
        """Write the broker's row; returns its new incarnation (1, 2, ...), never given twice for a node id."""
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

    async def set_entity(self, kind: str, name: str, configs: dict[str, str]) -> None:
        """Replace the configs of an entity; an empty dict removes it."""
        ...
