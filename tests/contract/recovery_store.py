"""The contract of `RecoveryStore`."""

from __future__ import annotations

from support.aio import opened
from support.stores import Stores, entry


class RecoveryStoreContract:
    @opened
    async def test_epochs_rise(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        await it.append(entry(p, 0))
        await it.append(entry(p, 1))
        await it.recovery.raise_leader_epochs(2)
        await it.append(entry(p, 2))
        await it.recovery.raise_leader_epochs(1)
        await it.append(entry(p, 3))
        await it.append(entry(p, 4))
        assert [extent.leader_epoch for extent in await it.extents(p)] == [0, 0, 2, 3, 3]
        assert (await it.row(q)).leader_epoch == 3

    @opened
    async def test_where_a_later_epoch_begins(self, it: Stores) -> None:
        p, empty = await it.topic(partitions=2)
        end = 0
        for by, appends in ((0, 7), (2, 1), (1, 5), (4, 2)):
            await it.recovery.raise_leader_epochs(by)
            for _ in range(appends):
                await it.append(entry(p, end, 10))
                end += 10
        found = [await it.log.extent_after_epoch(p, epoch) for epoch in range(9)]
        begins = [-1 if extent is None else extent.base_offset for extent in found]
        assert begins == [70, 70, 80, 130, 130, 130, 130, -1, -1]
        assert await it.log.extent_after_epoch(empty, 0) is None

    @opened
    async def test_a_store_that_went_back_gives_nothing_out_twice(self, it: Stores) -> None:
        (p,) = await it.topic()
        producer_id = await it.cluster.reserve_producer_ids(1000)
        block = await it.cluster.reserve_blob_block()
        incarnation = await it.cluster.start_broker(1, None, "", "x", 0)
        await it.recovery.went_back()
        assert await it.cluster.reserve_producer_ids(1000) > producer_id + 1_000_000_000
        assert await it.cluster.reserve_blob_block() > block + 1000
        assert await it.cluster.start_broker(1, None, "", "x", 0) > incarnation + 1000
        assert (await it.row(p)).leader_epoch >= 10_000
        assert (await it.topic("later"))[0] > p + 1000
