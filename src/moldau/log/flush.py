"""What travels through the appender: batches on their way into the log, and the flush that takes many of them at once."""

from __future__ import annotations

from collections.abc import Callable

from moldau.blobs.ports import Buffer
from moldau.metadata.gathering import SMALL_BYTES
from moldau.metadata.rows import APPENDED, KIND_WAL, AppendCommit, AppendEntry, AppendResult
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader

from . import sections
from .producer_state import ProducerStates, Refused, Remembered
from .view import PartitionView

Batch = bytearray | memoryview


class Append:
    """One batch on its way into the log. `done(self)` is called once, on the loop, with the result in the fields.

    A transactional batch may open its transaction in the partition only with `guard`; where the transaction is open already none is looked at.
    Without one, and with one that does not hold, the error is INVALID_TXN_STATE, and `unguarded` or not says which it was. `from_zero`: of a
    producer that the partition does not know the first sequence must be 0 (transactions of version 2).
    """

    __slots__ = (
        "base_offset",
        "batch",
        "done",
        "durable",
        "error_code",
        "error_message",
        "from_zero",
        "guard",
        "header",
        "refreshed",
        "retries",
        "unguarded",
        "view",
    )

    def __init__(
        self,
        view: PartitionView,
        batch: Batch,
        header: BatchHeader,
        durable: bool,
        done: Callable[[Append], None],
        guard: TxnGuard | None = None,
        from_zero: bool = False,
    ) -> None:
        self.view = view
        self.batch = batch
        self.header = header
        self.durable = durable
        self.done = done
        self.guard = guard
        self.from_zero = from_zero
        self.unguarded = False
        self.error_code = 0
        self.error_message: str | None = None
        self.base_offset = -1
        self.retries = 0
        self.refreshed = False  # what is said of it is decided on a fresh view

    def check(self, states: ProducerStates) -> Remembered | None:
        """As `ProducerStates.check`, and that nothing opens a transaction without a guard. Raises Refused."""
        repeated = states.check(self.header, self.from_zero)
        if repeated is None and self.guard is None and states.opens(self.header):
            self.unguarded = True
            raise Refused(
                error_codes.INVALID_TXN_STATE,
                f"producer {self.header.producer_id} has no transaction open in the partition",
            )
        return repeated

    def fail(self, error_code: int, message: str | None) -> None:
        """Answer with an error."""
        self.error_code = error_code
        self.error_message = message
        self.done(self)


class Part:
    """The batches of one partition in one flush, one after the other from offset `base` to `end` (exclusive)."""

    __slots__ = ("appends", "base", "end", "folds", "length", "max_timestamp", "view")

    def __init__(self, view: PartitionView) -> None:
        self.view = view
        self.base = self.end = view.next_offset
        self.appends: list[Append] = []
        self.folds: list[bytes] = []
        self.length = 0
        self.max_timestamp = -1

    def entry(self, position: int) -> AppendEntry:
        """Its row in a commit, given where its bytes begin in the blob."""
        data: Batch | bytes | None = None
        if self.length <= SMALL_BYTES:
            appends = self.appends
            data = appends[0].batch if len(appends) == 1 else b"".join([append.batch for append in appends])
        return AppendEntry(
            self.view.partition_id,
            self.base,
            self.end - self.base,
            position,
            self.length,
            self.max_timestamp,
            self.folds[0] if len(self.folds) == 1 else b"".join(self.folds),
            data,
        )


class Flush:
    """Parts of several partitions that are stored and put in order together.

    Where the bytes went is known after they were stored: blob, kind, and the position of each part.
    """

    __slots__ = ("blob_id", "durable", "kind", "length", "now", "parts", "positions")

    def __init__(self, parts: list[Part], durable: bool, now: int) -> None:
        self.parts = parts
        self.durable = durable
        self.now = now
        self.kind = KIND_WAL
        self.blob_id = -1
        self.positions: list[int] = []
        self.length = sum([part.length for part in parts])
        """Bytes of all batches."""

    def section(self, blob_id: int, synced_to: int) -> list[Buffer]:
        """See `Write`: the batches in the order of the parts."""
        batches = [append.batch for part in self.parts for append in part.appends]
        table = [(part.view.partition_id, part.base, part.length) for part in self.parts]
        return [sections.pack_header(blob_id, self.now, synced_to, sections.sum_of(batches), table), *batches]

    def place(self, blob_id: int, position: int) -> AppendCommit:
        """The first batch begins there: note it, and give the commit."""
        self.blob_id = blob_id
        positions, entries = self.positions, []
        for part in self.parts:
            positions.append(position)
            entries.append(part.entry(position))
            position += part.length
        return AppendCommit(blob_id, entries, None, False, self.now)

    def results(self, commit: AppendCommit) -> list[AppendResult]:
        """What a journal answers: nobody else has moved a partition's end."""
        return [
            AppendResult(
                APPENDED,
                entry.expected_end,
                part.view.leader_epoch,
                max(part.view.max_timestamp, entry.max_timestamp),
            )
            for part, entry in zip(self.parts, commit.entries, strict=True)
        ]
