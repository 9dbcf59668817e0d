"""What the block cache asks the store for, and when: shared requests, bounds, read-ahead, failures, two areas."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest
from support.aio import run

from moldau.blobs.block_area import OVERHEAD_BYTES
from moldau.blobs.block_cache import COLD_REQUESTS, BlockCache
from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import BlobError, BlobMissing, Buffer
from moldau.blobs.read_ahead import READERS_MAX, ReadAhead

B = 100


class Slow(MemoryBlobs):
    """Notes each read, and answers it when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, int, int]] = []
        self.under_way = self.most = self.bytes_under_way = self.most_bytes = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def read_some(self, blob_id: int, position: int, length: int) -> bytes:
        self.seen.append((blob_id, position, length))
        self.under_way += 1
        self.bytes_under_way += length
        self.most = max(self.most, self.under_way)
        self.most_bytes = max(self.most_bytes, self.bytes_under_way)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            if self.broken:
                raise BlobError("a bad day")
            return await super().read_some(blob_id, position, length)
        finally:
            self.under_way -= 1
            self.bytes_under_way -= length


def content(blob_id: int, length: int) -> bytes:
    return random.Random(blob_id).randbytes(length)


async def store_with(sizes: dict[int, int]) -> Slow:
    store = Slow()
    for blob_id, size in sizes.items():
        await store.put(blob_id, [content(blob_id, size)])
    return store


def cache_of(store: Slow, capacity: int = 40 * (B + OVERHEAD_BYTES), **named: bool) -> BlockCache:
    """Of 30 blocks for what is recent, 10 for what is cold."""
    return BlockCache(store, capacity, block_bytes=B, **named)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_many_readers_of_one_block_send_one_request() -> None:
    async def main() -> None:
        store = await store_with({1: 450})
        cache = cache_of(store)
        read = await asyncio.gather(*(cache.read(1, 20, 50) for _ in range(50)))
        assert read == [content(1, 450)[20:70]] * 50
        assert store.seen == [(1, 0, B)]
        assert (cache.hits, cache.misses) == (0, 50)
        assert cache.read_now(1, 20, 80) == content(1, 450)[20:100]
        assert cache.read_now(1, 20, 81) is None
        into = bytearray(30)
        assert cache.read_into_now(1, 70, memoryview(into))
        assert into == content(1, 450)[70:100]
        assert (cache.hits, cache.misses) == (2, 50)

    run(main())


def test_missing_neighbours_come_in_one_request_and_those_that_are_here_are_left_out() -> None:
    async def main() -> None:
        store = await store_with({1: 1000})
        cache = cache_of(store)
        await cache.read(1, 310, 20)
        store.seen.clear()
        assert await cache.read(1, 50, 800) == content(1, 1000)[50:850]
        assert store.seen == [(1, 0, 300), (1, 400, 500)]
        await cache.read(1, 0, 900)
        assert len(store.seen) == 2

    run(main())


def test_others_have_their_turn_while_a_run_is_cut() -> None:
    async def main() -> None:
        store = await store_with({1: 1000})
        cache = cache_of(store)
        loop, turns, done = asyncio.get_running_loop(), 0, False

        def count() -> None:
            nonlocal turns
            turns += 1
            if not done:
                loop.call_soon(count)

        read = asyncio.ensure_future(cache.read(1, 0, 600))
        store.gate.clear()
        await settle()
        store.gate.set()
        await asyncio.sleep(0)
        count()
        assert await read == content(1, 1000)[:600]
        done = True
        assert [position for _, position, _ in store.seen] == [0]
        assert turns > 600 // B, "one for each block"

    run(main())


def test_what_the_last_block_says_of_the_end() -> None:
    async def main() -> None:
        store = await store_with({1: 250, 2: 200})
        cache = cache_of(store)
        assert await cache.read_some(1, 210, 90) == content(1, 250)[210:]
        assert await cache.read_some(1, 120, 300) == content(1, 250)[120:]
        with pytest.raises(BlobMissing, match="ends at 250; asked for 60 bytes at 200"):
            cache.read_now(1, 200, 60)
        with pytest.raises(BlobMissing, match="ends at 250"):
            await cache.read(1, 249, 2)
        with pytest.raises(BlobMissing, match="ends at 250"):
            await cache.read_some(1, 250, 1)
        assert await cache.read_some(2, 150, 100) == content(2, 200)[150:]
        with pytest.raises(BlobMissing):
            cache.read_now(2, 190, 11)
        assert len(store.seen) == 3

    run(main())


def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    async def main() -> None:
        store = await store_with({1: 450})
        cache = cache_of(store)
        store.broken = True
        failed = await asyncio.gather(*(cache.read(1, n * 50, 120) for n in range(4)), return_exceptions=True)
        assert [str(each) for each in failed] == ["a bad day"] * 4
        assert len(store.seen) <= 3
        assert (cache.area.held_bytes, cache.area.coming_bytes, cache.area.requests) == (0, 0, 0)
        store.broken = False
        assert await cache.read(1, 50, 120) == content(1, 450)[50:170]

    run(main())


