"""`MaintenanceStore` on any SQL engine."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ..errors import Conflict
from ..rows import KIND_INLINE, KIND_WAL, BlobRow, Extent, InlineBlob, PartitionHead
from .log_rows import extents_from, insert_blob
from .tx import Engine, Tx


class SqlMaintenanceStore:
    """See `moldau.metadata.ports.MaintenanceStore`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def replace_extents(
        self,
        partition_id: int,
        old: list[Extent],
        new: list[Extent],
        blob: BlobRow | None,
        inline: InlineBlob | None = None,
    ) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("partition_stays", partition_id=partition_id)
            gone = await _delete_exactly(tx, partition_id, old)
            if blob is not None:
                await insert_blob(tx, blob)
            if inline is not None:
                named = sum(extent.kind == KIND_INLINE and extent.blob_id == inline.blob_id for extent in new)
                await tx.run(
                    "inline_insert",
                    blob_id=inline.blob_id,
                    created_ms=inline.created_ms,
                    data=inline.data,
                    extents=named,
                )
            await tx.run_many("extent_insert", [{n: getattr(extent, n) for n in Extent.__slots__} for extent in new])
            await _count(tx, Counter(extent.blob_id for extent in new if extent.kind != KIND_INLINE), 1)
            change = sum(extent.length for extent in new) - gone
            if change:
                await tx.run("partition_add_bytes", partition_id=partition_id, bytes=change)

        await self._engine.write(body)

    async def delete_extents(self, partition_id: int, old: list[Extent]) -> None:
        async def body(tx: Tx) -> None:
            gone = await _delete_exactly(tx, partition_id, old)
            await tx.run("partition_add_bytes", partition_id=partition_id, bytes=-gone)

        await self._engine.write(body)

    async def inline_run(self, partition_id: int, first: int, last: int) -> dict[int, bytes]:
        async def body(tx: Tx) -> dict[int, bytes]:
            rows = await tx.run("inline_run", partition_id=partition_id, first_offset=first, last_offset=last)
            return {row[0]: row[1] for row in rows}

        return await self._engine.scan(body)

    async def partition_heads(self, after: int, limit: int) -> list[PartitionHead]:
        async def body(tx: Tx) -> list[PartitionHead]:
            return [PartitionHead(*row) for row in await tx.run("partition_heads", after=after, limit=limit)]

        return await self._engine.scan(body)

    async def small_extents(self, small_bytes: int, after: int, limit: int) -> list[tuple[int, int]]:
        async def body(tx: Tx) -> list[tuple[int, int]]:
            rows = await tx.run("small_extents", small_bytes=small_bytes, after=after, limit=limit)
            return [(row[0], row[1]) for row in rows]

        return await self._engine.scan(body)

    async def write_snapshot(self, partition_id: int, offset: int, packed: bytes) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("partition_stays", partition_id=partition_id)
            await tx.run("snapshot_put", partition_id=partition_id, at_offset=offset, packed=packed)

        await self._engine.write(body)

    async def cleaned_to(self, partition_id: int) -> int:
        async def body(tx: Tx) -> int:
            rows = await tx.run("cleaned_get", partition_id=partition_id)
            return int(rows[0][0]) if rows else 0

        return await self._engine.read(body)

    async def set_cleaned_to(self, partition_id: int, offset: int) -> None:
        async def body(tx: Tx) -> None:
            await tx.run("partition_stays", partition_id=partition_id)
            await tx.run("cleaned_put", partition_id=partition_id, cleaned_to=offset)

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
            gone = await _named(tx, partition_id, 0, 1 << 62, limit)
            if gone:
                await _delete_run(tx, partition_id, 0, gone[-1][0], len(gone))
                await _release(tx, gone)
            return len(gone) < limit

        async def last(tx: Tx) -> bool:
            await tx.run("partition_dead_lock", partition_id=partition_id)
            if await extents_from(tx, partition_id, 0, 1):
                return False  # of a merge that was under way
            await tx.run("snapshot_delete", partition_id=partition_id)
            await tx.run("cleaned_delete", partition_id=partition_id)
            await tx.run("partition_delete", partition_id=partition_id)
            for (version,) in await tx.run("topic_purge"):
                await tx.run("metadata_floor_raise", version=version)
            return True

        return await self._engine.write(body) and await self._engine.write(last)

    async def doom_unreferenced(self, now: int, min_age_ms: int, limit: int) -> list[int]:
        async def find(tx: Tx) -> list[int]:
            rows = await tx.run("blobs_unreferenced", before=now - min_age_ms, limit=limit)
            return [row[0] for row in rows]

        blobs = await self._engine.read(find)
        if blobs:

            async def body(tx: Tx) -> list[int]:
                doomed: list[int] = []
                for blob_id in sorted(blobs):
                    doomed += [row[0] for row in await tx.run("blob_doom", blob_id=blob_id, now=now)]
                return doomed

            return await self._engine.write(body)
        return []

    async def doom_orphans(self, blob_ids: list[int], now: int) -> list[int]:
        async def body(tx: Tx) -> list[int]:
            doomed: list[int] = []
            for blob_id in sorted(blob_ids):
                doomed += [row[0] for row in await tx.run("blob_doom_orphan", blob_id=blob_id, now=now)]
            return doomed

        return await self._engine.write(body)

    async def doomed_blobs(self, before: int, limit: int, wal_before: int = 0) -> list[BlobRow]:
        async def body(tx: Tx) -> list[BlobRow]:
            rows = await tx.run("blobs_doomed", before=before, wal=KIND_WAL, wal_before=wal_before, limit=limit)
            return [BlobRow(*row) for row in rows]

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

    async def live_counts(self) -> list[tuple[int, bool, int, int]]:
        async def body(tx: Tx) -> list[tuple[int, bool, int, int]]:
            blobs = [(row[0], False, row[1], row[2]) for row in await tx.run("live_wrong")]
            return blobs + [(row[0], True, row[1], row[2]) for row in await tx.run("inline_wrong")]

        return await self._engine.scan(body)


