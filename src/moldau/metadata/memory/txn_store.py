"""`TxnStore` in memory."""

from __future__ import annotations

from ..errors import LeaseLost
from ..markers import Markers
from ..own_blob_ids import OwnBlobIds
from ..rows import Extent, PartitionRow
from ..rows_groups import OffsetKey
from ..rows_txn import ONGOING, PREPARED, Changed, Decide, End, TxnChange, TxnDescription, TxnRow
from .cluster_store import MemoryClusterStore
from .lease_store import holds
from .state import MemoryState


class MemoryTxnStore:
    """See `moldau.metadata.ports_txn.TxnStore`."""

    def __init__(self, state: MemoryState, cluster: MemoryClusterStore) -> None:
        """`cluster` gives ids for the blobs of markers."""
        self._state = state
        self._ids = OwnBlobIds(cluster.reserve_blob_block)

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        blob_id = await self._ids.take()
        state = self._state
        row = state.txns.get(transactional_id)
        now = state.clock()
        change = decide(row, frozenset(state.txn_partitions.get(transactional_id, ())), now)
        if change is None:
            return Changed(row, [])
        if change.guard is not None and not holds(state, change.guard):
            raise LeaseLost(*change.guard)
        if change.row is None:
            state.txns.pop(transactional_id, None)
            self._forget(transactional_id)
            return Changed(None, [])
        state.txns[transactional_id] = change.row
        self._take_part(transactional_id, change)
        if change.end is None:
            return Changed(change.row, [])
        extents = self._end(transactional_id, change.end, Markers(change.end, blob_id, now))
        self._forget(transactional_id)
        return Changed(change.row, extents)

    def _take_part(self, transactional_id: str, change: TxnChange) -> None:
        if change.partition_ids:
            self._state.txn_partitions.setdefault(transactional_id, set()).update(change.partition_ids)
        if change.offsets:
            offsets = self._state.txn_offsets.setdefault(transactional_id, {})
            offsets.update({row.key: row for row in change.offsets})

    def _forget(self, transactional_id: str) -> None:
        self._state.txn_partitions.pop(transactional_id, None)
        self._state.txn_offsets.pop(transactional_id, None)

    def _end(self, transactional_id: str, end: End, markers: Markers) -> list[Extent]:
        state = self._state
        rows = self._alive(transactional_id)
        extents = markers.extents([(r.partition_id, r.end_offset, r.leader_epoch, r.max_timestamp) for r in rows])
        for row, extent in zip(rows, extents, strict=True):
            row.end_offset += 1
            row.bytes_total += extent.length
            row.max_timestamp = extent.running_max_timestamp
            state.extents.setdefault(row.partition_id, []).append(extent)
        if extents:
            state.inline[markers.blob_id] = (markers.now, markers.data(extents))
            state.count(extents, 1)
        if end.commit:
            for each in state.txn_offsets.get(transactional_id, {}).values():
                topic = state.topics.get(each.topic_id)
                if topic is not None and topic.alive:
                    state.group_offsets.setdefault(each.group, {})[each.topic_id, each.partition] = each
        return extents

    def _alive(self, transactional_id: str) -> list[PartitionRow]:
        rows = [self._state.partitions.get(p) for p in sorted(self._state.txn_partitions.get(transactional_id, ()))]
        return [row for row in rows if row is not None and row.alive]

    async def load(self, transactional_id: str) -> TxnDescription | None:
        row = self._state.txns.get(transactional_id)
        if row is None:
            return None
        partitions = sorted((each.topic_id, each.partition_index) for each in self._alive(transactional_id))
        return TxnDescription(row, partitions)

    async def all(self, after: str, limit: int) -> list[TxnRow]:
        return [row for key, row in sorted(self._state.txns.items()) if key > after][:limit]

    async def overdue(self, limit: int) -> list[TxnRow]:
        now = self._state.clock()
        rows = sorted(self._state.txns.values())
        return [row for row in rows if row.state == ONGOING and row.started_ms + row.timeout_ms < now][:limit]

    async def idle(self, before: int, limit: int) -> list[TxnRow]:
        rows = sorted(self._state.txns.values())
        return [row for row in rows if row.state not in (ONGOING, PREPARED) and row.updated_ms < before][:limit]

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        return pending_offsets(self._state, group_id, keys)


def pending_offsets(state: MemoryState, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
    """Sorted."""
    pending = {key for offsets in state.txn_offsets.values() for key in offsets if key.group == group_id}
    if keys is not None:
        pending &= {OffsetKey(group_id, *key) for key in keys}
    return sorted(pending)
