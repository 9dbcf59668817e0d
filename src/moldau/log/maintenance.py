"""What keeps the stores small while the broker serves: retention, clean-up of deleted topics, collection of blobs, checkpoints.

Each job is capped, idempotent, and never on the path of an append. Order in each: move the log start first, then delete rows that
readers no longer need, then (much later) the bytes that no row names (invariant 5).
"""

from __future__ import annotations

from moldau.blobs.ports import BlobStore
from moldau.clock import Clock
from moldau.metadata.errors import Conflict
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import Extent

from .view import PartitionView

CHUNK = 500
"""Rows that one transaction deletes at most."""
GARBAGE_AGE_MS = 60_000
"""A blob that no row names is garbage when it is at least this old: longer than any commit takes."""
GRACE_MS = 60_000
"""Between dooming a blob and deleting its bytes: longer than any fetch takes."""


class Retention:
    """`retention.ms` and `retention.bytes` of a partition's topic; -1 means no limit."""

    __slots__ = ("retention_bytes", "retention_ms")

    def __init__(self, retention_ms: int, retention_bytes: int) -> None:
        self.retention_ms = retention_ms
        self.retention_bytes = retention_bytes


def expired_before(extents: list[Extent], total_bytes: int, rule: Retention, now: int) -> int:
    """The offset below which retention lets go, given the oldest extents in order; -1 when nothing goes. Pure.

    By time an extent goes when its newest record is older than `retention_ms`, by size when what remains without it still has at
    least `retention_bytes`; the first extent that stays ends the search.
    """
    offset = -1
    for extent in extents:
        too_old = rule.retention_ms >= 0 and 0 <= extent.max_timestamp < now - rule.retention_ms
        too_many = rule.retention_bytes >= 0 and total_bytes - extent.length >= rule.retention_bytes
        if not too_old and not too_many:
            break
        offset = extent.last_offset + 1
        total_bytes -= extent.length
    return offset


class Maintenance:
    """The jobs; who calls them when is `moldau.broker.upkeep`'s business."""

    def __init__(self, log_store: LogStore, store: MaintenanceStore, blobs: BlobStore, clock: Clock) -> None:
        self._log_store = log_store
        self._store = store
        self._blobs = blobs
        self._clock = clock

    async def retain(self, view: PartitionView, rule: Retention) -> int:
        """Apply retention to one partition; returns by how much the log start moved."""
        before = view.log_start_offset
        oldest = await self._log_store.extents_from(view.partition_id, before, CHUNK)
        offset = expired_before(oldest, view.bytes_total, rule, self._clock())
        if offset > before:
            moved = await self._log_store.raise_log_start(view.partition_id, offset)
            if moved is not None:
                view.raise_log_start(moved[0])
        return view.log_start_offset - before

    async def drop_below_start(self, view: PartitionView) -> int:
        """Delete the rows of extents that lie wholly below the log start; returns how many."""
        gone = 0
        while True:
            below = [
                extent
                for extent in await self._log_store.extents_from(view.partition_id, 0, CHUNK)
                if extent.last_offset < view.log_start_offset
            ]
            if not below:
                return gone
            try:
                await self._store.delete_extents(view.partition_id, below)
            except Conflict:
                return gone  # another job was here; the next round looks again
            view.bytes_total -= sum(extent.length for extent in below)
            gone += len(below)

    async def purge_dead(self) -> int:
        """Delete rows of partitions whose topics are gone, a chunk each; returns how many are done."""
        done = 0
        for partition_id in await self._store.dead_partitions(CHUNK):
            if await self._store.purge_partition(partition_id, CHUNK):
                done += 1
        return done

    async def collect_blobs(self) -> int:
        """Doom blobs that no row names, delete the bytes of those doomed long enough; returns how many were deleted."""
        now = self._clock()
        await self._store.doom_unreferenced(now, GARBAGE_AGE_MS, CHUNK)
        doomed = await self._store.doomed_blobs(now - GRACE_MS, CHUNK)
        for blob in doomed:
            await self._blobs.delete(blob.blob_id)
        if doomed:
            await self._store.forget_blobs([blob.blob_id for blob in doomed])
        return len(doomed)
