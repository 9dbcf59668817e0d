"""Short ways to say what becomes of a transaction in a store."""

from __future__ import annotations

from typing import Any

from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.rows_txn import ABORTED, COMMITTED, EMPTY, ONGOING, Changed, Decide, End, TxnChange, TxnRow
from moldau.records.control import EndTxnMarker, read_end_txn_marker

from .stores import Stores, topic_id


def new(transactional_id: str, **other: Any) -> TxnRow:
    """A row without a transaction, unless told otherwise."""
    fields = {
        "producer_id": 5,
        "epoch": 0,
        "previous_id": -1,
        "previous_epoch": -1,
        "state": EMPTY,
        "seq": 0,
        "timeout_ms": 60_000,
        "started_ms": -1,
        "updated_ms": 1,
        "version": 1,
    }
    return TxnRow(transactional_id, **{**fields, **other})


def on(transactional_id: str, **other: Any) -> TxnRow:
    """A row with a transaction."""
    return new(transactional_id, **{"state": ONGOING, "seq": 1, "started_ms": 1, **other})


def offset(value: int, topic: str = "t", group: str = "g", partition: int = 0, metadata: str = "") -> OffsetRow:
    return OffsetRow(group, topic_id(topic), partition, value, -1, metadata, 1000, -1)


def nothing(row: TxnRow | None, partitions: frozenset[int], now: int) -> None:
    """Decides so."""


def do(row: TxnRow | None, **change: Any) -> Decide:
    """Decides so whatever there is."""
    return lambda _, partitions, now: TxnChange(row, **change)


async def begin(
    it: Stores, transactional_id: str, partition_ids: list[int], offsets: list[OffsetRow] | None = None, **row: Any
) -> Changed:
    return await it.txns.change(
        transactional_id, do(on(transactional_id, **row), partition_ids=partition_ids, offsets=offsets)
    )


async def commit(it: Stores, transactional_id: str, producer_id: int = 5, epoch: int = 0) -> Changed:
    row = on(transactional_id, state=COMMITTED, producer_id=producer_id, epoch=epoch)
    return await it.txns.change(transactional_id, do(row, end=End(True, producer_id, epoch)))


async def abort(it: Stores, transactional_id: str, producer_id: int = 5, epoch: int = 0) -> Changed:
    row = on(transactional_id, state=ABORTED, producer_id=producer_id, epoch=epoch)
    return await it.txns.change(transactional_id, do(row, end=End(False, producer_id, epoch)))


async def joined(it: Stores, transactional_id: str) -> frozenset[int]:
    """What takes part, as a decision sees it."""
    seen: list[frozenset[int]] = []

    def decide(row: TxnRow | None, partitions: frozenset[int], now: int) -> None:
        seen.append(partitions)

    await it.txns.change(transactional_id, decide)
    return seen[-1]


async def markers_of(it: Stores, partition_id: int) -> list[EndTxnMarker]:
    """Those that the bytes say are there, in their order; other extents hold anything."""
    found = []
    for extent in await it.extents(partition_id):
        if extent.fold:
            data = await it.log.read_inline(extent.blob_id)
            assert data is not None
            marker = read_end_txn_marker(data[extent.position : extent.position + extent.length])
            assert marker is not None
            assert marker.offset == extent.base_offset
            found.append(marker)
    return found
