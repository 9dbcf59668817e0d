"""The contract of `AppendableBlobs` beyond that of `BlobStore`: derive a test class from both beside a fixture `opener`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from blob_store import assert_missing, read_all
from support.aio import Opener, opened, reopened

from moldau.blobs.ports import AppendableBlobs, BlobError, BlobMissing


def append(it: AppendableBlobs, blob_id: int, *buffers: Any, durable: bool = True) -> asyncio.Future[int]:
    """The append as a future; a second answer fails the test."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()

    def done(position: int, error: Exception | None) -> None:
        if error is not None:
            assert position == -1
            loop.call_soon_threadsafe(future.set_exception, error)
        else:
            loop.call_soon_threadsafe(future.set_result, position)

    it.append(blob_id, buffers, durable, done)
    return future


class AppendableBlobsContract:
    @opened
    async def test_several_ranges_come_in_one_go(self, it: AppendableBlobs) -> None:
        await it.put(1, [b"0123456789"])
        await it.create(2)
        await append(it, 2, b"abcdef")
        assert await it.read_many(1, [(8, 2), (0, 3), (0, 0), (2, 5)]) == [b"89", b"012", b"", b"23456"]
        assert await it.read_many(2, [(0, 1), (5, 1)]) == [b"a", b"f"]
        assert await it.read_many(1, []) == []
        for blob_id, ranges in ((1, [(0, 1), (9, 2)]), (2, [(0, 7)]), (3, [(0, 1)])):
            with pytest.raises(BlobMissing):
                await it.read_many(blob_id, ranges)

    @opened
    async def test_appends_go_one_after_the_other(self, it: AppendableBlobs) -> None:
        await it.create(1)
        assert await it.sizes() == {1: 0}
        assert await append(it, 1, b"abc", bytearray(b"de"), memoryview(b"fgh")[1:]) == 0
        assert await append(it, 1, b"", durable=False) == 7
        assert await append(it, 1, b"ij", durable=False) == 7
        assert await read_all(it, 1, 0, 9) == b"abcdeghij"
        assert await read_all(it, 1, 3, 4) == b"degh"
        assert await read_all(it, 1, 9, 0) == b""
        assert await it.sizes() == {1: 9}

    @opened
    async def test_bytes_can_be_read_as_soon_as_they_are_answered(self, it: AppendableBlobs) -> None:
        await it.create(1)
        for n in range(50):
            data = bytes([n]) * 300
            assert await append(it, 1, data, durable=n % 5 == 0) == n * 300
            assert await read_all(it, 1, n * 300, 300) == data

    @opened
    async def test_many_at_once_keep_their_order(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await it.create(2)
        sizes = [(n * 37) % 101 for n in range(300)]
        futures = [append(it, 1 + n % 2, bytes([n % 251]) * size, durable=n % 7 == 0) for n, size in enumerate(sizes)]
        positions = await asyncio.gather(*futures)
        ends = {1: 0, 2: 0}
        for n, (size, position) in enumerate(zip(sizes, positions, strict=True)):
            assert position == ends[1 + n % 2]
            ends[1 + n % 2] += size
            assert await it.read(1 + n % 2, position, size) == bytes([n % 251]) * size
        assert await it.sizes() == ends

    @opened
    async def test_an_append_of_many_buffers(self, it: AppendableBlobs) -> None:
        await it.create(1)
        buffers = [bytes([n % 256]) * (n % 5) for n in range(5000)]
        assert await append(it, 1, *buffers) == 0
        whole = b"".join(buffers)
        assert await append(it, 1, b"next") == len(whole)
        assert await read_all(it, 1, 0, len(whole) + 4) == whole + b"next"

    @opened
    async def test_an_append_of_many_megabytes(self, it: AppendableBlobs) -> None:
        await it.create(1)
        data = bytes(range(256)) * (20 << 12)
        assert await append(it, 1, b"x") == 0
        assert await append(it, 1, data) == 1
        assert await append(it, 1, b"y") == len(data) + 1
        assert await read_all(it, 1, 0, len(data) + 2) == b"x" + data + b"y"

    @opened
    async def test_what_is_read_is_the_callers_own(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        first = it.read_now(1, 0, 3)
        if isinstance(first, bytearray):
            first[0] = 0
        assert await read_all(it, 1, 0, 3) == b"abc"
        await append(it, 1, b"def")

    @opened
    async def test_ranges_that_are_not_there(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        await it.put(2, [b"abcd"])
        for position, length in ((0, 5), (3, 2), (5, 1), (1 << 40, 3)):
            await assert_missing(it, 1, position, length)
            await assert_missing(it, 2, position, length)
        await assert_missing(it, 3, 0, 1)

    @opened
    async def test_a_sealed_blob_takes_no_more(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc", durable=False)
        assert await it.seal(1) == 3
        with pytest.raises(BlobError):
            await append(it, 1, b"more")
        with pytest.raises(BlobMissing):
            await it.seal(1)
        assert await it.sizes() == {1: 3}
        assert await read_all(it, 1, 0, 3) == b"abc"
        await assert_missing(it, 1, 0, 4)

    @opened
    async def test_an_empty_blob_can_be_sealed(self, it: AppendableBlobs) -> None:
        await it.create(1)
        assert await it.seal(1) == 0
        assert await it.sizes() == {1: 0}

    @opened
    async def test_a_blob_is_created_once(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        with pytest.raises(BlobError):
            await it.create(1)
        assert await append(it, 1, b"d") == 3

    @opened
    async def test_appends_to_what_was_never_created(self, it: AppendableBlobs) -> None:
        with pytest.raises(BlobError):
            await append(it, 1, b"abc")
        with pytest.raises(BlobMissing):
            await it.seal(1)
        assert await it.sizes() == {}

    @opened
    async def test_a_bad_append_does_not_harm_the_next(self, it: AppendableBlobs) -> None:
        await it.create(1)
        bad: Sequence[Any] = [append(it, 9, b"x"), append(it, 1, b"abc"), append(it, 9, b"x"), append(it, 1, b"d")]
        answers = await asyncio.gather(*bad, return_exceptions=True)
        assert [a if isinstance(a, int) else type(a) for a in answers] == [BlobError, 0, BlobError, 3]

    @opened
    async def test_a_growing_blob_is_not_put(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        with pytest.raises(BlobError):
            await it.put(1, [b"other"])
        assert await append(it, 1, b"d") == 3

    @opened
    async def test_a_growing_blob_can_be_deleted(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc", durable=False)
        await it.delete(1)
        with pytest.raises(BlobError):
            await append(it, 1, b"abc")
        it.sync()
        assert await it.sizes() == {}

    @opened
    async def test_sync_may_be_called_on_any_thread_at_any_time(self, it: AppendableBlobs) -> None:
        it.sync()
        await it.create(1)
        futures = [append(it, 1, bytes(100), durable=False) for _ in range(50)]
        await asyncio.gather(*(asyncio.to_thread(it.sync) for _ in range(5)))
        assert await asyncio.gather(*futures) == [n * 100 for n in range(50)]

    @opened
    async def test_ids_of_63_bits(self, it: AppendableBlobs) -> None:
        blob_id = (1 << 63) - 1
        await it.create(blob_id)
        await append(it, blob_id, b"abc")
        assert await it.sizes() == {blob_id: 3}
        assert await read_all(it, blob_id, 0, 3) == b"abc"

    @opened
    async def test_growing_blobs_are_not_recovered(self, it: AppendableBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        with pytest.raises(BlobError):
            await it.recover(1, 2)
        assert await append(it, 1, b"d") == 3

    @opened
    async def test_recovery_cuts_to_what_was_committed(self, it: AppendableBlobs) -> None:
        await it.put(1, [b"abcdef"])
        with pytest.raises(BlobMissing):
            await it.recover(1, 7)
        with pytest.raises(BlobMissing):
            await it.recover(2, 0)
        await it.recover(1, 4)
        await it.recover(1, 4)
        assert await it.sizes() == {1: 4}
        assert await read_all(it, 1, 0, 4) == b"abcd"
        await assert_missing(it, 1, 0, 5)


class KeptAppendableBlobsContract(AppendableBlobsContract):
    """What a store that outlives its process adds."""

    @reopened
    async def test_blobs_survive_a_reopen(self, opener: Opener) -> None:
        async with opener() as it:
            await it.create(1)
            await append(it, 1, b"abc", durable=False)
            await it.create(2)
            await append(it, 2, b"d")
            await it.seal(2)
            await it.put(3, [b"ef"])
        async with opener() as it:
            assert await it.sizes() == {1: 3, 2: 1, 3: 2}
            assert await read_all(it, 1, 0, 3) == b"abc"
            with pytest.raises(BlobError):
                await append(it, 1, b"more")
            await it.recover(1, 2)
            assert await it.sizes() == {1: 2, 2: 1, 3: 2}

    @reopened
    async def test_what_is_queued_at_close_is_written(self, opener: Opener) -> None:
        async with opener() as it:
            await it.create(1)
            futures = [append(it, 1, bytes([n])) for n in range(100)]
        assert await asyncio.gather(*futures) == list(range(100))
        async with opener() as it:
            assert await it.read(1, 0, 100) == bytes(range(100))

    @reopened
    async def test_appends_after_close_are_refused(self, opener: Opener) -> None:
        async with opener() as it:
            await it.create(1)
        with pytest.raises(BlobError):
            await asyncio.wait_for(append(it, 1, b"late"), 5)
        with pytest.raises(BlobError):
            await it.put(2, [b"late"])
        await it.close()
