"""The port behind the embedded broker's appender: who stores a flush's bytes and makes its order final (`moldau.log.journal`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from moldau.metadata.rows import AppendResult

from . import sections
from .flush import Flush

Done = Callable[[Flush, list[AppendResult] | None, Exception | None], None]
"""Called once, on the loop's thread: results in the order of the parts, or the error."""


class Sequencer(Protocol):
    """Flushes take effect, and are told, in the order in which they were given."""

    def commit(self, flush: Flush, done: Done) -> None:
        """Store the bytes, then fix their order. `done` may be called before this returns."""
        ...


def section_header(flush: Flush, synced_to: int = 0) -> bytes:
    """What precedes the flush's batches in a write-ahead blob."""
    return sections.pack_header(
        flush.now, synced_to, [(part.view.partition_id, part.base, part.length) for part in flush.parts]
    )
