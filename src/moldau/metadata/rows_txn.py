"""Rows of transactions as values, and what one change of a transaction does. Times are ms since the epoch by the store's clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from .rows import Extent, Guard
from .rows_groups import OffsetRow

EMPTY: Final = 0
"""It has a producer id, and no transaction yet since it got its epoch."""
ONGOING: Final = 1
PREPARED: Final = 2
"""Of two phases: it waits for the word of an outer coordinator, without a time-out (KIP-939)."""
COMMITTED: Final = 3
"""The last transaction was."""
ABORTED: Final = 4


class TxnRow(NamedTuple):
    """A transactional id. The row is the fence of its producers: every change of a transaction locks it.

    `seq` rises at each begin: an append that opens the transaction in a partition names it. `previous_id` and `previous_epoch` are what the
    producer had before the last change of `producer_id` or `epoch` (-1: none), so that a request that is sent again is known.
    """

    transactional_id: str
    producer_id: int
    epoch: int
    previous_id: int
    previous_epoch: int
    state: int
    seq: int
    timeout_ms: int
    started_ms: int
    updated_ms: int
    version: int


class TxnGuard(NamedTuple):
    """An append that opens a transaction in a partition: the row must still be ONGOING with that `seq`, and name the partition."""

    partition_id: int
    transactional_id: str
    seq: int


class End(NamedTuple):
    """Markers for every partition that takes part, and what becomes of its offsets. The markers carry this producer id and epoch."""

    commit: bool
    producer_id: int
    epoch: int


class TxnChange:
    """What is to be done in one transaction of the store. `row` (of the same transactional id) None deletes it, with whatever took part.

    `partition_ids` and `offsets` (with their group inside) take part from now on; of an offset that is given twice the last one counts. `guard`
    is the lease of the group's shard. `end` comes after them, and concerns them, too. Not `durable` is what loses its sense without something that
    is written later and synced; a store may sync it nevertheless.
    """

    __slots__ = ("durable", "end", "guard", "offsets", "partition_ids", "row")

    def __init__(
        self,
        row: TxnRow | None,
        partition_ids: list[int] | None = None,
        offsets: list[OffsetRow] | None = None,
        guard: Guard | None = None,
        end: End | None = None,
        durable: bool = True,
    ) -> None:
        self.row = row
        self.partition_ids = partition_ids or []
        self.offsets = offsets or []
        self.guard = guard
        self.end = end
        self.durable = durable


Decide = Callable[[TxnRow | None, frozenset[int], int], TxnChange | None]
"""Pure; may be called again, with a newer row. The row as it is under its lock (None: there is none), the partitions that take part, and the
store's time. None: nothing is to be done. What it raises ends the store's transaction, which then has done nothing."""


class Changed(NamedTuple):
    """The row as it is now, and of an end the marker's extent for each partition, alive ones only, in the order of ids."""

    row: TxnRow | None
    markers: list[Extent]


class TxnDescription(NamedTuple):
    """A transactional id with the partitions that take part: (topic id, partition index) each, alive ones only."""

    row: TxnRow
    partitions: list[tuple[bytes, int]]
