"""The journal of an embedded broker: what is committed is in its sections at once and in the rows soon; whatever happens, a replay agrees."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.aio import run
from support.stores import Stores, sqlite_opener, topic_id

from moldau import faults
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobError
from moldau.log import wal as wal_module
from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append, Flush, Part
from moldau.log.journal import Journal
from moldau.log.journaled_store import JournaledStore
from moldau.log.replay import Replay
from moldau.log.view import PartitionView
from moldau.log.wal import WriteAhead
from moldau.metadata.errors import StoreError
from moldau.metadata.rows import APPENDED, AppendResult, Extent
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.records.batch import BatchHeader, set_base_offset
from moldau.records.builder import build_batch
from moldau.records.record import Record


@pytest.fixture(autouse=True)
def disarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wal_module, "RETRY_SECONDS", 0.01)
    yield
    faults.arm("")


class Log:
    """One life of a data directory: stores, journal, and a way to say a flush."""

    def __init__(self, it: Stores, folder: Path) -> None:
        assert it.engine is not None
        self.it = it
        self.blobs = LocalBlobs(folder / "blobs")
        it.engine.before_sync = self.blobs.sync
        self.journal_store = SqliteJournalStore(it.engine)
        self.loop = asyncio.get_running_loop()
        self.block = 0

    async def open(self) -> None:
        await Replay(self.journal_store, self.it.maintenance, self.blobs).run()
        ids = BlobIds(await self.it.cluster.reserve_blob_block())
        self.wal = WriteAhead(self.blobs, self.it.log, self.it.maintenance, ids, lambda: 1)
        await self.wal.open()
        self.journal = Journal(self.journal_store, self.wal, ids, self.loop, 2000)
        self.store = JournaledStore(self.it.log, self.journal)

    async def view(self, partition_id: int) -> PartitionView:
        state = await self.store.load_partition(partition_id)
        assert state is not None
        return PartitionView(state)

    def flush(self, view: PartitionView, size: int = 50, durable: bool = True) -> asyncio.Future[AppendResult]:
        """One batch of one record."""
        batch = build_batch([Record(0, 7, None, bytes(size))])
        header = BatchHeader(batch)
        part = Part(view)
        set_base_offset(batch, 0, view.next_offset, view.leader_epoch)
        part.appends.append(Append(view, batch, header, durable, lambda _: None))
        view.next_offset = part.end = view.next_offset + 1
        part.length, part.max_timestamp = len(batch), header.max_timestamp
        told: asyncio.Future[AppendResult] = self.loop.create_future()

        def done(_: Flush, results: list[AppendResult] | None, error: Exception | None) -> None:
            if error is not None:
                told.set_exception(error)
            else:
                assert results is not None
                told.set_result(results[0])

        self.journal.commit(Flush([part], durable, 1), done)
        return told

    async def extents(self, partition_id: int) -> list[Extent]:
        return await self.store.extents_from(partition_id, 0, 10_000)


@asynccontextmanager
async def log_in(folder: Path) -> AsyncIterator[Log]:
    """Ends as if killed: nothing is sealed."""
    folder.mkdir(exist_ok=True)
    async with sqlite_opener(folder)() as it:
        log = Log(it, folder)
        await log.open()
        try:
            yield log
        finally:
            faults.arm("")
            await log.blobs.close()


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    (to / "metadata.sqlite-shm").unlink(missing_ok=True)
    return to


def without_place(extents: list[Extent]) -> list[tuple[int, int, int, int]]:
    return [(each.base_offset, each.last_offset, each.blob_id, each.position) for each in extents]


def test_the_rows_follow(tmp_path: Path) -> None:
    async def main() -> None:
        async with log_in(tmp_path) as log:
            p, q = await log.it.topic(partitions=2)
            first, second = await log.view(p), await log.view(q)
            for view, size in ((first, 50), (second, 50), (first, 5000), (first, 50)):
                answer = await log.flush(view, size)
                assert (answer.status, answer.offset) == (APPENDED, view.next_offset - 1)
            assert [(each.base_offset, each.last_offset) for each in await log.extents(p)] == [(0, 0), (1, 1), (2, 2)]
            assert (await log.it.row(q)).end_offset == 1
            assert log.journal._entries == 0

    run(main())


def test_rows_of_many_partitions_follow_together(tmp_path: Path) -> None:
    """More than one statement takes; those of a topic that was deleted meanwhile are left out."""

    async def main() -> None:
        async with log_in(tmp_path) as log:
            ids = await log.it.topic(partitions=300)
            gone = await log.it.topic("gone", partitions=2)
            views = [await log.view(p) for p in (*ids, *gone)]
            await asyncio.gather(*[log.flush(view, 50 + number % 3) for number, view in enumerate(views)])
            await asyncio.gather(*[log.flush(view) for view in views[::7]])
            await log.it.topics.delete_topic(topic_id("gone"), 5)
            await log.journal.drained()
            for number, p in enumerate(ids):
                row, extents = await log.it.row(p), await log.it.extents(p)
                assert row.end_offset == len(extents) == (1 if number % 7 else 2)
                assert row.bytes_total == sum(each.length for each in extents)
                assert row.max_timestamp == extents[-1].running_max_timestamp == 7
            for p in gone:
                assert await log.it.extents(p) == []

    run(main())


@pytest.mark.slow
def test_a_death_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """Copies of the directory, taken while rows wait, become what the living log becomes."""

    async def main() -> None:
        copies = []
        async with log_in(tmp_path / "alive") as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            for number in range(30):
                await log.flush(view, 3000 if number % 3 else 40, durable=number % 2 == 0)
                if number % 7 == 0:
                    copies.append((number + 1, copy(tmp_path / "alive", tmp_path / f"copy{number}")))
                if number == 15:
                    await log.journal.drained()
            whole = without_place(await log.extents(p))
        for count, folder in copies:
            async with log_in(folder) as log:
                assert without_place(await log.extents(p)) == whole[:count]
                await log.flush(await log.view(p))
                assert len(await log.extents(p)) == count + 1

    run(main())


@pytest.mark.slow
def test_blobs_are_sealed_with_all_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal_module, "ROLL_BYTES", 20_000)

    async def main() -> None:
        async with log_in(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            for _ in range(60):
                await asyncio.gather(*[log.flush(view, 3000) for _ in range(3)])
                for row in await log.it.maintenance.blobs():
                    if row.size >= 0:
                        named = [each for each in await log.it.extents(p) if each.blob_id == row.blob_id]
                        assert named, "sealed before its rows were there"
                        assert named[-1].position + named[-1].length == row.size
            extents = await log.extents(p)
            assert [each.base_offset for each in extents] == list(range(180))
            blob_ids = [each.blob_id for each in extents]
            assert blob_ids == sorted(blob_ids)
            assert len(set(blob_ids)) > 3

    run(main())


@pytest.mark.parametrize("point", ["blobs.local.write", "blobs.local.written", "blobs.local.sync"])
@pytest.mark.parametrize("size", [50, 5000])
def test_after_a_failure_nothing_that_failed_comes_back(tmp_path: Path, point: str, size: int) -> None:
    """What was answered with an error is written, perhaps; but its offset now belongs to another record."""

    async def main() -> None:
        async with log_in(tmp_path / "alive") as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            await log.flush(view, size)
            faults.arm(f"{point}=fail")
            failed = [log.flush(view, size), log.flush(view, size)]
            found = await asyncio.gather(*failed, return_exceptions=True)
            assert all(isinstance(each, Exception) for each in found)
            faults.arm("")
            while True:
                try:  # an apply that met the fault may still be under way
                    view = await log.view(p)
                    assert view.next_offset == 1
                    answer = await log.flush(view, size + 100)
                    break
                except (StoreError, BlobError):
                    await asyncio.sleep(0.01)
            assert answer.offset == 1
            copy(tmp_path / "alive", tmp_path / "copy")
            assert len({each.blob_id for each in await log.extents(p)}) == 2
        async with log_in(tmp_path / "copy") as log:
            first, second = await log.extents(p)
            assert first.length < size + 100 < second.length

    run(main())


def test_a_lost_reply_of_the_metadata_store(tmp_path: Path) -> None:
    """The rows were committed, and the journal was told they were not: they are given again, and not doubled."""

    async def main() -> None:
        async with log_in(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            faults.arm("metadata.sqlite.committed=fail")
            for _ in range(5):
                await log.flush(view)
            with pytest.raises(Exception, match="fault point"):
                await log.journal.drained()
            faults.arm("")
            await log.flush(view)
            assert [(each.base_offset, each.last_offset) for each in await log.extents(p)] == [(0, 4), (5, 5)]
            for _ in range(4):  # given again together with new ones
                await log.flush(view)
            assert [(each.base_offset, each.last_offset) for each in await log.extents(p)][2:] == [(6, 9)]
            assert (await log.it.row(p)).bytes_total == sum(each.length for each in await log.extents(p))

    run(main())
