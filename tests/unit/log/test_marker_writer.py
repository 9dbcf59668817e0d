"""Ends of transactions beside appends: on one machine behind a pause, where stores are shared by race."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.aio import Opener, run
from support.postgres import Postgres
from support.shared import Broker, SlowBlobs
from support.stores import Stores, postgres_opener, sqlite_opener
from support.transactions import abort, begin, commit

from moldau.blobs.local import LocalBlobs
from moldau.log import snapshot
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append
from moldau.log.isolation import told
from moldau.log.journal import Journal
from moldau.log.journaled_store import JournaledStore
from moldau.log.marker_writer import EmbeddedMarkers, batch_of
from moldau.log.reader import Reader
from moldau.log.replay import Replay
from moldau.log.tail_cache import TailCache
from moldau.log.transactions import AbortedRange
from moldau.log.view import PartitionView
from moldau.log.views import Views
from moldau.log.wal import WriteAhead
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows_txn import Changed, TxnGuard
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.control import read_end_txn_marker
from moldau.records.record import Record

OVER = error_codes.INVALID_TXN_STATE


class Embedded:
    """The log of a broker that is alone; `open` are the guards that hold."""

    def __init__(self, it: Stores, folder: Path) -> None:
        self.it = it
        self.blobs = LocalBlobs(folder / "blobs")
        self.loop = asyncio.get_running_loop()
        self.open: set[TxnGuard] = set()

    async def start(self) -> None:
        assert self.it.engine is not None
        self.it.engine.before_sync = self.blobs.sync
        journal_store = SqliteJournalStore(self.it.engine)
        await Replay(journal_store, self.it.maintenance, self.blobs).run()
        ids = BlobIds(await self.it.cluster.reserve_blob_block())
        wal = WriteAhead(self.blobs, self.it.log, self.it.maintenance, ids, lambda: 1)
        await wal.open()
        self.journal = Journal(journal_store, wal, self.loop, 2000)
        store = JournaledStore(self.it.log, self.journal)
        self.cache = TailCache(1 << 20)
        self.views = Views(store, self.cache, 100)
        self.reader = Reader(store, self.blobs, self.cache)
        self.appender = Appender(
            self.journal, self.views, self.cache, lambda: 5, self.loop, 2000, 1 << 20, self.open.__contains__
        )
        self.markers = EmbeddedMarkers(self.appender, self.journal, self.views, self.cache)

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
    async with sqlite_opener(folder)() as it:
        log = Embedded(it, folder)
        await log.start()
        try:
            yield log
        finally:
            await log.blobs.close()


def alone(folder: Path, body: Callable[[Embedded, int], Awaitable[None]]) -> None:
    async def main() -> None:
        async with embedded(folder) as log:
            (p,) = await log.it.topic()
            await asyncio.wait_for(body(log, p), 20)

    run(main())


def test_a_transaction_on_one_machine(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        guard = TxnGuard(p, "t", 1)
        view = await log.view(p)
        none = await log.submit(view, 0)
        assert (none.error_code, none.unguarded) == (OVER, True)
        closed = await log.submit(view, 0, guard)
        assert (closed.error_code, closed.unguarded) == (OVER, False)
        log.open.add(guard)
        await begin(log.it, "t", [p])
        await log.submit(view, 0, None, producer=(9, 0), transactional=False)
        large, small = log.submit(view, 0, guard, size=5000), log.submit(view, 1)
        await asyncio.sleep(0)  # decided
        log.open.clear()  # later batches need no guard
        woken: list[int] = []
        view.waiters.add(lambda each: woken.append(each.last_stable_offset))
        await asyncio.gather(large, small)
        assert (view.high_watermark, view.last_stable_offset, await log.read(view)) == (3, 1, [0])
        late = log.submit(view, 2, size=5000)
        ended = await log.markers.end(lambda: abort(log.it, "t"))
        assert late.done(), "what was there before the end comes before the marker"
        assert [marker.base_offset for marker in ended.markers] == [4]
        assert (view.high_watermark, view.last_stable_offset, await log.read(view)) == (5, 5, [0, 1, 2, 3, 4])
        assert woken[-1] == 5
        found = log.reader.read_now(view, 0, 1 << 20, True)
        assert found is not None
        assert told(view, found[0]) == (found[0], [AbortedRange(5, 1, 4, 5)])
        marker = read_end_txn_marker(found[0][-1])
        assert marker is not None
        assert (marker.offset, marker.commit, marker.producer_id) == (4, False, 5)
        data = await log.it.log.read_inline(ended.markers[0].blob_id)
        assert data == batch_of(ended.markers[0])
        again = await log.submit(view, 3)
        assert (again.error_code, again.unguarded) == (OVER, True)
        assert (await log.submit(view, 3, transactional=False)).base_offset == 5
        assert snapshot.pack((await log.fresh(p)).producers)[20:] == snapshot.pack(view.producers)[20:]

    alone(tmp_path, body)


def test_ends_that_wait_share_a_pause_and_a_failed_one_harms_nobody(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        view = await log.view(p)
        for n in range(5):
            await begin(log.it, f"t{n}", [p], producer_id=n)
            log.open.add(TxnGuard(p, f"t{n}", 1))
        for n in range(5):
            await log.submit(view, 0, TxnGuard(p, f"t{n}", 1), producer=(n, 0))

        async def fails() -> Changed:
            raise ZeroDivisionError

        large = log.submit(view, 1, size=5000, producer=(0, 0))
        works = [log.markers.end(lambda n=n: commit(log.it, f"t{n}", n)) for n in range(5)]  # type: ignore[misc]
        answers = asyncio.gather(*works, log.markers.end(fails), return_exceptions=True)
        while not log.appender._paused:  # rows are brought up before
            await asyncio.sleep(0)
        behind = log.submit(view, 0, producer=(7, 0), transactional=False)
        ended = await answers
        assert isinstance(ended[-1], ZeroDivisionError)
        offsets = sorted(each.markers[0].base_offset for each in ended[:-1] if isinstance(each, Changed))
        assert (offsets, log.appender.pauses.count) == ([6, 7, 8, 9, 10], 1)
        assert ((await large).base_offset, (await behind).base_offset) == (5, 11)
        assert view.last_stable_offset == 12
        assert log.appender.idle

    alone(tmp_path, body)


def test_a_view_that_is_being_built_sees_the_marker(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        await begin(log.it, "t", [p])
        log.open.add(TxnGuard(p, "t", 1))
        await log.submit(await log.view(p), 0, TxnGuard(p, "t", 1))
        log.views.drop(p)
        loading: list[asyncio.Future[PartitionView | None]] = []

        async def change() -> Changed:
            loading.append(asyncio.ensure_future(log.views.load(p)))
            await asyncio.sleep(0)
            return await commit(log.it, "t")

        await log.markers.end(change)
        view = await loading[0]
        assert view is not None
        assert (view.high_watermark, view.last_stable_offset) == (2, 2)
        assert (await log.submit(view, 1, transactional=False)).base_offset == 2

    alone(tmp_path, body)


def test_after_a_lost_reply_views_are_built_anew(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        await begin(log.it, "t", [p])
        log.open.add(TxnGuard(p, "t", 1))
        view = await log.view(p)
        await log.submit(view, 0, TxnGuard(p, "t", 1))

        async def lost() -> Changed:
            await commit(log.it, "t")
            raise StoreUnavailable("no answer")

        with pytest.raises(StoreUnavailable):
            await log.markers.end(lost)
        assert view.dropped
        append = await log.submit(view, 1, transactional=False)
        assert (append.error_code, append.base_offset) == (0, 2)
        assert (await log.view(p)).last_stable_offset == 3

    alone(tmp_path, body)


@pytest.mark.parametrize("seed", range(3))
def test_many_producers_on_one_machine(tmp_path: Path, seed: int) -> None:
    """Each batch is where it was said to be, whatever ends meanwhile, and the views are what the rows say."""

    async def main() -> None:
        (tmp_path / "data").mkdir()
        async with embedded(tmp_path / "data") as log:
            ids = await log.it.topic(partitions=2)
            rng = random.Random(seed)

            async def producer(number: int) -> None:
                sequences = dict.fromkeys(ids, 0)
                for seq in range(1, 9):
                    await begin(log.it, f"t{number}", ids, producer_id=number, seq=seq)
                    guards = {p: TxnGuard(p, f"t{number}", seq) for p in ids}
                    log.open |= set(guards.values())
                    told = []
                    for _ in range(rng.randrange(1, 6)):
                        p = rng.choice(ids)
                        size = rng.choice((20, 20, 3000))
                        told.append(log.submit(await log.view(p), sequences[p], guards[p], size, (number, 0)))
                        sequences[p] += 1
                        if rng.random() < 0.3:
                            await asyncio.sleep(0)
                    assert [each.error_code for each in await asyncio.gather(*told)] == [0] * len(told)
                    end = commit if rng.random() < 0.5 else abort
                    await log.markers.end(lambda end=end: end(log.it, f"t{number}", number))  # type: ignore[misc]
                    log.open -= set(guards.values())

            await asyncio.wait_for(asyncio.gather(*map(producer, range(6))), 30)
            for p in ids:
                view, fresh = await log.view(p), await log.fresh(p)
                assert view.high_watermark == view.last_stable_offset == fresh.high_watermark
                assert view.producers.transactions.aborted == fresh.producers.transactions.aborted
                assert not fresh.producers.transactions.open
                assert fresh.producers.transactions.aborted
                bases = await log.read(view)
                assert bases == list(range(view.high_watermark))
            killed = shutil.copytree(tmp_path / "data", tmp_path / "killed")
            expected = {p: snapshot.pack((await log.view(p)).producers) for p in ids}
        (killed / "metadata.sqlite-shm").unlink(missing_ok=True)
        async with embedded(killed) as log:
            for p in ids:
                view = await log.view(p)
                assert view.last_stable_offset == view.high_watermark
                assert without_times(snapshot.pack(view.producers)) == without_times(expected[p])

    run(main())


def without_times(packed: bytes) -> bytes:
    """The journal has the time of its sections, a view that of the commit."""
    states = snapshot.unpack(packed)
    for producer in states.by_id.values():
        producer.appended_at = 0
    return snapshot.pack(states)


# -- shared -----------------------------------------------------------------------------------------------------------


def test_guards_where_stores_are_shared(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            blobs = SlowBlobs()
            one, other = (Broker(it, number, blobs) for number in (10, 20))
            (p,) = await it.topic()
            first, second = TxnGuard(p, "t", 1), TxnGuard(p, "t", 2)
            assert await one.append(p, b"x", producer=(5, 0, 0), transactional=True) == (OVER, -1)
            assert await one.append(p, b"x", producer=(5, 0, 0), transactional=True, guard=first) == (OVER, -1)
            await begin(it, "t", [p])
            assert await one.append(p, b"a", producer=(5, 0, 0), transactional=True, guard=first) == (0, 0)
            assert await other.append(p, b"b", producer=(5, 0, 1), transactional=True) == (0, 1)
            assert await other.append(p, b"b", producer=(5, 0, 2)) == (OVER, -1)
            view = await other.views.load(p)
            assert view is not None
            assert view.last_stable_offset == 0
            ended = await other.markers.end(lambda: abort(it, "t"))
            assert (ended.markers[0].base_offset, view.last_stable_offset, other.told[p]) == (2, 3, 3)
            # the first broker has not heard of it: its view has the transaction open
            assert await one.append(p, b"c", producer=(5, 0, 2), transactional=True) == (OVER, -1)
            await begin(it, "t", [p], seq=2)
            assert await one.append(p, b"c", producer=(5, 0, 2), transactional=True, guard=first) == (OVER, -1)
            await commit(it, "t", epoch=1)
            await begin(it, "t", [p], seq=3)
            stale = one.append(p, b"c", producer=(5, 0, 2), transactional=True, guard=second)
            assert await stale == (error_codes.INVALID_PRODUCER_EPOCH, -1), "the marker says better why"
            third = TxnGuard(p, "t", 3)
            both = [
                one.begin(p, b"d", producer=(8, 0, 0)),
                one.begin(p, b"c", producer=(5, 1, 0), transactional=True, guard=third),
                one.begin(p, b"e", producer=(8, 0, 1)),
                one.begin(p, b"bad", producer=(6, 0, 0), transactional=True, guard=second),
                one.begin(p, b"f", producer=(8, 0, 2)),
            ]
            assert [code for code, _ in await asyncio.gather(*both)] == [0, 0, 0, OVER, 0]

    run(main())


@pytest.mark.parametrize("mode", ["express", "standard"])
def test_many_producers_where_stores_are_shared(opener: Opener, mode: str) -> None:
    async def main() -> None:
        async with opener() as it:
            await many(it, it, mode)

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["express", "standard"])
def test_many_producers_on_postgresql(postgres: Postgres, mode: str) -> None:
    """Each broker with connections of its own; nobody waits for anybody for ever."""

    async def main() -> None:
        opener = postgres_opener(postgres.url(postgres.database()))
        async with opener() as one, opener() as other:
            await many(one, other, mode, producers=12)

    run(main())


async def many(one: Stores, other: Stores, mode: str, producers: int = 5) -> None:
    """Transactions of many producers through two brokers: each batch is taken, and both come to the same ends and aborted ranges."""
    blobs = SlowBlobs()
    brokers = [Broker(it, number, blobs, mode) for it, number in ((one, 10), (other, 20))]
    ids = await one.topic(partitions=2)
    rng = random.Random(mode)

    async def producer(number: int) -> None:
        sequences = dict.fromkeys(ids, 0)
        for seq in range(1, 6):
            await begin(one, f"t{number}", ids, producer_id=number, seq=seq)
            for _ in range(rng.randrange(1, 5)):
                p, broker = rng.choice(ids), rng.choice(brokers)
                how = (number, 0, sequences[p])
                guard = TxnGuard(p, f"t{number}", seq)
                assert (await broker.append(p, b"v", producer=how, transactional=True, guard=guard))[0] == 0
                sequences[p] += 1
            end, broker = rng.choice((commit, abort)), rng.choice(brokers)
            await broker.markers.end(lambda end=end, it=broker.it: end(it, f"t{number}", number))  # type: ignore[misc]
            over = await broker.append(p, b"v", producer=(100 + number, 0, 0), transactional=True, guard=guard)
            assert over == (OVER, -1)

    await asyncio.wait_for(asyncio.gather(*map(producer, range(producers))), 60)
    for p in ids:
        state = await one.log.load_partition(p)
        assert state is not None
        fresh = PartitionView(state)
        assert fresh.last_stable_offset == fresh.high_watermark
        for broker in brokers:
            view = await broker.refresher.refresh(p)
            assert view is not None
            assert view.producers.transactions.aborted == fresh.producers.transactions.aborted
            assert view.last_stable_offset == fresh.high_watermark
            assert len(await broker.read(p, fresh=False)) == fresh.high_watermark
