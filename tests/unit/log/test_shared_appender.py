"""Two brokers append to the same partitions: one order, no loss, no duplicate, and no refusal decided on a stale view."""

from __future__ import annotations

import asyncio

from support.aio import Opener, run
from support.stores import Stores

from moldau.blobs.memory import MemoryBlobs
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append
from moldau.log.reader import Reader
from moldau.log.refresher import Refresher
from moldau.log.sequencer import StoreSequencer
from moldau.log.tail_cache import TailCache
from moldau.log.views import Views
from moldau.log.wal import WriteAhead
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader, iter_headers
from moldau.records.builder import build_batch
from moldau.records.record import Record, iter_records


class Broker:
    """The log of one broker."""

    def __init__(self, it: Stores, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.cache = TailCache(1 << 20)
        self.views = Views(it.log, self.cache, 100)
        self.refresher = Refresher(it.log, self.views)
        self.told: dict[int, int] = {}
        ids = BlobIds(number)
        blobs = MemoryBlobs()
        wal = WriteAhead(blobs, it.log, it.maintenance, ids, lambda: 1)
        self.reader = Reader(it.log, blobs, self.cache)
        sequencer = StoreSequencer(it.log, wal, ids, loop, 1 << 20)
        self.appender = Appender(
            sequencer, self.views, self.cache, lambda: 1, loop, 1 << 20, 1 << 20, self.refresher, self.told.__setitem__
        )

    async def append(
        self, partition_id: int, value: bytes, producer: tuple[int, int, int] = (-1, -1, -1)
    ) -> tuple[int, int]:
        """(error code, base offset) of one record."""
        view = await self.views.load(partition_id)
        assert view is not None
        batch = build_batch(
            [Record(0, 7, None, value)], producer_id=producer[0], producer_epoch=producer[1], base_sequence=producer[2]
        )
        told: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self.appender.submit(
            Append(
                view, batch, BatchHeader(batch), True, lambda done: told.set_result((done.error_code, done.base_offset))
            )
        )
        return await told

    async def read(self, partition_id: int) -> list[tuple[int, bytes | None]]:
        """(offset, value) of everything, on a view that is built anew."""
        self.views.drop(partition_id)
        view = await self.views.load(partition_id)
        assert view is not None
        buffers, _ = await self.reader.read(view, 0, 1 << 20, True)
        return [
            (record.offset, bytes(record.value or b""))
            for buffer in buffers
            for at, header in iter_headers(buffer)
            for record in iter_records(memoryview(buffer)[at : at + header.size])
        ]


def test_a_producer_that_moves_to_the_other_broker(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two = Broker(it, 10), Broker(it, 20)
            (p,) = await it.topic()
            await two.views.load(p)
            assert [await one.append(p, b"%d" % n, (5, 0, n)) for n in range(3)] == [(0, 0), (0, 1), (0, 2)]
            assert one.told == {p: 3}
            # its view is empty: without a look at the store the sequence would be out of order
            assert await two.append(p, b"3", (5, 0, 3)) == (0, 3)
            assert await two.append(p, b"2", (5, 0, 2)) == (0, 2)  # a retry of what the other one committed
            assert (await two.append(p, b"9", (5, 0, 9)))[0] == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
            assert await one.read(p) == [(n, b"%d" % n) for n in range(4)]

    run(main())


def test_both_at_once(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            brokers = Broker(it, 10), Broker(it, 20)
            p, q = await it.topic("t", 2)

            async def writer(broker: Broker, name: int, partition_id: int) -> list[tuple[int, bytes]]:
                done = []
                for n in range(12):
                    value = b"%d-%d" % (name, n)
                    while True:
                        error, offset = await broker.append(partition_id, value, (name, 0, n))
                        if not error:
                            break
                        assert error == error_codes.KAFKA_STORAGE_ERROR  # it lost several races in a row
                    done.append((offset, value))
                return done

            jobs = [writer(brokers[k % 2], k, (p, q)[k // 2 % 2]) for k in range(8)]
            told = await asyncio.gather(*jobs)
            for partition_id, names in ((p, (0, 1, 4, 5)), (q, (2, 3, 6, 7))):
                expected = sorted(pair for name in names for pair in told[name])
                assert await brokers[0].read(partition_id) == expected
                assert [offset for offset, _ in expected] == list(range(48))

    run(main())
