"""Brokers that share stores, as far as appending goes, and what can go wrong with the stores."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import BlobError, Buffer
from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append
from moldau.log.marker_writer import SharedMarkers
from moldau.log.reader import Reader
from moldau.log.refresher import Refresher
from moldau.log.shared_appender import SharedAppender
from moldau.log.storage import AUTO, AppendRules
from moldau.log.tail_cache import TailCache
from moldau.log.views import Views
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.ports import AppendDone, Decide
from moldau.metadata.rows import MOVED, AppendCommit, AppendResult
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader, iter_headers
from moldau.records.builder import build_batch
from moldau.records.record import Record, iter_records

from .stores import AppendLogStore, Stores

Producer = tuple[int, int, int]
"""Id, epoch, sequence."""


class SlowBlobs(MemoryBlobs):
    """`before` is awaited before a put; `failures` are raised by the next puts, of which `stored` says whether the bytes got there."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[int], Any] | None = None
        self.failures = 0
        self.stored = False
        self.puts: list[int] = []
        """Sizes."""
        self.running = self.most = 0

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        self.puts.append(sum(len(buffer) for buffer in buffers))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.before is not None:
                await self.before(blob_id)
            if self.failures:
                self.failures -= 1
                if self.stored:
                    await super().put(blob_id, buffers)
                raise BlobError("a put that failed")
            return await super().put(blob_id, buffers)
        finally:
            self.running -= 1


class Doubtful:
    """An `AppendStore` whose next commits are in doubt; `happens` says whether they take effect. It counts what lost in a row."""

    def __init__(self, store: AppendLogStore) -> None:
        self._store = store
        self.doubts = 0
        self.happens = True
        self.commits: list[AppendCommit] = []
        self.locked = 0
        self.lost_in_a_row: Counter[int] = Counter()
        self.most_lost = 0
        self.held = asyncio.Event()
        self._released: asyncio.Event | None = None

    def hold(self) -> None:
        """Answers of commits wait from now on; `held` says that one does."""
        self._released = asyncio.Event()

    def release(self) -> None:
        """They go on."""
        assert self._released is not None
        self._released.set()
        self._released = None

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        self.commits.append(commit)
        doubted = self.doubts > 0
        self.doubts -= doubted

        def told(results: list[AppendResult] | None, error: Exception | None) -> None:
            for entry, result in zip(commit.entries, results or [], strict=False):
                if result.status == MOVED:
                    self.lost_in_a_row[entry.partition_id] += 1
                else:
                    del self.lost_in_a_row[entry.partition_id]
            self.most_lost = max(self.most_lost, *self.lost_in_a_row.values(), 0)
            answer = (None if doubted else results, StoreUnavailable("no answer") if doubted else error)
            if self._released is None:
                done(*answer)
            else:
                asyncio.get_running_loop().create_task(self._later(done, answer, self._released))

        if doubted and not self.happens:
            asyncio.get_running_loop().call_soon(told, None, None)
        else:
            self._store.append(commit, told)

    async def _later(self, done: AppendDone, answer: Any, released: asyncio.Event) -> None:
        self.held.set()
        await released.wait()
        done(*answer)

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Decide, guards: tuple[TxnGuard, ...] = ()
    ) -> list[AppendResult]:
        self.locked += 1
        doubted = self.doubts > 0
        self.doubts -= doubted
        if doubted and not self.happens:
            raise StoreUnavailable("no answer")
        results = await self._store.append_locked(known, blob_id, decide, guards)
        for partition_id in known:
            del self.lost_in_a_row[partition_id]
        if doubted:
            raise StoreUnavailable("no answer")
        if self._released is not None:
            released = self._released
            self.held.set()
            await released.wait()
        return results


