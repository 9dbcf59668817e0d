"""Ends of transactions beside appends where stores are shared: by race."""

from __future__ import annotations

import asyncio
import random

import pytest
from support.aio import Opener, run
from support.postgres import Postgres
from support.shared import Broker, SlowBlobs
from support.stores import Stores, postgres_opener
from support.transactions import abort, begin, commit

from moldau.log.view import PartitionView
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes

OVER = error_codes.INVALID_TXN_STATE


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
