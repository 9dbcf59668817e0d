"""The port of the metadata store for transactions (decision 10). The rules of `moldau.metadata.ports` hold here too."""

from __future__ import annotations

from typing import Protocol

from .rows_groups import OffsetKey
from .rows_txn import Changed, Decide, TxnDescription, TxnRow


class TxnStore(Protocol):
    """Transactional ids, what takes part in their transactions, and their ends."""

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        """Lock the row, ask `decide`, and do all of what it says in one transaction. Raises LeaseLost, StoreError, what `decide` raises.

        An end appends one marker batch to each partition that takes part and is alive, at its end whatever that is, as an inline extent whose
        bytes have their true offsets; commits make group offsets of the pending ones, but for topics that are gone; then nothing takes part any
        more. The markers' bytes are one inline blob, for whose id the store sees itself. Changes of one transactional id take effect one after the
        other, also where there was none before.

        After StoreUnavailable whether it was done is in doubt: asked again, `decide` sees what became of it. `decide` may run on a thread of the
        store's own.
        """
        ...

    async def load(self, transactional_id: str) -> TxnDescription | None:
        """One of them, and what takes part."""
        ...

    async def all(self, after: str, limit: int) -> list[TxnRow]:
        """At most `limit`, with ids above `after`, in their order."""
        ...

    async def overdue(self, limit: int) -> list[TxnRow]:
        """At most `limit` ONGOING ones that began longer than their timeout ago by the store's clock, in the order of ids. Looks at all rows."""
        ...

    async def idle(self, before: int, limit: int) -> list[TxnRow]:
        """At most `limit` that are neither ONGOING nor PREPARED, and unchanged since before that time, in the order of ids. Looks at all rows."""
        ...

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        """Which (topic id, partition) of the group, of these or of all, have an offset in a transaction that has not ended; sorted.

        Together with the committed ones: `GroupStore.fetch_offsets_and_pending`.
        """
        ...
