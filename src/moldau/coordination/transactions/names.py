"""States as Kafka's tools spell them (`TransactionState`)."""

from __future__ import annotations

from typing import Final

from moldau.metadata.rows_txn import ABORTED, COMMITTED, EMPTY, ONGOING, PREPARED

NAMES: Final = {
    EMPTY: "Empty",
    ONGOING: "Ongoing",
    PREPARED: "PreparedTransaction",
    COMMITTED: "CompleteCommit",
    ABORTED: "CompleteAbort",
}
KNOWN: Final = frozenset((*NAMES.values(), "PrepareCommit", "PrepareAbort", "Dead", "PrepareEpochFence"))
"""Those that filters may name; some are never met here, because an end is one transaction of the store."""
