"""Groups and their offsets beside a journal: written there, and rows a little later.

A commit of offsets costs no statement of its own: of the many that come for one partition within a tenth of a second only the last becomes a row. Whoever
reads waits until the rows have caught up.

Sketch: 2 us to pack a commit of one partition, its share of one write and one sync, 3 us of the last one for its row; as a transaction of SQLite it
was 20 us and a share of the same sync.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from moldau.metadata.commit_notes import CommitNote
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.metadata.notes import GroupNote

from .journal import Journal
from .note_queue import NoteQueue

if TYPE_CHECKING:
    from moldau.coordination.ports import GroupStore
    from moldau.metadata.rows import Guard
    from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow

    from .note_section import NoteSection


class _Write:
    """What somebody wants written."""

    __slots__ = ("done", "note")

    def __init__(self, note: GroupNote | CommitNote, done: Callable[[StoreError | None], None]) -> None:
        self.note = note
        self.done = done

    def decide(self, section: NoteSection) -> None:
        section.add(self.note, durable=True)

    def written(self, blob_id: int, position: int) -> None:
        self.done(None)

    def failed(self, error: Exception) -> None:
        self.done(StoreUnavailable(f"the journal refused it: {error}"))


class JournaledGroupStore:
    """See `moldau.coordination.ports.GroupStore`. Of a broker that is alone with its stores, so nobody has a lease to guard."""

    def __init__(self, store: GroupStore, journal: Journal, notes: NoteQueue, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._journal = journal
        self._notes = notes
        self._loop = loop

    async def write(
        self,
        records: list[GroupRecord],
        offsets: list[OffsetRow],
        deleted_offsets: list[OffsetKey],
        guard: Guard | None = None,
    ) -> None:
        if guard is not None:
            raise ValueError(f"there are no leases beside a journal, {guard.name} came")
        told: asyncio.Future[None] = self._loop.create_future()

        def done(error: StoreError | None) -> None:
            if told.done():
                return
            if error is not None:
                told.set_exception(error)
            else:
                told.set_result(None)

        self._notes.submit(_Write(GroupNote(records, offsets, deleted_offsets), done))
        await told

    def write_offsets(self, offsets: list[OffsetRow], done: Callable[[StoreError | None], None]) -> None:
        """See `moldau.coordination.ports.OffsetWriter`."""
        self._notes.submit(_Write(GroupNote([], offsets, []), done))

    def write_again(self, note: CommitNote, done: Callable[[StoreError | None], None]) -> None:
        """See `moldau.coordination.ports.OffsetWriter`."""
        self._notes.submit(_Write(note, done))

    async def load_groups(self, wanted: Callable[[str], bool] | None = None) -> list[GroupRecord]:
        await self._journal.drained()
        return await self._store.load_groups(wanted)

    async def fetch_offsets(self, group: str, keys: list[tuple[bytes, int]] | None) -> list[OffsetRow]:
        await self._journal.drained()
        return await self._store.fetch_offsets(group, keys)

    async def fetch_offsets_and_pending(
        self, group: str, keys: list[tuple[bytes, int]] | None
    ) -> tuple[list[OffsetRow], list[OffsetKey]]:
        await self._journal.drained()
        return await self._store.fetch_offsets_and_pending(group, keys)

    async def list_expirable(
        self, now: int, committed_before: int, after: OffsetKey | None, limit: int
    ) -> list[OffsetRow]:
        await self._journal.drained()
        return await self._store.list_expirable(now, committed_before, after, limit)

    async def groups_with_offsets(self, groups: list[str]) -> set[str]:
        await self._journal.drained()
        return await self._store.groups_with_offsets(groups)

    async def offsets_of_topics(self, topic_ids: list[bytes], limit: int) -> list[OffsetKey]:
        await self._journal.drained()
        return await self._store.offsets_of_topics(topic_ids, limit)
