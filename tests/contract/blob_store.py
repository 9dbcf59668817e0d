"""The contract of `BlobStore`: derive a test class from this one beside a fixture `opener`."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, reopened

from moldau.blobs.ports import BlobError, BlobMissing, BlobStore


async def read_all(it: BlobStore, blob_id: int, position: int, length: int) -> bytes:
    """By all ways, which must agree."""
    data = bytes(await it.read(blob_id, position, length))
    now = it.read_now(blob_id, position, length)
    assert now is None or bytes(now) == data
    into = bytearray(length)
    if it.read_into_now(blob_id, position, memoryview(into)):
        assert into == data
    (again,) = await it.read_many(blob_id, [(position, length)])
    assert again == data
    assert len(data) == length
    return data


async def assert_missing(it: BlobStore, blob_id: int, position: int, length: int) -> None:
    with pytest.raises(BlobMissing):
        await it.read(blob_id, position, length)
    try:
        assert it.read_now(blob_id, position, length) is None
    except BlobMissing:
        pass


class BlobStoreContract:
    @opened
    async def test_whole_blobs_are_put_and_put_again(self, it: BlobStore) -> None:
        assert await it.put(1, [b"abc", memoryview(b"defg"), bytearray(b"hi"), b""]) == 9
        assert await read_all(it, 1, 2, 3) == b"cde"
        assert await read_all(it, 1, 0, 9) == b"abcdefghi"
        assert await it.put(1, [b"abcdefghi"]) == 9
        assert await it.put(2, []) == 0
        assert await it.sizes() == {1: 9, 2: 0}

    @opened
    async def test_an_empty_store_has_no_blobs(self, it: BlobStore) -> None:
        assert await it.sizes() == {}

    @opened
    async def test_several_ranges_come_in_one_go(self, it: BlobStore) -> None:
        await it.put(1, [b"0123456789"])
        assert list(await it.read_many(1, [(8, 2), (0, 3), (0, 0), (2, 5), (10, 0)])) == [
            b"89",
            b"012",
            b"",
            b"23456",
            b"",
        ]
        assert list(await it.read_many(1, [])) == []
        for blob_id, ranges in ((1, [(0, 1), (9, 2)]), (1, [(10, 1)]), (3, [(0, 1)])):
            with pytest.raises(BlobMissing):
                await it.read_many(blob_id, ranges)

    @opened
    async def test_a_range_as_far_as_the_blob_goes(self, it: BlobStore) -> None:
        await it.put(1, [b"0123456789"])
        assert await it.read_some(1, 2, 3) == b"234"
        assert await it.read_some(1, 8, 100) == b"89"
        assert await it.read_some(1, 0, 1 << 30) == b"0123456789"
        for blob_id, position in ((1, 10), (1, 1 << 40), (2, 0)):
            with pytest.raises(BlobMissing):
                await it.read_some(blob_id, position, 5)

    @opened
    async def test_a_blob_of_many_buffers(self, it: BlobStore) -> None:
        buffers = [bytes([n % 256]) * (n % 5) for n in range(5000)]
        whole = b"".join(buffers)
        assert await it.put(1, buffers) == len(whole)
        assert await read_all(it, 1, 0, len(whole)) == whole

    @opened
    async def test_a_blob_of_many_megabytes(self, it: BlobStore) -> None:
        part = bytes(range(256)) * (5 << 12)
        parts = [b"x", part, memoryview(part)[1:], bytearray(part), part, b"y"]
        whole = b"".join(parts)
        assert await it.put(1, parts) == len(whole)
        assert await read_all(it, 1, 0, len(whole)) == whole
        assert await read_all(it, 1, len(whole) - 7, 7) == whole[-7:]
        assert await it.sizes() == {1: len(whole)}

    @opened
    async def test_many_at_once(self, it: BlobStore) -> None:
        await asyncio.gather(*(it.put(n, [bytes([n]) * n]) for n in range(1, 40)))
        assert await it.sizes() == {n: n for n in range(1, 40)}
        read = await asyncio.gather(*(it.read(n, 0, n) for n in range(1, 40)))
        assert read == [bytes([n]) * n for n in range(1, 40)]

    @opened
    async def test_what_is_read_is_the_callers_own(self, it: BlobStore) -> None:
        await it.put(1, [b"abc"])
        first = it.read_now(1, 0, 3)
        if isinstance(first, bytearray):
            first[0] = 0
        assert await read_all(it, 1, 0, 3) == b"abc"

    @opened
    async def test_ranges_that_are_not_there(self, it: BlobStore) -> None:
        await it.put(2, [b"abcd"])
        for position, length in ((0, 5), (3, 2), (4, 1), (5, 1), (1 << 40, 3)):
            await assert_missing(it, 2, position, length)
        await assert_missing(it, 3, 0, 1)

    @opened
    async def test_a_deleted_blob_is_gone(self, it: BlobStore) -> None:
        await it.put(1, [b"abc"])
        await it.put(2, [b"abc"])
        assert await read_all(it, 1, 0, 3) == b"abc"
        await it.delete(1)
        await assert_missing(it, 1, 0, 3)
        await it.delete(1)
        await it.delete(77)
        assert await it.sizes() == {2: 3}

    @opened
    async def test_ids_of_63_bits_can_be_put(self, it: BlobStore) -> None:
        blob_id = (1 << 63) - 1
        await it.put(blob_id, [b"abc"])
        assert await it.sizes() == {blob_id: 3}
        assert await read_all(it, blob_id, 0, 3) == b"abc"
        await it.delete(blob_id)
        assert await it.sizes() == {}


class KeptBlobStoreContract(BlobStoreContract):
    """What a store that outlives its process adds."""

    @reopened
    async def test_whole_blobs_survive_a_reopen(self, opener: Opener) -> None:
        async with opener() as it:
            await it.put(3, [b"ef"])
        async with opener() as it:
            assert await it.sizes() == {3: 2}
            assert await read_all(it, 3, 0, 2) == b"ef"
            assert await it.put(3, [b"ef"]) == 2

    @reopened
    async def test_puts_after_close_are_refused(self, opener: Opener) -> None:
        async with opener() as it:
            pass
        with pytest.raises(BlobError):
            await it.put(2, [b"late"])
        await it.close()
