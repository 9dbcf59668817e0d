"""Share-partitions in memory: the verified fake of tests."""

from __future__ import annotations

from collections.abc import Sequence

from .memory_groups import MemoryGroupStore
from .rows_share import ShareKey, ShareRow


class MemoryShareStore:
    """`moldau.coordination.share.ports.ShareStore` on a dict, beside the groups of `groups`."""

    def __init__(self, groups: MemoryGroupStore) -> None:
        self._groups = groups
        self.rows: dict[ShareKey, ShareRow] = {}

    async def load(self, keys: Sequence[ShareKey]) -> list[ShareRow]:
        return [self.rows[key] for key in keys if key in self.rows]

    async def of_group(self, group: str) -> list[ShareRow]:
        return [row for key, row in sorted(self.rows.items()) if key.group == group]

    async def claim(
        self, key: ShareKey, kind: int, start_offset: int, leader_epoch: int, state: bytes
    ) -> ShareRow | None:
        if not self._groups.has(kind, key.group):
            return None
        kept = self.rows.get(key)
        if kept is None:
            row = ShareRow(*key, 1, 0, leader_epoch, start_offset, 0, state)
        else:
            row = kept._replace(owner_epoch=kept.owner_epoch + 1, leader_epoch=leader_epoch)
        self.rows[key] = row
        return row

    async def write(self, rows: Sequence[ShareRow]) -> list[bool]:
        written = []
        for row in rows:
            kept = self.rows.get(row.key)
            written.append(kept is not None and kept.owner_epoch == row.owner_epoch)
            if kept is not None and written[-1]:
                self.rows[row.key] = kept._replace(
                    start_offset=row.start_offset, final_count=row.final_count, state=row.state
                )
        return written

    async def reset(self, rows: Sequence[ShareRow]) -> None:
        for row in rows:
            kept = self.rows.get(row.key)
            owner_epoch, state_epoch = (1, 0) if kept is None else (kept.owner_epoch + 1, kept.state_epoch + 1)
            self.rows[row.key] = row._replace(owner_epoch=owner_epoch, state_epoch=state_epoch, final_count=0)

    async def forget(self, group: str, topic_ids: Sequence[bytes] | None = None) -> None:
        for key in [
            key for key in self.rows if key.group == group and (topic_ids is None or key.topic_id in topic_ids)
        ]:
            del self.rows[key]

    async def forget_topics(self, topic_ids: Sequence[bytes]) -> None:
        for key in [key for key in self.rows if key.topic_id in topic_ids]:
            del self.rows[key]

    async def drop_orphans(self, kind: int) -> None:
        for key in [key for key in self.rows if not self._groups.has(kind, key.group)]:
            del self.rows[key]
