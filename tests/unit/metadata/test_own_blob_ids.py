"""Blob ids that a store reserves for itself."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import run

from moldau.log.blob_ids import BlobIds
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.own_blob_ids import COUNTER_BITS, OwnBlobIds


class Blocks:
    """Gives 7, 8, ... and fails where it is told to."""

    def __init__(self) -> None:
        self.reserved = 0
        self.fails = False

    async def __call__(self) -> int:
        await asyncio.sleep(0)
        if self.fails:
            raise StoreUnavailable("no")
        self.reserved += 1
        return 6 + self.reserved


def test_a_block_is_reserved_when_the_first_id_is_needed() -> None:
    async def main() -> None:
        blocks = Blocks()
        ids = OwnBlobIds(blocks)
        assert blocks.reserved == 0
        taken = await asyncio.gather(*[ids.take() for _ in range(20)])
        assert blocks.reserved == 1
        same = BlobIds(7)
        assert sorted(taken) == [same.take() for _ in range(20)]

    run(main())


def test_the_next_block_follows_a_full_one() -> None:
    async def main() -> None:
        blocks = Blocks()
        ids = OwnBlobIds(blocks)
        await ids.take()
        ids._next = ids._end - 2
        taken = await asyncio.gather(*[ids.take() for _ in range(5)])
        assert blocks.reserved == 2
        assert len(set(taken)) == 5
        assert [each >> COUNTER_BITS for each in sorted(taken)] == [7, 7, 8, 8, 8]

    run(main())


def test_a_store_that_fails_is_asked_again() -> None:
    async def main() -> None:
        blocks = Blocks()
        blocks.fails = True
        ids = OwnBlobIds(blocks)
        with pytest.raises(StoreUnavailable):
            await ids.take()
        blocks.fails = False
        assert await ids.take() == (7 << COUNTER_BITS) + 1

    run(main())
