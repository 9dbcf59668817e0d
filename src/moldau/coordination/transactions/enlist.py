"""What takes part in a transaction: partitions and offsets of groups, and how the first of them begins it.

Version 1 says beforehand what will take part (AddPartitionsToTxn, AddOffsetsToTxn); in version 2 (KIP-890) batches and offsets join as they come.
Nobody ever waits here for the end of the transaction before, because ends are done when they are answered: CONCURRENT_TRANSACTIONS is
said of none.
"""

from __future__ import annotations

from moldau.metadata.rows import Guard
from moldau.metadata.rows_groups import OffsetRow
from moldau.metadata.rows_txn import ONGOING, PREPARED, TxnChange, TxnRow

from .refusal import TxnRefused, fenced, unknown, wrong_state


def enlist(
    row: TxnRow | None,
    partitions: frozenset[int],
    now: int,
    producer: tuple[int, int],
    partition_ids: list[int],
    version: int,
) -> TxnChange | None:
    """These take part from now on; the transaction begins if there is none. Without partitions it just begins (AddOffsetsToTxn). In version 2 it is a
    batch that brings its partition in, and what syncs the batch syncs this.

    Raises TxnRefused: INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE.
    """
    row = checked(row, producer)
    new = [partition_id for partition_id in partition_ids if partition_id not in partitions]
    durable = version < 2
    if row.state == ONGOING:
        return TxnChange(row._replace(updated_ms=now), new, durable=durable) if new else None
    return TxnChange(_begun(row, now, version), new, durable=durable)


def enlist_offsets(
    row: TxnRow | None,
    now: int,
    producer: tuple[int, int],
    offsets: list[OffsetRow],
    guard: Guard | None,
    version: int,
) -> TxnChange:
    """Offsets of a group that will be committed with the transaction. In version 1 it has begun (AddOffsetsToTxn came before).

    Raises TxnRefused as `enlist`.
    """
    row = checked(row, producer)
    if row.state == ONGOING:
        row = row._replace(updated_ms=now)
    elif version >= 2:
        row = _begun(row, now, version)
    else:
        raise wrong_state("offsets came for a transaction that has not begun, or has ended")
    return TxnChange(row, offsets=offsets, guard=guard)


def verify(
    row: TxnRow | None, partitions: frozenset[int], producer: tuple[int, int], partition_ids: list[int]
) -> dict[int, TxnRefused]:
    """Why some of these do not take part; empty when all do. Raises TxnRefused where none can."""
    row = checked(row, producer)
    return {
        partition_id: wrong_state("the partition was not added to the transaction")
        for partition_id in partition_ids
        if row.state != ONGOING or partition_id not in partitions
    }


def checked(row: TxnRow | None, producer: tuple[int, int]) -> TxnRow:
    """The row, if that producer may go on with it. Raises TxnRefused."""
    producer_id, epoch = producer
    if row is None or row.producer_id != producer_id:
        raise unknown(row.transactional_id if row is not None else "")
    if row.epoch != epoch:
        raise fenced(epoch, row.epoch)
    if row.state == PREPARED:
        raise wrong_state("the transaction is prepared: nothing joins it any more")
    return row


def _begun(row: TxnRow, now: int, version: int) -> TxnRow:
    return row._replace(state=ONGOING, seq=row.seq + 1, started_ms=now, updated_ms=now, version=version)
