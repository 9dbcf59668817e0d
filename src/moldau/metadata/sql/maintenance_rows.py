"""`MaintenanceStore` on any SQL engine."""

from __future__ import annotations

from ..errors import Conflict
from ..rows import BlobRow, Extent
from .log_rows import insert_blob
from .tx import Engine, Tx


class SqlMaintenanceStore:
    """See `moldau.metadata.ports.MaintenanceStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def replace_extents(
        self, partition_id: int, old: list[Extent], new: list[Extent], blob: BlobRow | None
    ) -> None:
        async def body(tx: Tx) -> None:
            gone = await _delete_exactly(tx, old)
            if blob is not None:
                await insert_blob(tx, blob)
            await tx.run_many("extent_insert", [{n: getattr(extent, n) for n in Extent.__slots__} for extent in new])
            change = sum(extent.length for extent in new) - gone
            if change:
                await tx.run("partition_add_bytes", partition_id=partition_id, bytes=change)

        await self._engine.write(body)

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        async def body(tx: Tx) -> None:
            gone = await _delete_exactly(tx, old)
            await tx.run("partition_add_bytes", partition_id=partition_id, bytes=-gone)

        await self._engine.write(body)

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("snapshot_put", partition_id=partition_id, at_offset=offset, packed=packed)

        await self._engine.write(body)

    async def dead_partitions(self, limit: int) -> list[int]:
        async def body(tx: Tx) -> list[int]:
            return [row[0] for row in await tx.run("partitions_dead", limit=limit)]

        return await self._engine.read(body)

    async def purge_partition(self, partition_id: int, limit: int) -> bool:
        async def body(tx: Tx) -> bool:
            rows = await tx.run("partition_get", partition_id=partition_id)
            if rows and rows[0][3]:
                raise Conflict(f"partition {partition_id} is alive")
            if len(await tx.run("extents_purge", partition_id=partition_id, limit=limit)) == limit:
                return False
            await tx.run("snapshot_delete", partition_id=partition_id)
            await tx.run("partition_delete", partition_id=partition_id)
            await tx.run("topic_purge")
            return True

        return await self._engine.write(body)

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        async def find(tx: Tx) -> tuple[list[int], list[int]]:
            before = now - min_age_ms
            blobs = await tx.run("blobs_unreferenced", before=before, limit=limit)
            inline = await tx.run("inline_unreferenced", before=before, limit=limit)
            return [row[0] for row in blobs], [row[0] for row in inline]

        blobs, inline = await self._engine.scan(find)
        if not blobs and not inline:
            return []

        async def body(tx: Tx) -> None:
            await tx.run_many("blob_doom", [{"blob_id": blob_id, "now": now} for blob_id in blobs])
            await tx.run_many("inline_delete", [{"blob_id": blob_id} for blob_id in inline])

        await self._engine.write(body)
        return blobs

    async def doomed_blobs(self, before: int, limit: int) -> list[BlobRow]:
        async def body(tx: Tx) -> list[BlobRow]:
            return [BlobRow(*row) for row in await tx.run("blobs_doomed", before=before, limit=limit)]

        return await self._engine.read(body)

    async def forget_blobs(self, blob_ids: list[int]) -> None:
        async def body(tx: Tx) -> None:
            await tx.run_many("blob_forget", [{"blob_id": blob_id} for blob_id in blob_ids])

        await self._engine.write(body)

    async def seal_blob(self, blob_id: int, size: int) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("blob_seal", blob_id=blob_id, size=size)
            await tx.run("journal_forget", blob_id=blob_id)

        await self._engine.write(body)

    async def blobs(self) -> list[BlobRow]:
        async def body(tx: Tx) -> list[BlobRow]:
            return [BlobRow(*row) for row in await tx.run("blobs_all")]

        return await self._engine.read(body)

    async def blob_ends(self) -> dict[int, int]:
        async def body(tx: Tx) -> dict[int, int]:
            return {row[0]: row[1] for row in await tx.run("blob_ends")}

        return await self._engine.scan(body)


async def _delete_exactly(tx: Tx, old: list[Extent]) -> int:
    """Delete these rows or raise Conflict; returns their bytes."""
    gone = 0
    for extent in old:
        rows = await tx.run(
            "extent_delete",
            partition_id=extent.partition_id,
            last_offset=extent.last_offset,
            base_offset=extent.base_offset,
            blob_id=extent.blob_id,
            position=extent.position,
        )
        if not rows:
            raise Conflict(f"extent {extent!r} is not there any more")
        gone += rows[0][0]
    return gone