async def _delete_exactly(tx: Tx, partition_id: int, old: list[Extent]) -> int:
    """Delete these rows or raise Conflict; returns their bytes. Counts of their blobs follow."""
    if not old:
        return 0
    first, last = min(extent.last_offset for extent in old), max(extent.last_offset for extent in old)
    rows = await _named(tx, partition_id, first, last, _ALL)
    there = {row[0]: row for row in rows}
    gone = []
    for extent in old:
        row = there.pop(extent.last_offset, None)
        if row is None or row[1:4] != (extent.base_offset, extent.blob_id, extent.position):
            raise Conflict(f"extent {extent!r} is not there any more")
        gone.append(row)
    if there:  # others lie between
        await tx.run_many(
            "extent_delete", [{"partition_id": partition_id, "last_offset": extent.last_offset} for extent in old]
        )
    else:
        await _delete_run(tx, partition_id, first, last, len(gone))
    await _release(tx, gone)
    return sum(row[4] for row in gone)


_ALL = 1 << 40


async def _delete_run(tx: Tx, partition_id: int, first: int, last: int, count: int) -> None:
    """Raises Conflict when the run holds other rows than those that were looked at (where writers run side by side)."""
    deleted = await tx.run("extents_delete_run", partition_id=partition_id, first_offset=first, last_offset=last)
    if len(deleted) != count:
        raise Conflict(f"extents {first} to {last} of partition {partition_id} were replaced meanwhile")


async def _named(tx: Tx, partition_id: int, first: int, last: int, limit: int) -> list[tuple[Any, ...]]:
    """(last offset, base offset, blob id, position, length, kind, extents that name the inline bytes) of a run's rows."""
    return await tx.run("extents_named", partition_id=partition_id, first_offset=first, last_offset=last, limit=limit)


async def _release(tx: Tx, gone: list[tuple[Any, ...]]) -> None:
    """These rows of `_named` are deleted: take them off the counts of their blobs, and delete inline bytes nobody names."""
    blobs: dict[int, int] = {}
    inline: dict[int, int] = {}
    named: dict[int, int] = {}
    for _, _, blob_id, _, _, kind, left in gone:
        if kind != KIND_INLINE:
            blobs[blob_id] = blobs.get(blob_id, 0) + 1
        elif left is not None:
            inline[blob_id] = inline.get(blob_id, 0) + 1
            named[blob_id] = left
    await _count(tx, blobs, -1)
    if not inline:
        return
    last = [{"blob_id": blob_id} for blob_id, extents in inline.items() if extents >= named[blob_id]]
    await tx.run_many("inline_delete", last)
    await tx.run_many("inline_released_forget", last)
    others = sorted((blob_id, extents) for blob_id, extents in inline.items() if extents < named[blob_id])
    if others:
        await tx.run_many("inline_released_add", [{"blob_id": blob_id, "extents": n} for blob_id, n in others])
        await tx.run_many("inline_released_sweep", [{"blob_id": blob_id} for blob_id, _ in others])
        await tx.run_many("inline_released_swept", [{"blob_id": blob_id} for blob_id, _ in others])


async def _count(tx: Tx, blobs: dict[int, int], change: int) -> None:
    """So many extents of each blob came (1) or went (-1). Inline bytes get their count when they are inserted."""
    if blobs:
        await tx.run_many("blob_count", [{"blob_id": each, "extents": change * n} for each, n in sorted(blobs.items())])
