"""The contract of `MaintenanceStore`."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import opened
from support.stores import Stores, entry, submit, topic_id

from moldau.metadata.errors import Conflict, StoreCorrupt
from moldau.metadata.rows import (
    APPENDED,
    KIND_INLINE,
    KIND_SEGMENT,
    KIND_WAL,
    BlobRow,
    Extent,
    InlineBlob,
    PartitionHead,
)


def merged(extents: list[Extent], blob_id: int) -> Extent:
    first, last = extents[0], extents[-1]
    return Extent(
        partition_id=first.partition_id,
        base_offset=first.base_offset,
        last_offset=last.last_offset,
        blob_id=blob_id,
        position=0,
        length=sum(e.length for e in extents),
        max_timestamp=max(e.max_timestamp for e in extents),
        running_max_timestamp=last.running_max_timestamp,
        records=sum(e.records for e in extents),
        leader_epoch=last.leader_epoch,
        kind=KIND_SEGMENT,
        appended_at=last.appended_at,
    )


async def log_of(it: Stores, count: int = 4) -> tuple[int, list[Extent]]:
    (p,) = await it.topic()
    for n in range(count):
        await it.append(entry(p, n * 10, 10, max_timestamp=n))
    return p, await it.extents(p)


class MaintenanceStoreContract:
    # -- extents ------------------------------------------------------------------------------------------------------

    @opened
    async def test_extents_become_one_segment(self, it: Stores) -> None:
        p, extents = await log_of(it)
        segment, blob = merged(extents[:3], 50), BlobRow(50, KIND_SEGMENT, 300, 5)
        segment.length = 290
        await it.maintenance.replace_extents(p, extents[:3], [segment], blob)
        assert await it.extents(p) == [segment, extents[3]]
        assert await it.maintenance.blobs() == [blob]
        row = await it.row(p)
        assert (row.end_offset, row.bytes_total) == (40, 390)

    @opened
    async def test_a_replacement_of_rows_that_changed_changes_nothing(self, it: Stores) -> None:
        p, extents = await log_of(it)
        await it.maintenance.delete_extents(p, extents[:1])
        with pytest.raises(Conflict):
            await it.maintenance.replace_extents(
                p, extents[:3], [merged(extents[:3], 50)], BlobRow(50, KIND_SEGMENT, 300, 5)
            )
        assert await it.extents(p) == extents[1:]
        assert await it.maintenance.blobs() == []
        assert (await it.row(p)).bytes_total == 300

    @opened
    async def test_a_row_that_only_looks_alike_is_not_the_one_read(self, it: Stores) -> None:
        p, extents = await log_of(it)
        for change in ({"blob_id": 999}, {"position": 3}, {"base_offset": 1}, {"last_offset": 8}):
            other = merged(extents[:1], extents[0].blob_id)
            for name, value in change.items():
                setattr(other, name, value)
            with pytest.raises(Conflict):
                await it.maintenance.delete_extents(p, [extents[1], other])
        assert await it.extents(p) == extents

    @opened
    async def test_a_row_named_twice_is_a_conflict(self, it: Stores) -> None:
        p, extents = await log_of(it)
        with pytest.raises(Conflict):
            await it.maintenance.delete_extents(p, [extents[0], extents[0]])
        assert await it.extents(p) == extents

    @opened
    async def test_new_rows_on_top_of_others_are_refused(self, it: Stores) -> None:
        p, extents = await log_of(it)
        with pytest.raises(StoreCorrupt):
            await it.maintenance.replace_extents(
                p, extents[:1], [merged(extents[:2], 50)], BlobRow(50, KIND_SEGMENT, 300, 5)
            )
        assert await it.extents(p) == extents
        assert await it.maintenance.blobs() == []

    @opened
    async def test_exactly_the_given_rows_are_deleted(self, it: Stores) -> None:
        p, extents = await log_of(it)
        await it.maintenance.delete_extents(p, extents[:2])
        assert await it.extents(p) == extents[2:]
        assert (await it.row(p)).bytes_total == 200
        await it.maintenance.delete_extents(p, extents[2:])
        row = await it.row(p)
        assert (row.bytes_total, row.end_offset, row.max_timestamp) == (0, 40, 3)
        assert (await it.append(entry(p, 40)))[0].running_max_timestamp == 100

    @opened
    async def test_of_two_that_replace_the_same_rows_one_wins(self, it: Stores) -> None:
        p, extents = await log_of(it)

        async def replace(blob_id: int) -> bool:
            try:
                await it.maintenance.replace_extents(
                    p, extents[:3], [merged(extents[:3], blob_id)], BlobRow(blob_id, KIND_SEGMENT, 300, 5)
                )
            except Conflict:
                return False
            return True

        won = await asyncio.gather(replace(50), replace(51))
        assert sorted(won) == [False, True]
        winner = 50 + won.index(True)
        assert [blob.blob_id for blob in await it.maintenance.blobs()] == [winner]
        assert [extent.blob_id for extent in await it.extents(p)] == [winner, extents[3].blob_id]

    @opened
    async def test_appends_go_on_while_rows_are_replaced(self, it: Stores) -> None:
        p, extents = await log_of(it)
        appends = [submit(it.log, it.flush(entry(p, 40 + n))) for n in range(20)]
        await it.maintenance.replace_extents(p, extents, [merged(extents, 50)], None)
        answers = await asyncio.gather(*appends)
        assert {a.status for (a,) in answers} == {APPENDED}
        left = await it.extents(p)
        assert [e.base_offset for e in left] == [0, *range(40, 60)]
        assert (await it.row(p)).bytes_total == sum(e.length for e in left)

    # -- snapshots ----------------------------------------------------------------------------------------------------

    @opened
    async def test_snapshots_only_move_forward(self, it: Stores) -> None:
        p, _ = await log_of(it)
        for offset, packed, now_at in ((10, b"a", 10), (30, b"b", 30), (20, b"c", 30), (30, b"d", 30)):
            await it.maintenance.write_snapshot(p, offset, packed)
            state = await it.log.load_partition(p)
            assert state is not None
            assert state.snapshot_offset == now_at
        assert state.snapshot == b"d"

    @opened
    async def test_the_dead_get_no_snapshot(self, it: Stores) -> None:
        p, _ = await log_of(it, 1)
        await it.topics.delete_topic(topic_id("t"), 5)
        assert await it.maintenance.purge_partition(p, 10)
        await it.maintenance.write_snapshot(p, 10, b"late")
        await it.maintenance.write_snapshot(999, 10, b"never was")
        assert await it.maintenance.dead_partitions(9) == []

    # -- deleted topics -----------------------------------------------------------------------------------------------

    @opened
    async def test_how_far_compaction_was_only_moves_forward(self, it: Stores) -> None:
        p, q = await it.topic(partitions=2)
        assert await it.maintenance.cleaned_to(p) == 0
        for offset, known in ((5, 5), (3, 5), (9, 9)):
            await it.maintenance.set_cleaned_to(p, offset)
            assert await it.maintenance.cleaned_to(p) == known
        assert await it.maintenance.cleaned_to(q) == 0

    @opened
    async def test_of_the_dead_it_is_forgotten(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.maintenance.set_cleaned_to(p, 5)
        await it.topics.delete_topic(topic_id("t"), 0)
        await it.maintenance.set_cleaned_to(p, 7)
        assert await it.maintenance.purge_partition(p, 10)
        assert await it.maintenance.cleaned_to(p) == 0

    @opened
    async def test_dead_partitions_are_purged_in_capped_chunks(self, it: Stores) -> None:
        p, _ = await log_of(it, 25)
        (alive,) = await it.topic("alive")
        await it.append(entry(alive, 0))
        await it.maintenance.write_snapshot(p, 10, b"x")
        assert await it.maintenance.dead_partitions(9) == []
        await it.topics.delete_topic(topic_id("t"), 5)
        assert await it.maintenance.dead_partitions(9) == [p]
        left = []
        while not await it.maintenance.purge_partition(p, 10):
            left.append(len(await it.extents(p)))
            assert await it.maintenance.dead_partitions(9) == [p]
        assert left == [15, 5]
        assert await it.extents(p) == []
        assert await it.maintenance.dead_partitions(9) == []
        assert len(await it.extents(alive)) == 1
        assert await it.maintenance.purge_partition(p, 10)

    @opened
    async def test_dead_partitions_come_in_chunks(self, it: Stores) -> None:
        ids = await it.topic("t", 7)
        await it.topics.delete_topic(topic_id("t"), 5)
        assert await it.maintenance.dead_partitions(3) == ids[:3]
        assert await it.maintenance.dead_partitions(99) == ids

    @opened
    async def test_a_living_partition_is_not_purged(self, it: Stores) -> None:
        p, extents = await log_of(it)
        with pytest.raises(Conflict):
            await it.maintenance.purge_partition(p, 2)
        assert await it.extents(p) == extents

    # -- blobs --------------------------------------------------------------------------------------------------------

    @opened
    async def test_only_old_sealed_blobs_that_nobody_names_are_doomed(self, it: Stores) -> None:
        (p,) = await it.topic()
        for blob_id, size, created in ((1, 100, 10), (2, -1, 10), (3, 100, 10), (4, 100, 900), (5, 0, 10)):
            await it.log.register_blob(BlobRow(blob_id, KIND_WAL, size, created))
        await it.append(entry(p, 0), blob_id=3, inline=None)
        assert await it.maintenance.doom_unreferenced(1000, 500, 9) == [1, 5]
        assert await it.maintenance.doom_unreferenced(1200, 500, 9) == []
        doomed = [BlobRow(1, KIND_WAL, 100, 10, 1000), BlobRow(5, KIND_WAL, 0, 10, 1000)]
        assert await it.maintenance.doomed_blobs(1000, 9) == []
        assert await it.maintenance.doomed_blobs(1001, 1) == doomed[:1]
        assert await it.maintenance.doomed_blobs(1001, 9) == doomed
        assert await it.maintenance.doomed_blobs(500, 9, 1000) == []
        assert await it.maintenance.doomed_blobs(500, 9, 1001) == doomed
        await it.maintenance.forget_blobs([1, 5, 77])
        assert [blob.blob_id for blob in await it.maintenance.blobs()] == [2, 3, 4]
        assert await it.maintenance.doom_unreferenced(2000, 500, 9) == [4]

    @opened
    async def test_write_ahead_blobs_may_go_earlier(self, it: Stores) -> None:
        for blob_id, kind in ((1, KIND_WAL), (2, KIND_SEGMENT), (3, KIND_WAL)):
            await it.log.register_blob(BlobRow(blob_id, kind, 100, 10))
        assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [1, 2, 3]

        async def ids(before: int, wal_before: int) -> list[int]:
            return [blob.blob_id for blob in await it.maintenance.doomed_blobs(before, 9, wal_before)]

        assert await ids(1000, 1001) == [1, 3]
        assert await ids(1001, 0) == [1, 2, 3]
        assert await ids(1000, 1000) == []

    @opened
    async def test_blobs_are_doomed_in_capped_chunks(self, it: Stores) -> None:
        for blob_id in range(1, 8):
            await it.log.register_blob(BlobRow(blob_id, KIND_WAL, 0, 0))
        chunks = [await it.maintenance.doom_unreferenced(1000, 0, 3) for _ in range(4)]
        assert chunks == [[1, 2, 3], [4, 5, 6], [7], []]

    @opened
    async def test_inline_bytes_go_with_the_rows_that_name_them(self, it: Stores) -> None:
        p, extents = await log_of(it, 3)
        await it.maintenance.delete_extents(p, extents[:1])
        await it.maintenance.replace_extents(
            p, extents[1:2], [merged(extents[1:2], 50)], BlobRow(50, KIND_SEGMENT, 100, 1000)
        )
        assert [await it.log.read_inline(extent.blob_id) for extent in extents] == [None, None, b"bytes"]
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_inline_bytes_of_several_partitions_stay_until_the_last_one_lets_go(self, it: Stores) -> None:
        a, b, c = await it.topic(partitions=3)
        await it.append(entry(a, 0, position=0, length=1), entry(b, 0, position=1, length=2), entry(c, 0, position=3))
        (of_a,), (of_b,), _ = [await it.extents(p) for p in (a, b, c)]
        await it.maintenance.delete_extents(b, [of_b])
        assert await it.maintenance.live_counts() == []
        await it.maintenance.replace_extents(a, [of_a], [merged([of_a], 50)], BlobRow(50, KIND_SEGMENT, 1, 1000))
        assert await it.log.read_inline(of_a.blob_id) == b"bytes"
        assert await it.maintenance.inline_run(c, 0, 9) == {0: b"es"}
        assert await it.maintenance.live_counts() == []
        await it.topics.delete_topic(topic_id("t"), 5)
        assert await it.maintenance.purge_partition(c, 10)
        assert await it.log.read_inline(of_a.blob_id) is None
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_extents_become_one_that_stays_inline(self, it: Stores) -> None:
        p, extents = await log_of(it, 3)
        one = merged(extents[:2], 60)
        one.kind, one.length = KIND_INLINE, 4
        await it.maintenance.replace_extents(p, extents[:2], [one], None, InlineBlob(60, b"both", 7))
        assert await it.extents(p) == [one, extents[2]]
        assert [await it.log.read_inline(n) for n in (extents[0].blob_id, extents[1].blob_id, 60)] == [
            None,
            None,
            b"both",
        ]
        assert await it.maintenance.inline_run(p, 0, 99) == {19: b"both", 29: b"bytes"}
        again = merged([one, extents[2]], 61)
        again.kind = KIND_INLINE
        await it.maintenance.replace_extents(p, [one, extents[2]], [again], None, InlineBlob(61, b"all", 8))
        assert await it.log.read_inline(60) is None
        assert await it.maintenance.live_counts() == []
        await it.append(entry(p, 30, 10), blob_id=62)
        with pytest.raises(StoreCorrupt):
            await it.maintenance.replace_extents(p, [again], [one], None, InlineBlob(62, b"taken", 9))
        assert (await it.extents(p))[0] == again
        assert await it.log.read_inline(61) == b"all"

    @opened
    async def test_the_bytes_of_a_run_come_in_one_answer(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        for n in range(3):
            await it.append(entry(a, n, position=1, length=3), entry(b, n, position=0, length=1), inline=b"%dxyz" % n)
        await it.append(entry(a, 3), blob_id=99, inline=None, new_blob_bytes=10)
        assert await it.maintenance.inline_run(a, 1, 3) == {1: b"xyz", 2: b"xyz"}
        assert await it.maintenance.inline_run(b, 0, 1) == {0: b"0", 1: b"1"}
        assert await it.maintenance.inline_run(b, 7, 9) == {}

    @opened
    async def test_a_blob_is_garbage_when_the_last_of_its_extents_went(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await it.log.register_blob(BlobRow(3, KIND_WAL, -1, 0))
        for n in range(2):
            await it.append(entry(a, n, position=n), entry(b, n, position=9 + n), blob_id=3, inline=None)
        await it.maintenance.seal_blob(3, 100)
        await it.maintenance.delete_extents(a, await it.extents(a))
        assert await it.maintenance.doom_unreferenced(1000, 0, 9) == []
        extents = await it.extents(b)
        await it.maintenance.replace_extents(b, extents, [merged(extents, 50)], BlobRow(50, KIND_SEGMENT, 9, 500))
        assert await it.maintenance.live_counts() == []
        assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [3]
        await it.topics.delete_topic(topic_id("t"), 5)
        assert not await it.maintenance.purge_partition(b, 1)
        assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [50]
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_an_orphan_that_was_doomed_cannot_be_named(self, it: Stores) -> None:
        p, extents = await log_of(it)
        await it.log.register_blob(BlobRow(7, KIND_WAL, -1, 0))
        assert await it.maintenance.doom_orphans([7, 50, 51], 1000) == [50, 51]
        assert await it.maintenance.doom_orphans([50], 2000) == []
        with pytest.raises(StoreCorrupt):
            await it.maintenance.replace_extents(
                p, extents, [merged(extents, 50)], BlobRow(50, KIND_SEGMENT, 300, 1500)
            )
        assert await it.extents(p) == extents
        with pytest.raises(StoreCorrupt):
            await it.log.register_blob(BlobRow(51, KIND_WAL, -1, 0))
        assert [blob.blob_id for blob in await it.maintenance.doomed_blobs(1001, 9)] == [50, 51]
        await it.maintenance.forget_blobs([50, 51])
        assert [blob.blob_id for blob in await it.maintenance.blobs()] == [7]

    # -- what maintenance asks ----------------------------------------------------------------------------------------

    @opened
    async def test_heads_are_partitions_with_their_first_extents(self, it: Stores) -> None:
        a, empty, b, c = await it.topic(partitions=4)
        (dead,) = await it.topic("dead")
        for p in (a, b, c, dead):
            await it.append(entry(p, 0, 10, max_timestamp=p), now=5000)
            await it.append(entry(p, 10, 10, max_timestamp=90), now=6000)
        await it.maintenance.delete_extents(b, (await it.extents(b))[:1])
        await it.log.raise_log_start(c, 4)
        await it.topics.delete_topic(topic_id("dead"), 5)
        heads = [
            PartitionHead(a, topic_id("t"), 0, 200, 9, 100, a, 5000),
            PartitionHead(b, topic_id("t"), 0, 100, 19, 100, 90, 6000),
            PartitionHead(c, topic_id("t"), 4, 200, 9, 100, c, 5000),
        ]
        assert await it.maintenance.partition_heads(0, 9) == heads
        assert await it.maintenance.partition_heads(0, 2) == heads[:2]
        assert await it.maintenance.partition_heads(a, 9) == heads[1:]
        assert await it.maintenance.partition_heads(c, 9) == []
        assert empty not in [head.partition_id for head in heads]

    @opened
    async def test_where_small_extents_begin(self, it: Stores) -> None:
        a, empty, b = await it.topic(partitions=3)
        for n, length in enumerate((500, 700, 20, 600)):
            await it.append(entry(a, n * 10, 10, length=length))
        await it.append(entry(b, 0, 7, length=500))
        (dead,) = await it.topic("dead")
        await it.topics.delete_topic(topic_id("dead"), 5)
        assert await it.maintenance.small_extents(100, 0, 9) == [(a, 20), (empty, 0), (b, 7)]
        assert await it.maintenance.small_extents(501, 0, 2) == [(a, 0), (empty, 0)]
        assert await it.maintenance.small_extents(501, empty, 9) == [(b, 0)]
        assert dead

    @opened
    async def test_an_inline_id_does_not_hold_a_blob_of_the_same_number(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0), blob_id=1)
        await it.log.register_blob(BlobRow(1, KIND_WAL, 0, 0))
        assert await it.maintenance.blob_ends() == {}
        assert await it.maintenance.doom_unreferenced(5000, 0, 9) == [1]
        assert await it.log.read_inline(1) == b"bytes"

    @opened
    async def test_a_blob_is_sealed_once(self, it: Stores) -> None:
        await it.log.register_blob(BlobRow(1, KIND_WAL, -1, 0))
        await it.maintenance.seal_blob(1, 300)
        await it.maintenance.seal_blob(1, 200)
        await it.maintenance.seal_blob(77, 200)
        assert [(blob.blob_id, blob.size) for blob in await it.maintenance.blobs()] == [(1, 300)]

    @opened
    async def test_how_far_extents_reach_into_blobs(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        for blob_id in (7, 8):
            await it.log.register_blob(BlobRow(blob_id, KIND_WAL, -1, 0))
        await it.append(
            entry(a, 0, position=100, length=20), entry(b, 0, position=120, length=5), blob_id=7, inline=None
        )
        await it.append(entry(a, 1, position=0, length=9), blob_id=8, inline=None)
        await it.append(entry(a, 2, position=500))
        assert await it.maintenance.blob_ends() == {7: 125, 8: 9}
