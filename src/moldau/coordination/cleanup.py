"""Offsets that are too old go, and groups that have neither members nor offsets (Kafka's cleanupGroupMetadata).

Runs every `offsets.retention.check.interval.ms`. It reads the store in capped chunks, picks the groups that have
something to lose, and then looks at each of them alone, so that no commit comes between reading and deleting.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from moldau.metadata.rows_groups import OffsetKey, OffsetRow

from .events import ExpireOffsets
from .groups import Groups
from .offsets import is_expired
from .runtime import GroupRuntime

if TYPE_CHECKING:
    from .ports import GroupStore

log = logging.getLogger(__name__)

CHUNK = 500


class OffsetCleanup:
    """`topic_name` gives the name of a topic id, or None when there is no such topic (any more).

    `wall_ms` is the time in ms since the epoch: commits and state changes are dated with it.
    """

    def __init__(
        self,
        groups: Groups,
        store: GroupStore,
        runtime: GroupRuntime,
        topic_name: Callable[[bytes], str | None],
        wall_ms: Callable[[], int],
    ) -> None:
        self._groups = groups
        self._store = store
        self._runtime = runtime
        self._topic_name = topic_name
        self._wall_ms = wall_ms

    async def run(self) -> None:
        """One pass over everything."""
        now = self._wall_ms()
        candidates = self._emptied_long_ago(now)
        async for row in self._old_rows(now):
            if row.group not in candidates and self._is_expired(row, now):
                candidates[row.group] = None
        await self._add_those_without_offsets(candidates)
        deleted = 0
        for group_id in candidates:
            deleted += await self._runtime.alone(group_id, partial(self._expire, group_id))
        if candidates:
            log.info("offsets expired groups=%d offsets=%d", len(candidates), deleted)

    async def forget_topics(self, topic_ids: list[bytes]) -> None:
        """Topics were deleted: their offsets go, of whatever group. Groups stay."""
        while keys := await self._store.offsets_of_topics(topic_ids, CHUNK):
            await self._store.write([], [], keys)

    def _emptied_long_ago(self, now: int) -> dict[str, None]:
        retention = self._groups.config.offsets_retention_ms
        found: dict[str, None] = {}
        for group_id in self._groups.ids():
            since = self._groups.offsets_expire_from(group_id)
            if since is not None and since >= 0 and now - since >= retention:
                found[group_id] = None
        return found

    async def _old_rows(self, now: int) -> AsyncIterator[OffsetRow]:
        after: OffsetKey | None = None
        committed_before = now - self._groups.config.offsets_retention_ms
        while rows := await self._store.list_expirable(now, committed_before, after, CHUNK):
            for row in rows:
                yield row
            after = rows[-1].key

    async def _add_those_without_offsets(self, candidates: dict[str, None]) -> None:
        for group_ids in _chunks([group_id for group_id in self._groups.ids() if self._may_go(group_id)]):
            with_offsets = await self._store.groups_with_offsets(group_ids)
            candidates.update((group_id, None) for group_id in group_ids if group_id not in with_offsets)

    def _may_go(self, group_id: str) -> bool:
        group = self._groups.get(group_id)
        return group is not None and group.is_empty and self._groups.offsets_expire_from(group_id) is not None

    async def _expire(self, group_id: str) -> int:
        """Decide again with all rows of the group at hand; returns how many offsets went. None goes that an open transaction is about to change,
        and no group of which one has an offset.
        """
        now = self._wall_ms()
        rows, pending = await self._store.fetch_offsets_and_pending(group_id, None)
        expired = [row.key for row in rows if self._is_expired(row, now) and row.key not in pending]
        rest = bool(pending) or len(expired) < len(rows)
        if expired or not rest:
            await self._runtime.settle(ExpireOffsets(group_id, expired, rest))
        return len(expired)

    def _is_expired(self, row: OffsetRow, now: int) -> bool:
        since = self._groups.offsets_expire_from(row.group)
        if since is None or not is_expired(row, since, now, self._groups.config.offsets_retention_ms):
            return False
        group = self._groups.get(row.group)
        topic = self._topic_name(row.topic_id)
        return group is None or topic is None or not group.is_subscribed(topic)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for begin in range(0, len(ids), CHUNK):
        yield ids[begin : begin + CHUNK]