class Broker:
    """The log of one broker. `modes` may be changed at any time."""

    def __init__(
        self, it: Stores, number: int, blobs: MemoryBlobs, mode: str = AUTO, rules: AppendRules | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.it = it
        self.mode = mode
        self.cache = TailCache(1 << 20)
        self.views = Views(it.log, self.cache, 100)
        self.refresher = Refresher(it.log, self.views)
        self.told: dict[int, int] = {}
        self.store = Doubtful(it.log)
        self.reader = Reader(it.log, blobs, self.cache, guesses=True)
        self.ids = BlobIds(number)
        self.markers = SharedMarkers(self.refresher, self.views, self.cache, self.told.__setitem__)
        self.appender = SharedAppender(
            self.store,
            blobs,
            self.ids,
            self.views,
            self.cache,
            self.refresher,
            lambda: 1000,
            loop,
            rules or AppendRules(upload_linger_ms=1),
            lambda topic_id: self.mode,
            self.told.__setitem__,
        )

    async def append(self, partition_id: int, *values: bytes, **how: Any) -> tuple[int, int]:
        """(error code, base offset) of one batch; `how` as for `begin`."""
        return await self.begin(partition_id, *values, **how)

    def begin(
        self,
        partition_id: int,
        *values: bytes,
        producer: Producer = (-1, -1, -1),
        transactional: bool = False,
        guard: TxnGuard | None = None,
    ) -> asyncio.Future[tuple[int, int]]:
        """As `append`; batches that are begun one after the other arrive so. The view must be in memory, or is loaded first."""
        batch = build_batch(
            [Record(n, 7, None, value) for n, value in enumerate(values)],
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=producer[2],
            transactional=transactional,
        )
        told: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()

        def done(append: Append) -> None:
            told.set_result((append.error_code, append.base_offset))

        def loaded(view: Any, error: Exception | None) -> None:
            assert view is not None
            self.appender.submit(Append(view, batch, BatchHeader(batch), True, done, guard))

        self.views.load_then(partition_id, loaded)
        return told

    async def read(self, partition_id: int, *, fresh: bool = True) -> list[tuple[int, bytes]]:
        """(offset, value) of everything, on a view that is built anew or as this broker has it."""
        if fresh:
            self.views.drop(partition_id)
        view = await self.views.load(partition_id)
        assert view is not None
        found: list[tuple[int, bytes]] = []
        offset = view.log_start_offset
        while offset < view.high_watermark:
            buffers, _ = await self.reader.read(view, offset, 1 << 20, True)
            for buffer in buffers:
                for at, header in iter_headers(buffer):
                    records = iter_records(memoryview(buffer)[at : at + header.size])
                    found += [(record.offset, bytes(record.value or b"")) for record in records]
            offset = found[-1][0] + 1
        return found


async def hammer(brokers: list[Broker], ids: list[int], seed: int, batches: int = 25) -> None:
    """Idempotent producers with several batches under way, others that change their broker after each, and plain ones; nobody is refused.

    What each was told is what is in the log, and nothing else is.
    """
    told: dict[int, list[tuple[int, bytes]]] = {p: [] for p in ids}
    chance = random.Random(seed)

    def values(name: int, n: int) -> list[bytes]:
        pad = b"." * chance.choice((0, 10, 10, 3000))
        return [b"%d-%d-%d" % (name, n, k) + pad for k in range(chance.choice((1, 1, 4)))]

    def keep(p: int, answer: tuple[int, int], sent: list[bytes]) -> None:
        assert answer[0] == 0, answer
        told[p] += [(answer[1] + k, value) for k, value in enumerate(sent)]

    async def pipelined(name: int, p: int, broker: Broker) -> None:
        sequence = 0
        under_way: list[tuple[asyncio.Future[tuple[int, int]], list[bytes]]] = []
        for n in range(batches):
            sent = values(name, n)
            under_way.append((broker.begin(p, *sent, producer=(name, 0, sequence)), sent))
            sequence += len(sent)
            if len(under_way) == 5:
                keep(p, await under_way[0][0], under_way.pop(0)[1])
        for future, sent in under_way:
            keep(p, await future, sent)

    async def wanderer(name: int, p: int) -> None:
        sequence = 0
        for n in range(batches):
            sent = values(name, n)
            producer = (name, 0, sequence)
            answer = await chance.choice(brokers).append(p, *sent, producer=producer)
            keep(p, answer, sent)
            if n % 5 == 0:  # a retry of what was answered, somewhere
                assert await chance.choice(brokers).append(p, *sent, producer=producer) == answer
            sequence += len(sent)

    async def plain(name: int, p: int) -> None:
        for n in range(batches):
            sent = values(name, n)
            keep(p, await chance.choice(brokers).append(p, *sent), sent)

    jobs = [pipelined(100 * k + i, p, broker) for i, p in enumerate(ids) for k, broker in enumerate(brokers)]
    jobs += [wanderer(1000 + i, p) for i, p in enumerate(ids)] + [plain(2000 + i, p) for i, p in enumerate(ids)]
    await asyncio.gather(*jobs)
    for p in ids:
        expected = sorted(told[p])
        assert [offset for offset, _ in expected] == list(range(len(expected)))
        for broker in brokers:
            assert await broker.read(p) == expected
        order: dict[bytes, int] = {}
        for _, value in expected:
            name, n, _ = value.split(b"-")
            assert order.get(name, -1) <= int(n), "batches of one producer changed places"
            order[name] = int(n)
    for broker in brokers:
        assert broker.appender.idle
        assert broker.appender.pending_bytes == 0
        assert broker.store.most_lost <= 1, "who loses a race takes the lock"
    assert await brokers[0].it.maintenance.live_counts() == []


async def persistent(brokers: list[Broker], ids: list[int], seed: int, batches: int = 15) -> int:
    """Idempotent producers that try again, anywhere, what failed: in the end the log has each batch once, and in order. Returns how often they tried again."""
    chance = random.Random(seed)
    told: dict[int, list[tuple[int, bytes]]] = {p: [] for p in ids}
    tries = 0

    async def producer(name: int, p: int) -> None:
        nonlocal tries
        for n in range(batches):
            value = b"%d-%d" % (name, n) + b"." * chance.choice((0, 10, 3000))
            while True:
                code, offset = await chance.choice(brokers).append(p, value, producer=(name, 0, n))
                if not code:
                    break
                assert code == error_codes.KAFKA_STORAGE_ERROR, (code, name, n)
                tries += 1
                await asyncio.sleep(0.001)
            told[p].append((offset, value))

    await asyncio.gather(*[producer(10 * i + k, p) for i, p in enumerate(ids) for k in range(5)])
    for p in ids:
        expected = sorted(told[p])
        assert [offset for offset, _ in expected] == list(range(5 * batches))
        for broker in brokers:
            assert await broker.read(p) == expected
    return tries
