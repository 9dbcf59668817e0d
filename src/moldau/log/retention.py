"""Retention: which of a partition's oldest extents go, by time and by size, and the job that lets them go.

Kafka drops whole segments; here an extent (or a segment that was built of some) is what goes as a whole. The order is always the same:
the log start moves first, then rows go in capped chunks, a snapshot being there that covers them, and the bytes go much later
(`moldau.log.collection`). Each step may be the last one before a crash: the next round goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from moldau import faults
from moldau.clock import Clock
from moldau.metadata.errors import Conflict
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import Extent, PartitionHead

from .snapshots import Snapshots
from .views import Views

CHUNK = 500
"""Rows that one transaction deletes at most."""
_HEADS = 500


class Retention:
    """`retention.ms` and `retention.bytes` of a partition's topic; -1 means no limit."""

    __slots__ = ("retention_bytes", "retention_ms")

    def __init__(self, retention_ms: int, retention_bytes: int) -> None:
        self.retention_ms = retention_ms
        self.retention_bytes = retention_bytes


KEEP_ALL = Retention(-1, -1)


def expired(extent: Extent | PartitionHead, total_bytes: int, rule: Retention, now: int) -> bool:
    """Whether the oldest extent of a partition that holds `total_bytes` goes.

    By time it goes when its newest record is older than `retention_ms`; a timestamp in the future keeps it, and what comes after it, until
    its time has come. Without timestamps the time of the append counts. By size it goes when what remains without it still has at
    least `retention_bytes`. Kafka: UnifiedLog.deleteRetentionMsBreachedSegments, deleteRetentionSizeBreachedSegments.
    """
    newest = extent.max_timestamp if extent.max_timestamp >= 0 else extent.appended_at
    if rule.retention_ms >= 0 and newest < now - rule.retention_ms:
        return True
    return rule.retention_bytes >= 0 and total_bytes - extent.length >= rule.retention_bytes


def expired_before(extents: list[Extent], total_bytes: int, rule: Retention, now: int) -> int:
    """The offset below which retention lets go, given the oldest extents in order; -1 when nothing goes. Pure."""
    offset = -1
    for extent in extents:
        if not expired(extent, total_bytes, rule, now):
            break
        offset = extent.last_offset + 1
        total_bytes -= extent.length
    return offset


class Retainer:
    """Retention for all partitions of a store."""

    def __init__(
        self, log_store: LogStore, store: MaintenanceStore, views: Views, snapshots: Snapshots, clock: Clock
    ) -> None:
        self._log_store = log_store
        self._store = store
        self._views = views
        self._snapshots = snapshots
        self._clock = clock

    async def retain_all(self, rule_of: Callable[[bytes], Retention]) -> int:
        """One round over every partition; only those that have something to do cost more than a row. Returns the rows deleted.

        `rule_of` gives the rule of a topic id.
        """
        gone = after = 0
        while True:
            heads = await self._store.partition_heads(after, _HEADS)
            now = self._clock()
            for head in heads:
                rule = rule_of(head.topic_id)
                if head.last_offset < head.log_start_offset or expired(head, head.bytes_total, rule, now):
                    gone += await self.retain(head.partition_id, rule)
            if len(heads) < _HEADS:
                return gone
            after = heads[-1].partition_id
            await asyncio.sleep(0)

    async def retain(self, partition_id: int, rule: Retention) -> int:
        """Apply retention to one partition, to the end as it is now; returns how many rows were deleted."""
        gone = 0
        while True:
            heads = await self._store.partition_heads(partition_id - 1, 1)
            if not heads or heads[0].partition_id != partition_id:
                return gone
            head = heads[0]
            extents = await self._log_store.extents_from(partition_id, 0, CHUNK)
            # rows below the log start went before and count for nothing any more
            below = [extent for extent in extents if extent.last_offset < head.log_start_offset]
            at_end = not below and len(extents) < CHUNK
            if not below:
                offset = expired_before(extents, head.bytes_total, rule, self._clock())
                if offset <= head.log_start_offset:
                    return gone
                faults.hit("log.retention.start")
                moved = await self._log_store.raise_log_start(partition_id, offset)
                if moved is None:
                    return gone
                self._tell(partition_id, moved[0])
                below = [extent for extent in extents if extent.last_offset < moved[0]]
            if not await self._delete(partition_id, below):
                return gone
            gone += len(below)
            if at_end:
                return gone  # what has come meanwhile is for the next round: a busy partition must not keep the others waiting
            await asyncio.sleep(0)

    def _tell(self, partition_id: int, log_start_offset: int) -> None:
        view = self._views.get(partition_id)
        if view is not None:
            view.raise_log_start(log_start_offset)

    async def _delete(self, partition_id: int, below: list[Extent]) -> bool:
        """Delete rows below the log start; False when another job was here, or nothing was given."""
        if not below:
            return False
        end = below[-1].last_offset
        view = self._views.get(partition_id)
        if (view is None or view.snapshot_offset <= end) and await self._snapshots.take(partition_id) <= end:
            return False
        faults.hit("log.retention.delete")
        try:
            await self._store.delete_extents(partition_id, below)
        except Conflict:
            return False  # the next round looks again
        faults.hit("log.retention.deleted")
        view = self._views.get(partition_id)
        if view is not None:
            view.bytes_total -= sum(extent.length for extent in below)
        return True
