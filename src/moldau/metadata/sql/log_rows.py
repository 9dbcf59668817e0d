"""Extents, partition rows and blobs in SQL: the parts that are the same on every engine."""

from __future__ import annotations

from typing import Any

from ..rows import BlobRow, Extent, PartitionRow, PartitionSeen, PartitionState
from .tx import Tx

_LOAD_CHUNK = 10_000


def extent_of(row: tuple[Any, ...]) -> Extent:
    """Columns in the order of `Extent.__init__`."""
    return Extent(*row)


def partition_of(row: tuple[Any, ...]) -> PartitionRow:
    """Columns in the order of `PartitionRow.__init__`."""
    return PartitionRow(row[0], row[1], row[2], bool(row[3]), *row[4:])


async def partition(tx: Tx, partition_id: int) -> PartitionRow | None:
    """The hot row, dead or alive."""
    rows = await tx.run("partition_get", partition_id=partition_id)
    return partition_of(rows[0]) if rows else None


async def load_partition(tx: Tx, partition_id: int) -> PartitionState | None:
    rows = await tx.run("partition_get", partition_id=partition_id)
    if not rows or not rows[0][3]:
        return None
    snapshots = await tx.run("snapshot_get", partition_id=partition_id)
    at_offset, packed = snapshots[0] if snapshots else (0, b"")
    extents: list[Extent] = []
    start = at_offset
    while True:
        chunk = await extents_from(tx, partition_id, start, _LOAD_CHUNK)
        extents.extend(chunk)
        if len(chunk) < _LOAD_CHUNK:
            return PartitionState(partition_of(rows[0]), at_offset, packed, extents)
        start = chunk[-1].last_offset + 1


async def extents_from(tx: Tx, partition_id: int, offset: int, limit: int) -> list[Extent]:
    rows = await tx.run("extents_from", partition_id=partition_id, from_offset=offset, limit=limit)
    return [extent_of(row) for row in rows]


async def extents_before(tx: Tx, partition_id: int, offset: int, limit: int) -> list[Extent]:
    rows = await tx.run("extents_before", partition_id=partition_id, from_offset=offset, limit=limit)
    return [extent_of(row) for row in reversed(rows)]


async def extent_by_time(tx: Tx, partition_id: int, timestamp: int) -> Extent | None:
    """Bisects the running maximum over offsets: each probe is one seek in the primary key."""
    first = await tx.run("extents_from", partition_id=partition_id, from_offset=0, limit=1)
    last = await tx.run("extents_before", partition_id=partition_id, from_offset=1 << 62, limit=1)
    if not first or extent_of(last[0]).running_max_timestamp < timestamp:
        return None
    low = extent_of(first[0])
    if low.running_max_timestamp >= timestamp:
        return low
    high = extent_of(last[0])
    # low is below the timestamp, high is not; the answer lies in (low, high]
    while low.last_offset + 1 < high.base_offset:
        middle = (low.last_offset + 1 + high.base_offset) // 2
        probe = extent_of((await tx.run("extents_from", partition_id=partition_id, from_offset=middle, limit=1))[0])
        if probe.running_max_timestamp < timestamp:
            low = probe
        elif probe.last_offset < high.last_offset:
            high = probe
        else:
            # nothing lies between middle and high: take the row right below high
            below = extent_of(
                (await tx.run("extents_before", partition_id=partition_id, from_offset=high.base_offset, limit=1))[0]
            )
            if below.running_max_timestamp < timestamp:
                return high
            high = below
    return high


async def extent_after_epoch(tx: Tx, partition_id: int, epoch: int) -> Extent | None:
    """Bisects over offsets as `extent_by_time` does: epochs never fall along a partition."""
    last = await tx.run("extents_before", partition_id=partition_id, from_offset=1 << 62, limit=1)
    if not last or extent_of(last[0]).leader_epoch <= epoch:
        return None
    high = extent_of(last[0])
    low = -1  # everything that ends at or below is of the epoch or older
    while low + 1 < high.base_offset:
        middle = (low + 1 + high.base_offset) // 2
        probe = extent_of((await tx.run("extents_from", partition_id=partition_id, from_offset=middle, limit=1))[0])
        if probe.leader_epoch <= epoch:
            low = probe.last_offset
        elif probe.last_offset < high.last_offset:
            high = probe
        else:
            # nothing lies between middle and high
            rows = await tx.run("extents_before", partition_id=partition_id, from_offset=high.base_offset, limit=1)
            if not rows or extent_of(rows[0]).leader_epoch <= epoch:
                return high
            high = extent_of(rows[0])
    return high


async def changed(tx: Tx, seen: list[PartitionSeen]) -> list[PartitionRow]:
    """One look for each; an engine across a network asks for all at once."""
    rows: list[PartitionRow] = []
    for each in sorted(seen):
        found = await tx.run("partition_get", partition_id=each.partition_id)
        row = partition_of(found[0]) if found else each.purged()
        if each.is_news(row):
            rows.append(row)
    return rows


async def insert_blob(tx: Tx, blob: BlobRow) -> None:
    await tx.run("blob_insert", blob_id=blob.blob_id, kind=blob.kind, size=blob.size, created_ms=blob.created_ms)
