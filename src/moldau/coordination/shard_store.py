"""A `GroupStore` for the groups of one shard: every write carries the shard's lease, and nothing of other shards is seen."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from moldau.metadata.errors import LeaseLost
from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

from .ports import GroupStore

SHARDS = 50
"""As many as Kafka's `offsets.topic.num.partitions` by default. Part of the format: another number is another home for every group."""


def shard_of(group_id: str) -> int:
    """The shard that a group belongs to."""
    return zlib.crc32(group_id.encode()) % SHARDS


def lease_of(shard: int) -> str:
    """The name of the shard's lease."""
    return f"groups/{shard}"


class ShardStore:
    """See `moldau.coordination.ports.GroupStore`. `lost` is called once the store says that the lease is another's."""

    def __init__(self, store: GroupStore, shard: int, epoch: int, lost: Callable[[], None]) -> None:
        self._store = store
        self._shard = shard
        self.guard = Guard(lease_of(shard), epoch)
        self._lost = lost

    async def load_groups(self, wanted: Callable[[str], bool] | None = None) -> list[GroupRecord]:
        return await self._store.load_groups(
            lambda group: shard_of(group) == self._shard and (wanted is None or wanted(group))
        )

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        try:
            await self._store.write(records, offsets, deleted_offsets, guard or self.guard)
        except LeaseLost:
            self._lost()
            raise

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        return await self._store.fetch_offsets(group, keys)

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        return await self._store.fetch_offsets_and_pending(group, keys)

    async def list_expirable(
        self, now: int, committed_before: int, after: OffsetKey | None, limit: int
    ) -> list[OffsetRow]:
        """Pages of other shards are passed over: an empty answer is the end."""
        while True:
            rows = await self._store.list_expirable(now, committed_before, after, limit)
            mine = [row for row in rows if shard_of(row.group) == self._shard]
            if mine or not rows:
                return mine
            after = rows[-1].key

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        return await self._store.groups_with_offsets(groups)

    async def offsets_of_topics(self, topic_ids: list[bytes], limit: int) -> list[OffsetKey]:
        return await self._store.offsets_of_topics(topic_ids, limit)
