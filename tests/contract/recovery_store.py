"""The contract of `RecoveryStore`."""

from __future__ import annotations

import pytest
from support.aio import opened
from support.stores import Stores, entry

from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.rows import KIND_WAL, BlobRow, Extent


def bases(extents: list[Extent]) -> list[int]:
    return [extent.base_offset for extent in extents]


class RecoveryStoreContract:
    @opened
    async def test_rows_know_whether_they_were_durable(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0), durable=True)
        await it.append(entry(p, 1), durable=False)
        assert [bool(extent.durable) for extent in await it.extents(p)] == [True, False]

    @opened
    async def test_what_lies_beyond_the_last_durable_byte(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        await it.log.register_blob(BlobRow(50, KIND_WAL, -1, 0))
        for n, durable in enumerate([False, True, False, False]):
            both = (entry(p, n, position=n * 20), entry(q, n, position=n * 20 + 10))
            await it.append(*both, blob_id=50, inline=None, durable=durable)
        await it.append(entry(p, 4, position=500), durable=False)  # inline: in another place
        assert await it.recovery.synced_end(50) == 40
        unsynced = await it.recovery.unsynced_extents(50)
        assert [(extent.partition_id, extent.position) for extent in unsynced] == [(p, 40), (q, 50), (p, 60), (q, 70)]
        assert await it.recovery.synced_end(51) == 0
        assert await it.recovery.unsynced_extents(51) == []

    @opened
    async def test_a_tail_goes(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        for n in range(4):
            how = {"durable": n < 2}
            await it.append(entry(p, n * 5, 5, length=100 + n, max_timestamp=n), entry(q, n * 5, 5), **how)
        assert await it.recovery.drop_tails({p: 10}) == {p: 10}
        assert bases(await it.extents(p)) == [0, 5]
        row = await it.row(p)
        assert (row.end_offset, row.bytes_total, row.max_timestamp) == (10, 201, 1)
        assert bases(await it.extents(q)) == [0, 5, 10, 15]
        (result,) = await it.append(entry(p, 10))
        assert result.offset == 10

    @opened
    async def test_all_of_a_partition_goes(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, 5, max_timestamp=7), durable=False)
        assert await it.recovery.drop_tails({p: 0}) == {p: 5}
        row = await it.row(p)
        assert (row.end_offset, row.bytes_total, row.max_timestamp) == (0, 0, -1)

    @opened
    async def test_what_is_durable_stays_and_then_nothing_goes(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        for n in range(3):
            await it.append(entry(p, n), entry(q, n), durable=n == 1)
        with pytest.raises(StoreCorrupt, match="durable"):
            await it.recovery.drop_tails({q: 2, p: 1})
        assert bases(await it.extents(p)) == bases(await it.extents(q)) == [0, 1, 2]
        assert await it.recovery.drop_tails({q: 2, p: 2}) == {q: 1, p: 1}

    @opened
    async def test_nothing_goes_below_the_log_start_or_a_snapshot(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        for n in range(3):
            await it.append(entry(p, n), entry(q, n), durable=False)
        await it.log.raise_log_start(p, 2)
        await it.maintenance.write_snapshot(q, 2, b"fold")
        with pytest.raises(StoreCorrupt, match="log start"):
            await it.recovery.drop_tails({p: 1})
        with pytest.raises(StoreCorrupt, match="snapshot"):
            await it.recovery.drop_tails({q: 1})
        assert await it.recovery.drop_tails({p: 2, q: 2}) == {p: 1, q: 1}

    @opened
    async def test_a_deleted_topic_does_not_stand_in_the_way(self, it: Stores) -> None:
        (p,) = await it.topic("gone")
        await it.append(entry(p, 0), durable=True)
        (topic,) = await it.topics.load_topics()
        await it.topics.delete_topic(topic.topic_id, 5)
        assert await it.recovery.drop_tails({p: 0}) == {p: 1}

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
