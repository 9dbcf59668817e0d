"""The journal of an embedded broker: a write-ahead blob whose sections are bytes and order at once.

Theory of operation
-------------------
A broker that is alone with its stores knows the end of every partition; no commit of another can come between. So the section that it
writes for a flush (`moldau.log.sections`: partitions, base offsets, then the batches) says all that the rows will say, and the flush is
committed once the section is written, and synced if asked: **one write and one sync for bytes and order together**. The rows follow within
`APPLY_SECONDS`, many flushes in one transaction that waits for no sync.

What keeps this the same as a commit of the rows (invariants 1 to 3):

- Sections of a partition are written in the order of its offsets, in one blob at a time, by one queue. The next blob takes its first section
  only when nothing is under way in the one before; after a failed write only when the one before is sealed, durably, at the end of what
  was answered. So whatever happened, replaying the unsealed blobs in order gives the same rows (`moldau.log.replay`).
- Rows and the position up to which the blob is applied change in one transaction: a section is applied once. Small neighbours become one row that has their
  bytes (`moldau.metadata.gathering`); the views take it when it is there.
- A sync of the metadata store first syncs the journal (`SqliteEngine.before_sync`): no power cut leaves rows without bytes.
- Whoever reads or changes rows about the end of a partition asks for `drained` first (`moldau.log.journaled_store`). The segment builder and
  snapshots need no end that is the newest, and do not.
- A blob is sealed, and so becomes a candidate for collection, only when its rows are there.

Sketch: 1 us for a small write, 0.1-0.2 ms for its sync, against 0.04 ms and 0.3 ms for a SQLite transaction; 16 KB requests need one sync
instead of two, and 3 us a row later instead of 20 us now.

Brokers that share a metadata store (`--workers`, the cluster) must not use it: see `moldau.log.shared_appender`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from moldau.blobs.ports import BlobError
from moldau.metadata.gathering import FEW
from moldau.metadata.ports import JournalStore
from moldau.metadata.rows import AppendCommit, Extent

from .blob_ids import BlobIds
from .sequencer import Done, W
from .wal import WriteAhead

log = logging.getLogger(__name__)

APPLY_SECONDS = 0.1
"""Rows follow their sections after this time at most."""
APPLY_ENTRIES = 4096
"""... or when this many wait: a second row of a partition is in the page of the first, so the same rows cost a third less than in four parts."""
ENTRIES_MAX = 100_000
"""Beyond it, with a metadata store that takes no rows, appends are refused."""
NOTES_MAX = 20_000
"""The same of notes, by weight: some tens of megabytes in memory."""
_RETRY_SECONDS = 0.5


class Journal:
    """A `Sequencer`. Everything here runs on the loop's thread."""

    def __init__(
        self,
        store: JournalStore,
        wal: WriteAhead,
        ids: BlobIds,
        loop: asyncio.AbstractEventLoop,
        at_once_max_bytes: int,
    ) -> None:
        self._store = store
        self._ids = ids
        self._wal = wal
        self._loop = loop
        self._at_once_max = at_once_max_bytes
        self._in_flight = 0
        self._begun = 0
        self._settled = 0
        self._placed = 0  # commits that ever waited in _rows, and how many of them are in the store
        self._applied = 0
        self._rows: list[AppendCommit] = []
        self._entries = self._notes = 0
        self._synced = (-1, 0)
        self._applying = False
        self._timer: asyncio.TimerHandle | None = None
        self._drains: list[_Drain] = []
        self.gathered: Callable[[list[Extent]], None] = lambda extents: None
        """Told of extents that stand in the place of several that were published."""
        wal.drained = self.drained

    # -- write --------------------------------------------------------------------------------------------------------

    def commit(self, write: W, done: Done[W]) -> None:
        if self._entries > ENTRIES_MAX or self._notes > NOTES_MAX:
            done(write, None, BlobError(f"{self._entries + self._notes} rows wait for the metadata store"))
            return
        blob_id = self._wal.active()
        buffers = write.section(blob_id, self._synced[1] if blob_id == self._synced[0] else 0)
        header = len(buffers[0])
        length = header + write.length
        self._begun += 1
        if length <= self._at_once_max and not self._in_flight:
            try:
                at = self._wal.append_now(buffers, length, write.durable)
            except BlobError as error:
                self._finish(write, -1, -1, error, done)
                return
            if at is not None:
                self._finish(write, at[0], at[1] + header, None, done)
                return
        self._in_flight += 1

        def written(blob_id: int, position: int, error: Exception | None) -> None:
            self._loop.call_soon_threadsafe(settle, blob_id, position, error)

        def settle(blob_id: int, position: int, error: Exception | None) -> None:
            self._in_flight -= 1
            self._wal.settled(blob_id, error)
            self._finish(write, blob_id, position + header, error, done)

        self._wal.append(buffers, length, write.durable, written)

    def _finish(self, write: W, blob_id: int, position: int, error: Exception | None, done: Done[W]) -> None:
        self._settled += 1
        if error is not None:
            done(write, None, error)
        else:
            commit = write.place(blob_id, position)
            self._rows.append(commit)
            self._placed += 1
            if write.durable:
                self._synced = (blob_id, position + write.length)
            self._entries += len(commit.entries)
            self._notes += commit.notes_weight
            done(write, write.results(commit), None)
            if self._entries + self._notes >= APPLY_ENTRIES:
                self._apply()
            elif self._timer is None and not self._applying:
                self._timer = self._loop.call_later(APPLY_SECONDS, self._apply)
        if self._drains:
            self._tell_drained()

    # -- rows ---------------------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._applying or not self._rows:
            return
        self._applying = True
        rows, self._rows = self._rows, []

        def applied(gathered: list[Extent] | None, error: Exception | None) -> None:
            self._applying = False
            if gathered:
                self.gathered(gathered)
            if error is not None:
                self._rows = rows + self._rows
                # StoreCorrupt cannot be (nobody else writes); if it is, rows are kept until appends are refused and somebody looks
                log.warning("event=journal_not_applied entries=%d error=%s", self._entries, error)
                self._timer = self._loop.call_later(_RETRY_SECONDS, self._apply)
                self._fail_drains(error)
                return
            self._applied += len(rows)
            self._entries -= sum([len(commit.entries) for commit in rows])
            self._notes -= sum([commit.notes_weight for commit in rows])
            if self._drains:
                self._tell_drained()
            if self._rows and self._timer is None and not self._applying:
                self._timer = self._loop.call_later(APPLY_SECONDS, self._apply)

        self._store.apply(rows, applied, self._ids.take_many(self._entries // FEW))

    # -- drain --------------------------------------------------------------------------------------------------------

    async def drained(self) -> None:
        """Everything given to `commit` before this call is in the rows, or failed, when it returns. Raises StoreError."""
        if self._settled == self._begun and self._applied == self._placed:
            return
        drain = _Drain(self._begun, self._loop.create_future())
        self._drains.append(drain)
        self._tell_drained()
        await drain.told

    def _tell_drained(self) -> None:
        """Each waits first for its flushes to settle, then for the rows there were then."""
        still = []
        for drain in self._drains:
            if drain.rows < 0 and self._settled >= drain.begun:
                drain.rows = self._placed
            if drain.rows < 0 or self._applied < drain.rows:
                still.append(drain)
            elif not drain.told.done():
                drain.told.set_result(None)
        self._drains = still
        if any(drain.rows >= 0 for drain in still):
            self._apply()

    def _fail_drains(self, error: Exception) -> None:
        waiting, self._drains = self._drains, []
        for drain in waiting:
            if not drain.told.done():
                drain.told.set_exception(error)


class _Drain:
    """Someone who waits: for the first `begun` flushes to settle, then for the first `rows` commits to be applied."""

    __slots__ = ("begun", "rows", "told")

    def __init__(self, begun: int, told: asyncio.Future[None]) -> None:
        self.begun = begun
        self.rows = -1
        self.told = told
