"""The port behind the appender: who stores a flush's bytes and makes its order final. And the plain way to do it.

`StoreSequencer` is the way of architecture.md: bytes to the blob store, then one commit of the metadata store that may be shared with other
brokers, which may answer that a partition has moved. An embedded broker, alone with its stores, uses `moldau.log.journal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from moldau.metadata.ports import AppendStore
from moldau.metadata.rows import KIND_INLINE, AppendCommit, AppendEntry, AppendResult

from . import sections
from .blob_ids import BlobIds
from .flush import Flush
from .wal import WriteAhead

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


class StoreSequencer:
    """Small flushes ride in the commit; of large ones a second may write its bytes while the first commits."""

    def __init__(
        self, store: AppendStore, wal: WriteAhead, ids: BlobIds, loop: asyncio.AbstractEventLoop, inline_max_bytes: int
    ) -> None:
        self._store = store
        self._wal = wal
        self._ids = ids
        self._loop = loop
        self._inline_max = inline_max_bytes
        self._in_flight = 0

    def commit(self, flush: Flush, done: Done) -> None:
        def committed(results: list[AppendResult] | None, error: Exception | None) -> None:
            self._in_flight -= 1
            done(flush, results, error)

        def ordered(entries: list[AppendEntry], inline: bytes | None) -> None:
            self._store.append(AppendCommit(flush.blob_id, entries, inline, flush.durable, flush.now), committed)

        self._in_flight += 1
        if flush.length <= self._inline_max and self._in_flight == 1:
            flush.kind = KIND_INLINE
            ordered(flush.place(self._ids.take(), 0), b"".join(flush.batches()))
            return
        header = section_header(flush)

        def stored(blob_id: int, position: int, error: Exception | None) -> None:
            # on the blob store's thread: go on to the metadata store's queue without a turn through the loop
            self._loop.call_soon_threadsafe(self._wal.settled, blob_id, error)
            if error is not None:
                self._loop.call_soon_threadsafe(committed, None, error)
            else:
                ordered(flush.place(blob_id, position + len(header)), None)

        self._wal.append([header, *flush.batches()], len(header) + flush.length, flush.durable, stored)
