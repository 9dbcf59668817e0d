"""Epochs of producers: how they rise, and what follows the last one (Kafka's `TransactionMetadata.isProducerEpochExhausted`)."""

from __future__ import annotations

from typing import Final

from moldau.metadata.rows_txn import ONGOING, PREPARED, TxnRow

from .refusal import NeedsProducerId

EPOCH_MAX: Final = 32767
"""No client has it: only markers carry it, to fence whoever had the one before."""
EXHAUSTED: Final = EPOCH_MAX - 1
"""Behind it comes a new producer id with epoch 0."""
NONE: Final = -1
"""No producer id, no epoch."""


def marker_epoch(row: TxnRow) -> int:
    """Of a marker that fences the producer of the transaction."""
    return min(row.epoch + 1, EPOCH_MAX)


def raised(row: TxnRow, by: int, spare_id: int | None, *, knows_before: bool) -> TxnRow:
    """The row with its epoch raised by so much, or with the new producer id where that is too much. Raises NeedsProducerId.

    `knows_before`: who names the id and epoch of before gets the answer again.
    """
    before = (row.producer_id, row.epoch) if knows_before else (NONE, NONE)
    if row.epoch + by <= EXHAUSTED:
        return row._replace(epoch=row.epoch + by, previous_id=before[0], previous_epoch=before[1])
    if spare_id is None:
        raise NeedsProducerId
    return row._replace(producer_id=spare_id, epoch=0, previous_id=before[0], previous_epoch=before[1])


def is_open(row: TxnRow) -> bool:
    """Whether a transaction has begun and not ended."""
    return row.state in (ONGOING, PREPARED)
