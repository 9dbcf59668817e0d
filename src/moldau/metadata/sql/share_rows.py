"""`ShareStore` on any SQL engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..rows_share import ShareKey, ShareRow
from .tx import Engine, Tx


class SqlShareStore:
    """See `moldau.coordination.share.ports.ShareStore`."""

    def __init__(self, engine: Engine, records_follow: Callable[[], Awaitable[None]] | None = None) -> None:
        """`records_follow` returns when the groups' records are rows, where those are written to a journal first."""
        self._engine = engine
        self._records_follow = records_follow

    async def load(self, keys: Sequence[ShareKey]) -> list[ShareRow]:
        async def body(tx: Tx) -> list[ShareRow]:
            found: list[ShareRow] = []
            for key in keys:
                found += [ShareRow(*row) for row in await tx.run("share_get", **key_parameters(key))]
            return found

        return await self._engine.read(body)

    async def of_group(self, group: str) -> list[ShareRow]:
        async def body(tx: Tx) -> list[ShareRow]:
            return [ShareRow(*row) for row in await tx.run("shares_of_group", group_id=group)]

        return await self._engine.read(body)

    async def claim(
        self, key: ShareKey, kind: int, start_offset: int, leader_epoch: int, state: bytes
    ) -> ShareRow | None:
        if self._records_follow is not None:
            await self._records_follow()

        async def body(tx: Tx) -> ShareRow | None:
            rows = await tx.run(
                "share_claim",
                **key_parameters(key),
                kind=kind,
                start_offset=start_offset,
                leader_epoch=leader_epoch,
                state=state,
            )
            return ShareRow(*rows[0]) if rows else None

        return await self._engine.write(body)

    async def write(self, rows: Sequence[ShareRow]) -> list[bool]:
        async def body(tx: Tx) -> list[bool]:
            return [
                bool(
                    await tx.run(
                        "share_write",
                        **key_parameters(row.key),
                        owner_epoch=row.owner_epoch,
                        start_offset=row.start_offset,
                        final_count=row.final_count,
                        state=row.state,
                    )
                )
                for row in rows
            ]

        return await self._engine.write(body)

    async def reset(self, rows: Sequence[ShareRow]) -> None:
        async def body(tx: Tx) -> None:
            await tx.run_many(
                "share_reset",
                [
                    {
                        **key_parameters(row.key),
                        "start_offset": row.start_offset,
                        "leader_epoch": row.leader_epoch,
                        "state": row.state,
                    }
                    for row in rows
                ],
            )

        await self._engine.write(body)

    async def forget(self, group: str, topic_ids: Sequence[bytes] | None = None) -> None:
        async def body(tx: Tx) -> None:
            if topic_ids is None:
                await tx.run_many("shares_delete", [{"group_id": group}])
            else:
                await tx.run_many("shares_delete_topic", [{"group_id": group, "topic_id": each} for each in topic_ids])

        await self._engine.write(body)

    async def forget_topics(self, topic_ids: Sequence[bytes]) -> None:
        async def body(tx: Tx) -> None:
            await tx.run_many("shares_forget_topic", [{"topic_id": each} for each in topic_ids])

        await self._engine.write(body)

    async def drop_orphans(self, kind: int) -> None:
        if self._records_follow is not None:
            await self._records_follow()

        async def body(tx: Tx) -> None:
            await tx.run_many("shares_without_group", [{"kind": kind}])

        await self._engine.write(body)


def key_parameters(key: ShareKey) -> dict[str, Any]:
    return {"group_id": key.group, "topic_id": key.topic_id, "partition_index": key.partition}
