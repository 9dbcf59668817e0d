"""The port behind what is written by an embedded broker: who stores bytes and makes their order final (`moldau.log.journal`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from moldau.blobs.ports import Buffer
from moldau.metadata.rows import AppendCommit, AppendResult


class Write(Protocol):
    """What becomes one section: a `Flush` of batches, or notes."""

    durable: bool

    @property
    def length(self) -> int:
        """Bytes behind the header."""
        ...

    def section(self, blob_id: int, synced_to: int) -> list[Buffer]:
        """The header, and what follows it, for that blob, which is known to be synced up to there."""
        ...

    def place(self, blob_id: int, position: int) -> AppendCommit:
        """What follows the header is there: the rows that are to be."""
        ...

    def results(self, commit: AppendCommit) -> list[AppendResult]:
        """The answer, now that it is stored."""
        ...


W = TypeVar("W", bound=Write)
Done = Callable[[W, "list[AppendResult] | None", "Exception | None"], None]
"""Called once, on the loop's thread: the results, or the error."""


class Sequencer(Protocol):
    """Writes take effect, and are told, in the order in which they were given."""

    def commit(self, write: W, done: Done[W]) -> None:
        """Store the bytes, then fix their order. `done` may be called before this returns."""
        ...
