"""`GroupStore` on any SQL engine."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from ..errors import LeaseLost
from ..rows import Guard
from ..rows_groups import GroupRecord, OffsetKey, OffsetRow
from .tx import Engine, Tx
from .txn_rows import offset_parameters, pending_offsets

_BEFORE_ALL = OffsetKey("", b"", -1)


class SqlGroupStore:
    """See `moldau.coordination.ports.GroupStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def load_groups(self, wanted: Callable[[str], bool] | None = None) -> list[GroupRecord]:
        async def body(tx: Tx) -> list[GroupRecord]:
            if wanted is None:
                return [GroupRecord(*row) for row in await tx.run("coordinator_records")]
            keys = [(kind, group) for kind, group in await tx.run("coordinator_record_keys") if wanted(group)]
            return [GroupRecord(*row) for row in await self._records_of(tx, keys)]

        return await self._engine.read(body)

    async def _records_of(self, tx: Tx, keys: list[tuple[int, str]]) -> list[tuple[Any, ...]]:
        """Rows of the records of these (kind, group id), which are sorted."""
        found: list[tuple[Any, ...]] = []
        for kind, group in keys:
            found += await tx.run("coordinator_records_of", kind=kind, group_id=group)
        return found

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        async def body(tx: Tx) -> None:
            if guard is not None and not await tx.run("lease_guard", name=guard.name, epoch=guard.epoch):
                raise LeaseLost(*guard)
            for gone, run in groupby(records, lambda record: record.value is None):
                if gone:
                    await tx.run_many("coordinator_record_delete", [_record_parameters(record) for record in run])
                else:
                    await tx.run_many(
                        "coordinator_record_put", [{**_record_parameters(each), "value": each.value} for each in run]
                    )
            if deleted_offsets:
                await tx.run_many("group_offset_delete", [_key_parameters(*key) for key in deleted_offsets])
                await tx.run_many("pending_offset_delete", [_key_parameters(*key) for key in deleted_offsets])
            if offsets:
                await tx.run_many(
                    "group_offset_put",
                    [offset_parameters(row) for row in offsets],
                )

        await self._engine.write(body)

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        return await self._engine.read(lambda tx: _fetch_offsets(tx, group, keys))

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        async def body(tx: Tx) -> tuple[list[OffsetRow], list[OffsetKey]]:
            return await _fetch_offsets(tx, group, keys), await pending_offsets(tx, group, keys)

        return await self._engine.read(body)

    async def list_expirable(
        self, now: int, committed_before: int, after: OffsetKey | None, limit: int
    ) -> list[OffsetRow]:
        async def body(tx: Tx) -> list[OffsetRow]:
            rows = await tx.run(
                "group_offsets_expirable",
                now=now,
                before=committed_before,
                limit=limit,
                **_key_parameters(*(after or _BEFORE_ALL)),
            )
            return [OffsetRow(*row) for row in rows]

        return await self._engine.read(body)

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        async def body(tx: Tx) -> set[str]:
            return {group for group in groups if await tx.run("group_has_offsets", group_id=group)}

        return await self._engine.read(body)

    async def offsets_of_topics(self, topic_ids: list[bytes], limit: int) -> list[OffsetKey]:
        async def body(tx: Tx) -> list[OffsetKey]:
            found: list[OffsetKey] = []
            for topic_id in topic_ids:
                rows = await tx.run("group_offsets_of_topic", topic_id=topic_id, limit=limit - len(found))
                found += [OffsetKey(*row) for row in rows]
            return found

        return await self._engine.read(body)


async def _fetch_offsets(tx: Tx, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
    if keys is None:
        return [OffsetRow(*row) for row in await tx.run("group_offsets", group_id=group)]
    found: list[OffsetRow] = []
    for topic_id, partition in sorted(set(keys)):
        rows = await tx.run("group_offset_get", **_key_parameters(group, topic_id, partition))
        found += [OffsetRow(*row) for row in rows]
    return found


def _key_parameters(group: str, topic_id: bytes, partition: int) -> dict[str, str | bytes | int]:
    return {"group_id": group, "topic_id": topic_id, "partition_index": partition}


def _record_parameters(record: GroupRecord) -> dict[str, Any]:
    return {"kind": record.kind, "group_id": record.group, "record_key": record.key}