def test_whoever_gives_up_leaves_the_request_to_the_others() -> None:
    async def main() -> None:
        store = await store_with({1: 450})
        cache = cache_of(store)
        store.gate.clear()
        first, second = (asyncio.ensure_future(cache.read(1, 0, 50)) for _ in range(2))
        await settle()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        store.gate.set()
        assert await second == content(1, 450)[:50]
        assert len(store.seen) == 1

    run(main())


def test_blocks_and_requests_together_stay_within_the_bound() -> None:
    async def main() -> None:
        store = await store_with(dict.fromkeys(range(60), 950))
        cache = cache_of(store)
        area = cache.area
        dice = random.Random(4)
        most = 0

        async def one() -> None:
            nonlocal most
            for _ in range(30):
                blob_id, position = dice.randrange(60), dice.randrange(900)
                length = dice.choice([10, 50, 300, 900])
                expected = content(blob_id, 950)[position : position + length]
                assert await cache.read_some(blob_id, position, length) == expected
                most = max(most, area.held_bytes + area.coming_bytes)
                assert area.held_bytes == sum(len(block) + OVERHEAD_BYTES for block in area._blocks.values())
                assert len(area._blocks) <= area.capacity_bytes // OVERHEAD_BYTES

        await asyncio.gather(*(one() for _ in range(50)))
        assert 0.8 * area.capacity_bytes < most <= area.capacity_bytes
        assert store.most_bytes <= area.capacity_bytes
        assert store.most <= area.requests_max
        await settle()
        assert (area.coming_bytes, area.requests, len(area._flights), len(area._waiting)) == (0, 0, 0, 0)

    run(main())


def test_a_read_larger_than_half_of_it_passes_by_but_takes_a_place() -> None:
    async def main() -> None:
        store = await store_with({1: 20_000, 2: 50})
        cache = cache_of(store)
        assert await cache.read(1, 100, 7000) == content(1, 20_000)[100:7100]
        assert cache.area.held_bytes == 0
        assert await cache.read_some(1, 15_000, 1 << 30) == content(1, 20_000)[15_000:]
        assert (cache.area.coming_bytes, cache.area.requests) == (0, 0)

    run(main())


def test_the_block_that_is_used_stays() -> None:
    async def main() -> None:
        store = await store_with({1: 10_000})
        cache = cache_of(store)
        await cache.read(1, 0, 10)
        for n in range(1, 90, 2):  # never neighbours
            await cache.read(1, n * B, 10)
            assert cache.read_now(1, 0, 10) is not None
        assert cache.read_now(1, B, 10) is None

    run(main())


class TestReadAhead:
    def test_whoever_goes_on_finds_what_he_needs(self) -> None:
        async def main() -> None:
            store = await store_with({1: 5000})
            cache = cache_of(store)
            waited = 0
            for position in range(0, 5000, 50):
                if cache.read_now(1, position, 50) is None:
                    waited += 1
                    assert await cache.read(1, position, 50) == content(1, 5000)[position : position + 50]
                await settle()
            assert waited == 1
            assert len(store.seen) < 25, "several blocks at a time"
            fetched = [at for _, position, length in store.seen for at in range(position, position + length, B)]
            assert len(fetched) == len(set(fetched)), "nothing twice"

        run(main())

    def test_nothing_is_fetched_ahead_of_those_who_jump_or_read_again(self) -> None:
        async def main() -> None:
            store = await store_with({1: 5000})
            cache = cache_of(store)
            for position in (0, 2000, 700, 0, 0, 2000):
                await cache.read(1, position, 80)
                await settle()
            assert [each[1] for each in store.seen] == [0, 2000, 700]

        run(main())

    def test_half_of_the_pool_is_left_to_those_who_wait(self) -> None:
        async def main() -> None:
            store = await store_with(dict.fromkeys(range(40), 5000))
            cache = cache_of(store)
            store.gate.clear()
            for blob_id in range(40):
                cache.warm(blob_id, 0, 300)
            await settle()
            assert 0 < cache.area.coming_bytes <= cache.area.capacity_bytes // 2
            assert 0 < store.under_way <= cache.area.requests_max // 2
            wanted = asyncio.ensure_future(cache.read(39, 4000, 300))
            await settle()
            assert store.seen[-1] == (39, 4000, 300)
            store.gate.set()
            assert await wanted == content(39, 5000)[4000:4300]

        run(main())

    def test_a_failure_ahead_harms_nobody(self) -> None:
        async def main() -> None:
            store = await store_with({1: 500})
            cache = cache_of(store)
            store.broken = True
            cache.warm(1, 0, 200)
            cache.warm(7, 0, 200)
            await settle()
            store.broken = False
            cache.warm(7, 0, 200)
            await settle()
            assert await cache.read(1, 0, 200) == content(1, 500)[:200]

        run(main())

    def test_as_far_as_was_read_so_far(self) -> None:
        ahead = ReadAhead(100, 400)
        assert ahead.read(1, 0, 80) == 80
        assert ahead.read(1, 60, 80) == 140 + 140
        assert ahead.read(1, 140, 300) == 440 + 400
        assert ahead.read(1, 440, 100) == 540 + 400
        assert ahead.read(1, 440, 100) == 540, "read again"
        assert ahead.read(2, 440, 100) == 540, "another blob"
        assert ahead.read(1, 100, 100) == 200
        assert ahead.read(1, 200, 10) == 210 + 110, "from the very end of a block"
        for blob_id in range(2000):
            ahead.read(blob_id, 0, 10)
        assert len(ahead._seen) == READERS_MAX


