"""Transactions beside a journal: decided in memory, written there, and rows a little later.

A broker that is alone with its stores knows every transactional id as it is, so nothing has to be read and locked: `change` decides on what is in memory when
its note is made (`moldau.log.note_queue`), in one order with all others. An end gives its markers their offsets on the views in the same step, so no batch is
held up: what was decided before lies before the marker, what comes later behind it, and is refused if it belongs to what has ended. One
write says all of it: the row, the markers, what becomes of the offsets. So there is no state in which a part of an end is to be seen.

What a death costs: before the section is whole nothing has happened; after it all has, and a start makes rows of it (`moldau.log.replay`). If the disk refuses
the section, the views of its partitions and what is known of its transactional ids are dropped, and built anew of what is stored.

Sketch: an end of n partitions costs 10 us + 4 us * n, one write and one sync; as a transaction of SQLite behind a pause of the appender it was
400 us + 45 us * n and two syncs.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.notes import TxnNote
from moldau.metadata.ports_txn import TxnStore
from moldau.metadata.rows import KIND_WAL
from moldau.metadata.rows_groups import OffsetKey
from moldau.metadata.rows_txn import ONGOING, PREPARED, Changed, Decide, TxnChange, TxnDescription, TxnRow

from .journal import Journal
from .note_queue import NoteQueue
from .tail_cache import TailCache
from .views import Views

if TYPE_CHECKING:
    from moldau.metadata.markers import Markers

    from .note_section import NoteSection
    from .view import PartitionView

KNOWN_MAX = 10_000
"""Transactional ids that are kept in memory; others are read when they are asked for."""
_TRIES_MAX = 20
"""A change whose partitions are dropped again and again while it waits for them is given up."""

_NOTHING: frozenset[int] = frozenset()


class StoredTxns(TxnStore, Protocol):
    """The rows behind it."""

    async def taking_part(self, transactional_id: str) -> tuple[TxnRow | None, frozenset[int]]:
        """The row, and the ids of the partitions that take part."""
        ...


class _Known:
    """A transactional id as it is, what is on its way to the disk included."""

    __slots__ = ("partition_ids", "row")

    def __init__(self, row: TxnRow | None, partition_ids: frozenset[int]) -> None:
        self.row = row
        self.partition_ids = partition_ids


class _Change:
    """One call of `change`. `told` gets what it gives, or None when something has to be read before it can be decided (`missing`)."""

    __slots__ = (
        "at",
        "batches",
        "decision",
        "error",
        "firsts",
        "gone",
        "known",
        "markers",
        "missing",
        "note",
        "result",
        "store",
        "told",
        "views",
    )

    def __init__(self, store: JournaledTxnStore, transactional_id: str, decide: Decide, gone: set[int]) -> None:
        self.store = store
        self.decision = decide
        self.gone = gone
        self.note = TxnNote(transactional_id, None)
        self.told: asyncio.Future[Changed | None] = store.loop.create_future()
        self.missing: list[int] = []
        self.known: _Known | None = None
        self.result: Changed | None = None
        self.error: Exception | None = None
        self.markers: Markers | None = (
            None  # of an end: what its markers have in common, the views that they are for, and their bytes
        )
        self.views: list[PartitionView] = []
        self.batches: list[bytes] = []
        self.firsts: list[int] = []
        """Where the transaction began in each view; -1: it wrote nothing."""
        self.at = 0

    def decide(self, section: NoteSection) -> None:
        store, note = self.store, self.note
        known = self.known = store.known.get(note.transactional_id)
        if known is None:
            return
        try:
            note.now = section.now
            change = self.decision(known.row, known.partition_ids, note.now)
            if change is None:
                self.result = Changed(known.row, [])
            elif change.end is None:
                self._change(section, known, change)
            else:
                self._end(section, known, change)
        except Exception as error:
            self.error = error

    def _change(self, section: NoteSection, known: _Known, change: TxnChange) -> None:
        row = self._noted(known, change)
        section.add(self.note, change.durable)
        known.row = row
        known.partition_ids = _NOTHING if row is None else known.partition_ids.union(change.partition_ids)
        self.result = Changed(row, [])

    def _noted(self, known: _Known, change: TxnChange) -> TxnRow | None:
        if change.guard is not None:
            raise ValueError(f"there are no leases beside a journal, {change.guard.name} came")
        note = self.note
        note.row = change.row
        note.begins = known.row is None or known.row.state not in (ONGOING, PREPARED)
        note.partition_ids = [each for each in dict.fromkeys(change.partition_ids) if each not in known.partition_ids]
        note.offsets = change.offsets
        return change.row

    def _end(self, section: NoteSection, known: _Known, change: TxnChange) -> None:
        """Its markers are in the log as far as whoever decides next is concerned; readers of what is committed wait until that is stored."""
        views = self._needed(known, change)
        if views is None:
            return
        row, note, end = self._noted(known, change), self.note, change.end
        assert end is not None
        note.end = end
        note.ends = [(view.partition_id, view.next_offset, view.leader_epoch) for view in views]
        markers = note.markers()
        batches = markers.batches(note.ends)
        self.at = section.add_end(note, markers, batches)  # what raises, raises up to here
        self.markers, self.views, self.batches = markers, views, batches
        commit, producer_id, epoch = end
        now = note.now
        for view in views:
            offset = view.next_offset
            first = view.producers.transactions.open.get(producer_id, -1)
            self.firsts.append(first)
            if first >= 0:
                view.ending.append(first)
            view.producers.mark(producer_id, epoch, offset, commit, now, now)
            view.next_offset = offset + 1
        known.row, known.partition_ids = row, _NOTHING
        self.result = Changed(row, [])

    def _needed(self, known: _Known, change: TxnChange) -> list[PartitionView] | None:
        """Those of what takes part and is alive, in the order of ids; None, and `missing`, when they are not all in memory."""
        views = []
        get, gone = self.store.views.get, self.gone
        for partition_id in sorted(known.partition_ids.union(change.partition_ids)):
            if partition_id in gone:
                continue
            view = get(partition_id)
            if view is None:
                self.missing.append(partition_id)
            else:
                views.append(view)
        return None if self.missing else views

    def written(self, blob_id: int, position: int) -> None:
        if self.markers is not None:
            self._show(self.markers, blob_id, position + self.at)
        if self.told.done():
            return
        if self.error is not None:
            self.told.set_exception(self.error)
        else:
            self.told.set_result(self.result)

    def _show(self, markers: Markers, blob_id: int, position: int) -> None:
        """Readers see the markers, the first of which lies there."""
        assert self.result is not None
        markers.blob_id = blob_id
        add, make, length, shown = self.store.cache.add, markers.extent, markers.length, self.result.markers
        for view, batch, first, (partition_id, base, epoch) in zip(
            self.views, self.batches, self.firsts, self.note.ends, strict=True
        ):
            if first >= 0:
                view.ending.remove(first)
            extent = make(partition_id, base, epoch, view.max_timestamp, position, KIND_WAL)
            position += length
            shown.append(extent)
            if not view.dropped:
                add(view, base, batch)
                view.publish(extent)

    def failed(self, error: Exception) -> None:
        for view in self.views:
            if not view.dropped:
                self.store.views.drop(view.partition_id)
        self.store.known.pop(self.note.transactional_id, None)
        if not self.told.done():
            self.told.set_exception(StoreUnavailable(f"the journal refused it: {error}"))


class JournaledTxnStore:
    """See `moldau.metadata.ports_txn.TxnStore`; but the markers lie in the write-ahead blob. Of a broker that is alone with its stores."""

    def __init__(
        self,
        store: StoredTxns,
        journal: Journal,
        notes: NoteQueue,
        views: Views,
        cache: TailCache,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._store = store
        self._journal = journal
        self._notes = notes
        self.views = views
        self.cache = cache
        self.loop = loop
        self.known: OrderedDict[str, _Known] = OrderedDict()
        """The least recently changed first."""
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        gone: set[int] = set()
        kept: list[int] = []
        try:
            for _ in range(_TRIES_MAX):
                change = _Change(self, transactional_id, decide, gone)
                self._notes.submit(change)
                changed = await change.told
                if changed is not None:
                    self._used(transactional_id)
                    return changed
                if change.known is None:
                    await self._known(transactional_id)
                self.views.keep(change.missing)
                kept += change.missing
                for partition_id in change.missing:
                    if await self.views.load(partition_id) is None:
                        gone.add(partition_id)
        finally:
            if kept:
                self.views.release(kept)
        raise StoreUnavailable(f"the partitions of transaction {transactional_id} are dropped again and again")

    async def _known(self, transactional_id: str) -> None:
        """Read it; one read serves all who wait, so that none of them can bring back what another has changed since."""
        task = self._reading.get(transactional_id)
        if task is None:
            task = self._reading[transactional_id] = self.loop.create_task(self._read(transactional_id))
            task.add_done_callback(lambda _: self._reading.pop(transactional_id))
        await asyncio.shield(task)

    async def _read(self, transactional_id: str) -> None:
        await self._journal.drained()
        self.known[transactional_id] = _Known(*await self._store.taking_part(transactional_id))
        self._used(transactional_id)

    def _used(self, transactional_id: str) -> None:
        known = self.known
        if transactional_id in known:
            known.move_to_end(transactional_id)
        while len(known) > KNOWN_MAX:
            known.popitem(last=False)

    async def load(self, transactional_id: str) -> TxnDescription | None:
        await self._journal.drained()
        return await self._store.load(transactional_id)

    async def all(self, after: str, limit: int) -> list[TxnRow]:
        await self._journal.drained()
        return await self._store.all(after, limit)

    async def overdue(self, limit: int) -> list[TxnRow]:
        await self._journal.drained()
        return await self._store.overdue(limit)

    async def idle(self, before: int, limit: int) -> list[TxnRow]:
        await self._journal.drained()
        return await self._store.idle(before, limit)

    async def pending_offsets(self, group_id: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetKey]:
        await self._journal.drained()
        return await self._store.pending_offsets(group_id, keys)
