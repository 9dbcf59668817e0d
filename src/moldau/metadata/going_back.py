"""What holds when a partition, or the whole store, goes back to an older state. Pure; the same for every engine."""

from __future__ import annotations

from .errors import StoreCorrupt

EPOCHS_SKIPPED = 10_000
"""Leader epochs that may have been given out after the copy that is brought back: one for each unclean start."""
PRODUCER_IDS_SKIPPED = 1 << 32
BLOB_BLOCKS_SKIPPED = 1 << 16
NUMBERS_SKIPPED = 1 << 16
"""Partition ids and incarnations. A copy can be brought back 32,000 times before a number of 31 bits runs out."""


def refuse_cut(partition_id: int, offset: int, log_start_offset: int, snapshot_offset: int, durable: int) -> None:
    """Raise StoreCorrupt when a partition must not be cut off at `offset`. `durable`: base of a durable row there, or -1.

    A durable commit syncs all bytes that rows before it name, so bytes that are missing *before* one were lost otherwise
    than by a power cut. Moves of the log start and snapshots are durable commits too.
    """
    what = ""
    if durable >= 0:
        what = f"the records at {durable} were acknowledged as durable"
    elif log_start_offset > offset:
        what = f"the log start was moved to {log_start_offset}"
    elif snapshot_offset > offset:
        what = f"a snapshot was taken at {snapshot_offset}"
    if what:
        raise StoreCorrupt(f"partition {partition_id} cannot be cut off at offset {offset}: {what} after that")
