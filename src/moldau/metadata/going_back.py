"""What holds when a partition, or the whole store, goes back to an older state. Pure; the same for every engine."""

from __future__ import annotations

EPOCHS_SKIPPED = 10_000
"""Leader epochs that may have been given out after the copy that is brought back: one for each unclean start."""
PRODUCER_IDS_SKIPPED = 1 << 32
BLOB_BLOCKS_SKIPPED = 1 << 16
NUMBERS_SKIPPED = 1 << 16
"""Partition ids and incarnations. A copy can be brought back 32,000 times before a number of 31 bits runs out."""
