"""A `TxnStore` without a log: for tests of what decides."""

from __future__ import annotations

from collections.abc import Callable

from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows_groups import OffsetKey, OffsetRow
from moldau.metadata.rows_txn import ONGOING, PREPARED, Changed, Decide, End, TxnDescription, TxnRow


class RowsOnly:
    """`ends` are those that happened: transactional id, end, partitions, offsets. `lose` makes the next changes lose their reply."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.rows: dict[str, TxnRow] = {}
        self.partitions: dict[str, set[int]] = {}
        self.offsets: dict[str, dict[OffsetKey, OffsetRow]] = {}
        self.ends: list[tuple[str, End, list[int], list[OffsetRow]]] = []
        self.changes = 0
        self.lose = 0

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        self.changes += 1
        row = self.rows.get(transactional_id)
        taking_part = self.partitions.setdefault(transactional_id, set())
        change = decide(row, frozenset(taking_part), self._now())
        if change is not None:
            offsets = self.offsets.setdefault(transactional_id, {})
            taking_part.update(change.partition_ids)
            offsets.update({offset.key: offset for offset in change.offsets})
            if change.end is not None:
                self.ends.append((transactional_id, change.end, sorted(taking_part), list(offsets.values())))
                taking_part.clear()
                offsets.clear()
            row = change.row
            if row is None:
                assert not taking_part
                assert not offsets
                self.rows.pop(transactional_id, None)
            else:
                assert row.state in (ONGOING, PREPARED) or not taking_part
                self.rows[transactional_id] = row
        if self.lose:
            self.lose -= 1
            raise StoreUnavailable("the reply is lost")
        return Changed(row, [])

    async def load(self, transactional_id: str) -> TxnDescription | None:
        row = self.rows.get(transactional_id)
        if row is None:
            return None
        return TxnDescription(row, [(bytes(16), each) for each in sorted(self.partitions[transactional_id])])

    async def all(self, after: str, limit: int) -> list[TxnRow]:
        return [row for name, row in sorted(self.rows.items()) if name > after][:limit]

    async def overdue(self, limit: int) -> list[TxnRow]:
        now = self._now()
        return [
            row
            for _, row in sorted(self.rows.items())
            if row.state == ONGOING and now >= row.started_ms + row.timeout_ms
        ][:limit]

    async def idle(self, before: int, limit: int) -> list[TxnRow]:
        return [
            row
            for _, row in sorted(self.rows.items())
            if row.state not in (ONGOING, PREPARED) and row.updated_ms < before
        ][:limit]

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        return sorted(
            key
            for offsets in self.offsets.values()
            for key in offsets
            if key.group == group_id and (keys is None or (key.topic_id, key.partition) in keys)
        )
