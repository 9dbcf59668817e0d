"""Reads where brokers share the stores: cold ones apart, inline bytes once, an outage that is not taken for damage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from support.aio import Opener, run
from support.logs import Log
from support.stores import Stores

from moldau.blobs.block_cache import BlockCache
from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import BlobError, BlobMissing
from moldau.log.cold import AGE_MS, ColdReads
from moldau.log.damage import DamagedLog
from moldau.log.inline_cache import InlineCache
from moldau.log.lookup import Lookup
from moldau.log.reader import Reader
from moldau.metadata.errors import StoreUnavailable
from moldau.records.batch import iter_headers


class Counted:
    """A metadata store of inline bytes alone."""

    def __init__(self, **sizes: int) -> None:
        self.flushes = {int(name[1:]): bytes([65 + n]) * size for n, (name, size) in enumerate(sizes.items())}
        self.asked: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.away = False

    async def read_inline(self, blob_id: int) -> bytes | None:
        self.asked.append(blob_id)
        await self.gate.wait()
        if self.away:
            raise StoreUnavailable("away")
        return self.flushes.get(blob_id)


def with_inline(body: Callable[[Any, InlineCache], Any], capacity: int = 10_000, **sizes: int) -> None:
    async def main() -> None:
        store = Counted(**sizes)
        await body(store, InlineCache(store, capacity))  # type: ignore[arg-type]

    run(main())


class TestInlineCache:
    def test_many_consumers_send_one_query(self) -> None:
        async def body(store: Counted, it: InlineCache) -> None:
            assert it.read_now(1) is None
            assert await asyncio.gather(*(it.read_inline(1) for _ in range(30))) == [b"A" * 500] * 30
            assert store.asked == [1]
            assert it.read_now(1) == b"A" * 500
            assert (it.hits, it.misses) == (1, 30)

        with_inline(body, f1=500)

    def test_what_is_kept_is_bounded_and_what_is_used_stays(self) -> None:
        async def body(store: Counted, it: InlineCache) -> None:
            for blob_id in range(1, 21):
                await it.read_inline(blob_id)
                assert it.read_now(1) is not None
                assert it.held_bytes <= it.capacity_bytes
            assert it.read_now(2) is None
            await it.read_inline(99)
            assert it.read_now(99) is None, "too large to be kept"

        with_inline(body, **{f"f{n}": 1000 for n in range(1, 21)}, f99=4000)

    def test_a_failure_reaches_all_and_is_not_kept(self) -> None:
        async def body(store: Counted, it: InlineCache) -> None:
            store.away = True
            failed = await asyncio.gather(*(it.read_inline(1) for _ in range(3)), return_exceptions=True)
            assert [type(each) for each in failed] == [StoreUnavailable] * 3
            store.away = False
            assert await it.read_inline(1) == b"A" * 500
            assert store.asked == [1, 1]

        with_inline(body, f1=500)

    def test_what_was_moved_is_asked_for_again(self) -> None:
        async def body(store: Counted, it: InlineCache) -> None:
            assert await it.read_inline(7) is None
            assert await it.read_inline(7) is None
            assert store.asked == [7, 7]

        with_inline(body)

    def test_who_gives_up_leaves_the_query_to_the_others(self) -> None:
        async def body(store: Counted, it: InlineCache) -> None:
            store.gate.clear()
            first, second = (asyncio.ensure_future(it.read_inline(1)) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            store.gate.set()
            assert await second == b"A" * 500
            assert store.asked == [1]

        with_inline(body, f1=500)


class Remote(MemoryBlobs):
    """Answers later, and notes who asked at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way = self.most = 0
        self.error: BlobError | None = None

    async def read_some(self, blob_id: int, position: int, length: int) -> bytes:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0.001)
            if self.error is not None:
                raise self.error
            return await super().read_some(blob_id, position, length)
        finally:
            self.under_way -= 1


async def shared(it: Stores) -> tuple[Log, BlockCache, Remote]:
    """A log whose blobs are remote: three appends in each of eight blobs."""
    log = Log(it, Remote(), guesses=True)
    remote = log.blobs
    assert isinstance(remote, Remote)
    (p,) = await it.topic()
    for n in range(24):
        if n % 3 == 0:
            await log.roll()
        await log.append(p, [b"%d-%d" % (n, each) * 10 for each in range(2)], inline=n % 12 == 5)
    blobs = BlockCache(remote, 16 << 20)
    cold = ColdReads(blobs, blobs.cold, lambda: log.now)
    log.reader = Reader(it.log, blobs, log.cache, guesses=True, cold=cold, inline=InlineCache(it.log))
    log.lookup = Lookup(it.log, log.reader)
    return log, blobs, remote


def test_old_data_go_through_the_pool_for_what_is_cold(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log, blobs, _ = await shared(it)
            p = log.views.all()[0].partition_id
            expected = [(offset, value) for offset, value, _ in log.records]
            assert await log.read_all(p, 700) == expected
            assert blobs.misses > 0
            assert (blobs.cold.misses, blobs.cold.hits) == (0, 0)
            appended = max(extent.appended_at for extent in await it.extents(p))
            log.now = appended + AGE_MS + 1
            before = blobs.hits, blobs.misses
            assert await log.read_all(p, 700) == expected
            assert blobs.cold.misses > 0
            assert (blobs.hits, blobs.misses) == before

    run(main())


def test_the_blobs_of_one_answer_are_fetched_beside_each_other(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log, _, remote = await shared(it)
            (view,) = log.views.all()
            assert log.reader.read_now(view, 0, 1 << 20, True) is None
            _, size = await log.reader.read(view, 0, 1 << 20, True)
            assert size == view.bytes_total
            assert remote.most > 4
            remote.most = offset = 0
            while offset < view.high_watermark:
                now = log.reader.read_now(view, offset, 1 << 20, True)
                assert now is not None, "inline bytes and blocks are here"
                offset = max(header.next_offset for each in now[0] for _, header in iter_headers(each))
            assert remote.most == 0

    run(main())


def test_an_outage_is_no_damage(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log, _, remote = await shared(it)
            (view,) = log.views.all()
            remote.error = BlobError("away")
            with pytest.raises(BlobError, match="away"):
                await log.reader.read(view, 3, 1000, True)
            with pytest.raises(BlobError, match="away"):
                await log.lookup.by_timestamp(view, 51)
            remote.error = BlobMissing("gone")
            with pytest.raises(DamagedLog, match="gone"):
                await log.reader.read(view, 3, 1000, True)
            remote.error = None
            assert (await log.reader.read(view, 3, 1000, True))[1]

    run(main())