class TestDeletes:
    def test_blocks_go_and_what_is_under_way_is_not_kept(self) -> None:
        async def main() -> None:
            store = await store_with({1: 500, 2: 500})
            cache = cache_of(store)
            await cache.read(1, 0, 100)
            await cache.cold.read(1, 0, 100)
            await cache.read(2, 0, 100)
            store.gate.clear()
            late = asyncio.ensure_future(cache.read(1, 200, 100))
            await settle()
            whole = store._blobs[1]
            await cache.delete(1)
            store._blobs[1] = whole  # the request had been answered already
            store.gate.set()
            assert await late == content(1, 500)[200:300]
            del store._blobs[1]
            for reads in (cache, cache.cold):
                assert reads.read_now(1, 0, 100) is None
                for position in (0, 200):
                    with pytest.raises(BlobMissing):
                        await reads.read(1, position, 100)
            assert cache.read_now(2, 0, 100) is not None
            assert cache.area.held_bytes == B + OVERHEAD_BYTES

        run(main())


class TestCold:
    def test_a_scan_leaves_the_tail_alone(self) -> None:
        async def main() -> None:
            store = await store_with({1: 1000, **dict.fromkeys(range(100, 120), 5000)})
            cache = cache_of(store)
            await cache.read(1, 0, 1000)
            for blob_id in range(100, 120):
                for position in range(0, 5000, 500):
                    await cache.cold.read(blob_id, position, 500)
                    area = cache.cold.area
                    assert area.held_bytes + area.coming_bytes <= area.capacity_bytes
            assert cache.read_now(1, 0, 1000) is not None

        run(main())

    def test_tail_readers_do_not_queue_behind_scans(self) -> None:
        async def main() -> None:
            store = await store_with({1: 1000, **dict.fromkeys(range(100, 140), 5000)})
            cache = cache_of(store)
            store.gate.clear()
            scans = [asyncio.ensure_future(cache.cold.read(n, 0, 300)) for n in range(100, 140)]
            await settle()
            assert store.under_way <= COLD_REQUESTS
            tail = asyncio.ensure_future(cache.read(1, 0, 100))
            await settle()
            assert store.seen[-1] == (1, 0, 100)
            store.gate.set()
            assert await tail == content(1, 1000)[:100]
            assert await asyncio.gather(*scans) == [content(n, 5000)[:300] for n in range(100, 140)]
            assert store.most <= COLD_REQUESTS + 1

        run(main())


class TestPuts:
    def test_puts_are_kept_when_asked_for(self) -> None:
        async def main() -> None:
            for seeds in (True, False):
                store = await store_with({})
                cache = cache_of(store, seeds=seeds)
                parts: Sequence[Buffer] = [content(1, 150), memoryview(content(2, 150))]
                assert await cache.put(1, parts) == 300
                whole = b"".join(parts)
                assert cache.read_now(1, 50, 250) == (whole[50:] if seeds else None)
                assert await cache.read(1, 50, 250) == whole[50:]
                assert len(store.seen) == (0 if seeds else 1)

        run(main())


def test_closing_calls_off_what_is_under_way() -> None:
    async def main() -> None:
        store = await store_with(dict.fromkeys(range(60), 500))
        cache = cache_of(store)
        store.gate.clear()
        reads = [asyncio.ensure_future(cache.read(n, 0, 300)) for n in range(60)]
        await settle()
        await cache.close()
        assert {type(each) for each in await asyncio.gather(*reads, return_exceptions=True)} == {BlobError}
        with pytest.raises(BlobError, match="closed"):
            await cache.read(1, 0, 10)
        assert (cache.area.coming_bytes, cache.area.requests, cache.area.held_bytes) == (0, 0, 0)

    run(main())


def test_jobs_that_read_a_blob_once_pass_by() -> None:
    async def main() -> None:
        store = await store_with({1: 500})
        cache = cache_of(store)
        assert await cache.read_many(1, [(0, 100), (300, 50)]) == [content(1, 500)[:100], content(1, 500)[300:350]]
        assert cache.area.held_bytes == 0

    run(main())
