"""What travels through the appender: batches on their way into the log, and the flush that takes many of them at once."""

from __future__ import annotations

from collections.abc import Callable

from moldau.metadata.rows import KIND_WAL, AppendEntry
from moldau.records.batch import BatchHeader

from .view import PartitionView

Batch = bytearray | memoryview


class Append:
    """One batch on its way into the log. `done(self)` is called once, on the loop, with the result in the fields."""

    __slots__ = (
        "base_offset",
        "batch",
        "done",
        "durable",
        "error_code",
        "error_message",
        "header",
        "refreshed",
        "retries",
        "view",
    )

    def __init__(
        self, view: PartitionView, batch: Batch, header: BatchHeader, durable: bool, done: Callable[[Append], None]
    ) -> None:
        self.view = view
        self.batch = batch
        self.header = header
        self.durable = durable
        self.done = done
        self.error_code = 0
        self.error_message: str | None = None
        self.base_offset = -1
        self.retries = 0
        self.refreshed = False  # what is said of it is decided on a fresh view

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
        return AppendEntry(
            self.view.partition_id,
            self.base,
            self.end - self.base,
            position,
            self.length,
            self.max_timestamp,
            b"".join(self.folds),
        )


class Flush:
    """Parts of several partitions that are stored and put in order together.

    Where the bytes went is known after they were stored: blob, kind, and the position of each part.
    """

    __slots__ = ("blob_id", "durable", "kind", "now", "parts", "positions")

    def __init__(self, parts: list[Part], durable: bool, now: int) -> None:
        self.parts = parts
        self.durable = durable
        self.now = now
        self.kind = KIND_WAL
        self.blob_id = -1
        self.positions: list[int] = []

    @property
    def length(self) -> int:
        """Bytes of all batches."""
        return sum(part.length for part in self.parts)

    def batches(self) -> list[Batch | bytes]:
        """The batches in the order of the parts."""
        return [append.batch for part in self.parts for append in part.appends]

    def place(self, blob_id: int, position: int) -> list[AppendEntry]:
        """The first batch begins there: note it, and give the rows of the commit."""
        self.blob_id = blob_id
        entries = []
        for part in self.parts:
            self.positions.append(position)
            entries.append(part.entry(position))
            position += part.length
        return entries
