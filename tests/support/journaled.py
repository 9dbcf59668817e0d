"""The stores of a broker that is alone with them: what is written through its journal, and the log that it orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from pathlib import Path
from typing import Any

from moldau.blobs.local import LocalBlobs
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append
from moldau.log.journal import Journal
from moldau.log.journaled_groups import JournaledGroupStore
from moldau.log.journaled_store import JournaledStore
from moldau.log.journaled_txns import JournaledTxnStore
from moldau.log.note_queue import NoteQueue
from moldau.log.reader import Reader
from moldau.log.replay import Replay
from moldau.log.tail_cache import TailCache
from moldau.log.view import PartitionView
from moldau.log.views import Views
from moldau.log.wal import WriteAhead
from moldau.metadata.ports import AppendDone
from moldau.metadata.rows import AppendCommit
from moldau.metadata.rows_txn import Changed, Decide, TxnGuard
from moldau.metadata.sql.share_rows import SqlShareStore
from moldau.metadata.sql.txn_rows import SqlTxnStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.record import Record

from .stores import Stores, sqlite_opener


class Embedded:
    """The log of a broker that is alone; `open` are the guards that hold."""

    def __init__(self, it: Stores, folder: Path) -> None:
        self.it = it
        self.blobs = LocalBlobs(folder / "blobs")
        self.loop = asyncio.get_running_loop()
        self.open: set[TxnGuard] = set()

    async def start(self) -> None:
        engine = self.it.engine
        assert isinstance(engine, SqliteEngine)
        engine.before_sync = self.blobs.sync
        journal_store = SqliteJournalStore(engine)
        await Replay(journal_store, self.it.maintenance, self.blobs).run()
        ids = BlobIds(await self.it.cluster.reserve_blob_block())
        clock = self.it.clock
        wal = self.wal = WriteAhead(self.blobs, self.it.log, self.it.maintenance, ids, clock)
        await wal.open()
        self.journal = Journal(journal_store, wal, ids, self.loop, 2000)
        self.notes = NoteQueue(self.journal, clock, self.loop)
        store = JournaledStore(self.it.log, self.journal)
        self.cache = TailCache(1 << 20)
        self.views = Views(store, self.cache, 100)
        self.journal.gathered = self.views.gathered
        self.reader = Reader(store, self.blobs, self.cache)
        self.appender = Appender(
            self.journal, self.views, self.cache, clock, self.loop, 2000, 1 << 20, self.open.__contains__
        )
        stored = SqlTxnStore(engine, self.it.cluster)
        self.txns = JournaledTxnStore(stored, self.journal, self.notes, self.views, self.cache, self.loop)
        self.groups = JournaledGroupStore(self.it.groups, self.journal, self.notes, self.loop)

    async def view(self, partition_id: int) -> PartitionView:
        view = await self.views.load(partition_id)
        assert view is not None
        return view

    async def fresh(self, partition_id: int) -> PartitionView:
        """As the rows say."""
        await self.journal.drained()
        state = await self.it.log.load_partition(partition_id)
        assert state is not None
        return PartitionView(state)

    def submit(
        self,
        view: PartitionView,
        sequence: int,
        guard: TxnGuard | None = None,
        size: int = 50,
        producer: tuple[int, int] = (5, 0),
        transactional: bool = True,
    ) -> asyncio.Future[Append]:
        batch = build_batch(
            [Record(0, 7, None, bytes(size))],
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=sequence,
            transactional=transactional,
        )
        told: asyncio.Future[Append] = self.loop.create_future()
        self.appender.submit(Append(view, batch, BatchHeader(batch), True, told.set_result, guard))
        return told

    async def read(self, view: PartitionView, offset: int = 0) -> list[int]:
        """Base offsets of what readers of committed records get; all of it is in memory."""
        found = self.reader.read_now(view, offset, 1 << 20, True, view.last_stable_offset)
        assert found is not None
        return [BatchHeader(buffer).base_offset for buffer in found[0]]


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[Embedded]:
    """Ends as if killed: nothing is sealed, and rows may be missing."""
    folder.mkdir(exist_ok=True)
    async with sqlite_opener(folder)() as it:
        log = Embedded(it, folder)
        await log.start()
        try:
            yield log
        finally:
            await log.blobs.close()


class _Log(JournaledStore):
    """With what tests of a contract do behind the broker's back."""

    def __init__(self, log: Embedded) -> None:
        super().__init__(log.it.log, log.journal)
        self._all = log

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        async def behind() -> None:
            await self._journal.drained()
            self._all.it.log.append(commit, done)

        task = self._all.loop.create_task(behind())
        task.add_done_callback(asyncio.Task.result)

    async def read_inline(self, blob_id: int) -> bytes | None:
        """A write-ahead blob is one, too, for those who look for markers."""
        size = (await self._all.blobs.sizes()).get(blob_id)
        return await super().read_inline(blob_id) if size is None else await self._all.blobs.read(blob_id, 0, size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._all.it.log, name)


class _Txns(JournaledTxnStore):
    """Asks the rows where a partition ends, because others move it here."""

    async def change(self, transactional_id: str, decide: Decide) -> Changed:
        for view in self.views.all():
            self.views.drop(view.partition_id)
        return await super().change(transactional_id, decide)


def journaled_opener(folder: Path) -> Any:
    """The stores of an embedded broker, for the contracts of those that are behind its journal."""

    @asynccontextmanager
    async def opener() -> AsyncIterator[Stores]:
        async with embedded(folder) as log:
            it, log.it = log.it, copy(log.it)  # the log itself goes on with the stores behind its journal
            log.txns.__class__ = _Txns
            it.groups, it.txns = log.groups, log.txns
            assert isinstance(it.engine, SqliteEngine)
            it.shares = SqlShareStore(it.engine, log.journal.drained)
            it.log = _Log(log)  # type: ignore[assignment]
            yield it

    return opener
