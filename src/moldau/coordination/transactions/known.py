"""What this broker remembers of transactions, to ask the store less often.

It knows of a transaction only what it did for it itself; the store's answer to a guard is what counts. A broker that is alone with its store
knows of each change, so what is remembered here is what is true (`is_open`).
"""

from __future__ import annotations

from collections import OrderedDict

from moldau.metadata.rows_txn import ONGOING, TxnGuard, TxnRow

_ENTRIES_MAX = 50_000


class Known:
    """An ongoing transaction, and the guards of the partitions that take part."""

    __slots__ = ("epoch", "guards", "producer_id", "seq", "version")

    def __init__(self, row: TxnRow) -> None:
        self.producer_id = row.producer_id
        self.epoch = row.epoch
        self.seq = row.seq
        self.version = row.version
        self.guards: dict[int, TxnGuard] = {}


class KnownTransactions:
    """By transactional id, the least recently changed first."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Known] = OrderedDict()

    def of(self, transactional_id: str, producer_id: int, epoch: int) -> Known | None:
        """That producer's transaction."""
        known = self._entries.get(transactional_id)
        if known is None or known.producer_id != producer_id or known.epoch != epoch:
            return None
        return known

    def is_open(self, guard: TxnGuard) -> bool:
        """Whether the transaction goes on, and the partition takes part."""
        known = self._entries.get(guard.transactional_id)
        return known is not None and known.seq == guard.seq and guard.partition_id in known.guards

    def learn(self, transactional_id: str, row: TxnRow | None, partition_ids: list[int]) -> Known | None:
        """The row as a change left it; these take part (others, too)."""
        if row is None or row.state != ONGOING:
            self._entries.pop(transactional_id, None)
            return None
        known = self._entries.get(transactional_id)
        if known is None or (known.producer_id, known.epoch, known.seq) != (row.producer_id, row.epoch, row.seq):
            known = self._entries[transactional_id] = Known(row)
            if len(self._entries) > _ENTRIES_MAX:
                self._entries.popitem(last=False)
        self._entries.move_to_end(transactional_id)
        for partition_id in partition_ids:
            if partition_id not in known.guards:
                known.guards[partition_id] = TxnGuard(partition_id, transactional_id, row.seq)
        return known

    def forget(self, transactional_id: str) -> None:
        """It ends, or what is known of it is in doubt."""
        self._entries.pop(transactional_id, None)
