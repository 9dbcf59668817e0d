"""Groups and committed offsets in memory: the verified fake of every test, and the store of an ephemeral broker."""

from __future__ import annotations

from collections.abc import Callable

from .errors import LeaseLost
from .memory.lease_store import holds
from .memory.state import MemoryState
from .memory.txn_store import pending_offsets
from .rows import Guard
from .rows_groups import GroupRecord, OffsetKey, OffsetRow


class MemoryGroupStore:
    """`moldau.coordination.ports.GroupStore` on dicts."""

    __slots__ = ("_records", "_state")

    def __init__(self, state: MemoryState | None = None) -> None:
        """`state` holds the offsets, and the leases that writes may be guarded by."""
        self._state = state or MemoryState()
        self._records: dict[tuple[int, str, str], bytes] = {}

    def has(self, kind: int, group: str) -> bool:
        """Whether there is a record of that kind, with an empty key."""
        return (kind, group, "") in self._records

    async def load_groups(self, wanted: Callable[[str], bool] | None = None) -> list[GroupRecord]:
        found = sorted(self._records.items())
        return [GroupRecord(*key, value) for key, value in found if wanted is None or wanted(key[1])]

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        if guard is not None and not holds(self._state, guard):
            raise LeaseLost(*guard)
        for kind, group, key, value in records:
            if value is None:
                self._records.pop((kind, group, key), None)
            else:
                self._records[kind, group, key] = value
        for group, topic_id, partition in deleted_offsets:
            rows = self._state.group_offsets.get(group)
            if rows is not None:
                rows.pop((topic_id, partition), None)
                if not rows:
                    del self._state.group_offsets[group]
            for pending in self._state.txn_offsets.values():
                pending.pop(OffsetKey(group, topic_id, partition), None)
        for row in offsets:
            self._state.group_offsets.setdefault(row.group, {})[row.topic_id, row.partition] = row

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        rows = self._state.group_offsets.get(group, {})
        return [rows[key] for key in sorted(rows if keys is None else set(keys)) if key in rows]

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        return await self.fetch_offsets(group, keys), pending_offsets(self._state, group, keys)

    async def list_expirable(
        self, now: int, committed_before: int, after: OffsetKey | None, limit: int
    ) -> list[OffsetRow]:
        found: list[OffsetRow] = []
        for rows in self._state.group_offsets.values():
            for row in rows.values():
                expire, commit = row.expire_timestamp, row.commit_timestamp
                if (commit <= committed_before if expire == -1 else expire <= now) and (
                    after is None or row.key > after
                ):
                    found.append(row)
        return sorted(found)[:limit]

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        return {group for group in groups if group in self._state.group_offsets}

    async def offsets_of_topics(self, topic_ids: list[bytes], limit: int) -> list[OffsetKey]:
        wanted = set(topic_ids)
        return [
            row.key for rows in self._state.group_offsets.values() for row in rows.values() if row.topic_id in wanted
        ][:limit]
