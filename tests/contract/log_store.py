"""The contract of `LogStore`: derive a test class from this one beside a fixture `opener` of `support.stores`."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, reopened
from support.stores import Stores, entry, submit
from support.txns import put_txn, txn_row

from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.ports import LOCKED_EXTENTS_MAX
from moldau.metadata.rows import (
    APPENDED,
    BLOB_GONE,
    GONE,
    KIND_INLINE,
    KIND_SEGMENT,
    KIND_WAL,
    MOVED,
    TXN_OVER,
    AppendCommit,
    AppendResult,
    BlobRow,
    Extent,
    LockedPartition,
    PartitionSeen,
)
from moldau.metadata.rows_txn import ABORTED, COMMITTED, EMPTY, PREPARED, TxnGuard


def numbers(extents: list[Extent]) -> list[tuple[int, int]]:
    return [(extent.base_offset, extent.last_offset) for extent in extents]


class LogStoreContract:
    # -- guards -------------------------------------------------------------------------------------------------------

    @opened
    async def test_a_guard_holds_while_its_transaction_is_open_and_names_the_partition(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)

        async def status(partition_id: int, seq: int, transactional_id: str = "t\0\ufffe") -> int:
            end = (await it.row(partition_id)).end_offset
            guard = TxnGuard(partition_id, transactional_id, seq)
            (answer,) = await it.append(entry(partition_id, end), guards=(guard,))
            assert answer.offset == (end if answer.status == APPENDED else -1)
            assert (await it.row(partition_id)).end_offset == end + (answer.status == APPENDED)
            return answer.status

        assert await status(a, 5) == TXN_OVER
        await put_txn(it, txn_row("t\0\ufffe", 5), a)
        assert await status(a, 5) == APPENDED
        assert await status(a, 5) == APPENDED
        assert await status(a, 4) == TXN_OVER
        assert await status(a, 6) == TXN_OVER
        assert await status(b, 5) == TXN_OVER
        assert await status(a, 5, "t") == TXN_OVER
        for state in (EMPTY, PREPARED, COMMITTED, ABORTED):
            await put_txn(it, txn_row("t\0\ufffe", 5, state), a)
            assert await status(a, 5) == TXN_OVER
        await put_txn(it, txn_row("t\0\ufffe", 6), a, b)
        assert await status(a, 5) == TXN_OVER
        assert await status(a, 6) == APPENDED
        assert await status(b, 6) == APPENDED

    @opened
    async def test_a_guard_that_does_not_hold_stops_its_partition_only(self, it: Stores) -> None:
        a, b, c, d = await it.topic(partitions=4)
        (dead,) = await it.topic("dead")
        await it.topics.delete_topic((await it.row(dead)).topic_id, 5)
        await put_txn(it, txn_row("x", 1), a, b, dead)
        await put_txn(it, txn_row("y", 1, ABORTED), a)
        guards = (
            TxnGuard(a, "x", 1),
            TxnGuard(a, "y", 1),
            TxnGuard(b, "x", 1),
            TxnGuard(d, "x", 1),
            TxnGuard(dead, "y", 1),
        )
        entries = [entry(a, 0), entry(b, 0), entry(c, 0), entry(d, 0), entry(dead, 0)]
        answers = await it.append(*entries, blob_id=5, inline=b"some bytes", guards=guards)
        assert [r.status for r in answers] == [TXN_OVER, APPENDED, APPENDED, TXN_OVER, GONE]
        assert [(await it.row(p)).end_offset for p in (a, b, c, d)] == [0, 1, 1, 0]
        assert await it.log.read_inline(5) == b"some bytes"
        assert await it.maintenance.live_counts() == []
        moved = await it.append(entry(b, 0), guards=(TxnGuard(b, "x", 1),))
        assert [(r.status, r.offset) for r in moved] == [(MOVED, 1)]
        over = await it.append(entry(a, 0), blob_id=9, inline=b"nobody's", guards=(TxnGuard(a, "y", 1),))
        assert over == [AppendResult(TXN_OVER, -1)]
        assert await it.log.read_inline(9) is None

    @opened
    async def test_guards_under_locks(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await put_txn(it, txn_row("x", 1), a)
        guards = (TxnGuard(a, "x", 1), TxnGuard(b, "x", 1))

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            entries = [entry(each.row.partition_id, each.row.end_offset) for each in locked]
            return it.flush(*entries, inline=None, blob_id=8, new_blob_bytes=20, guards=guards)

        for end in range(2):
            answers = await it.log.append_locked({a: 0, b: 0}, 8, decide, guards)
            assert [(r.status, r.offset) for r in answers] == [(APPENDED, end), (TXN_OVER, -1)]
        await put_txn(it, txn_row("x", 2), a, b)
        assert [r.status for r in await it.log.append_locked({a: 0, b: 0}, 8, decide, guards)] == [TXN_OVER] * 2
        assert await it.maintenance.live_counts() == []

    # -- append -------------------------------------------------------------------------------------------------------

    @opened
    async def test_an_append_moves_the_end_and_leaves_an_extent(self, it: Stores) -> None:
        (p,) = await it.topic()
        flush = it.flush(entry(p, 0, 3, position=7, length=50, max_timestamp=90, fold=b"f"), blob_id=5, now=1234)
        assert await submit(it.log, flush) == [AppendResult(APPENDED, 0, 0, 90)]
        assert await it.extents(p) == [
            Extent(
                partition_id=p,
                base_offset=0,
                last_offset=2,
                blob_id=5,
                position=7,
                length=50,
                max_timestamp=90,
                running_max_timestamp=90,
                records=3,
                leader_epoch=0,
                kind=KIND_INLINE,
                appended_at=1234,
                fold=b"f",
            )
        ]
        row = await it.row(p)
        assert (row.end_offset, row.log_start_offset, row.max_timestamp, row.bytes_total) == (3, 0, 90, 50)
        assert (row.partition_id, row.partition_index, row.alive, row.leader_epoch) == (p, 0, True, 0)

    @opened
    async def test_offsets_go_on_and_the_running_maximum_never_falls(self, it: Stores) -> None:
        (p,) = await it.topic()
        answers = []
        for end, records, timestamp in ((0, 2, 50), (2, 1, 40), (3, 5, -1), (8, 1, 60)):
            answers += await it.append(entry(p, end, records, max_timestamp=timestamp))
        assert [(a.status, a.offset, a.running_max_timestamp) for a in answers] == [
            (APPENDED, 0, 50),
            (APPENDED, 2, 50),
            (APPENDED, 3, 50),
            (APPENDED, 8, 60),
        ]
        extents = await it.extents(p)
        assert numbers(extents) == [(0, 1), (2, 2), (3, 7), (8, 8)]
        assert [(e.max_timestamp, e.running_max_timestamp) for e in extents] == [(50, 50), (40, 50), (-1, 50), (60, 60)]
        assert (await it.row(p)).bytes_total == 90

    @opened
    async def test_a_stale_end_is_told_the_true_one_and_nothing_is_written(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, 4))
        for stale in (0, 3, 5, 1 << 40):
            assert await it.append(entry(p, stale)) == [AppendResult(MOVED, 4)]
        assert numbers(await it.extents(p)) == [(0, 3)]
        assert (await it.row(p)).bytes_total == 40

    @opened
    async def test_unknown_and_deleted_partitions_are_gone(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0))
        await it.topics.delete_topic((await it.row(p)).topic_id, 5)
        assert await it.append(entry(p, 1), entry(999, 0)) == [AppendResult(GONE, -1), AppendResult(GONE, -1)]
        assert await it.log.load_partition(p) is None
        assert await it.log.load_partition(999) is None

    @opened
    async def test_partitions_of_one_flush_are_decided_one_by_one(self, it: Stores) -> None:
        a, b, c = await it.topic(partitions=3)
        (dead,) = await it.topic("dead")
        await it.append(entry(b, 0, 2))
        await it.topics.delete_topic((await it.row(dead)).topic_id, 5)
        answers = await it.append(entry(c, 0, 1), entry(b, 1), entry(dead, 0), entry(a, 0, 6), entry(b, 2))
        assert [(r.status, r.offset) for r in answers] == [
            (APPENDED, 0),
            (MOVED, 2),
            (GONE, -1),
            (APPENDED, 0),
            (APPENDED, 2),
        ]
        assert [(await it.row(p)).end_offset for p in (a, b, c)] == [6, 3, 1]

    @opened
    async def test_a_partition_may_come_twice_in_one_flush(self, it: Stores) -> None:
        (p,) = await it.topic()
        answers = await it.append(entry(p, 0, 2), entry(p, 2, 1), entry(p, 2, 1))
        assert [(r.status, r.offset) for r in answers] == [(APPENDED, 0), (APPENDED, 2), (MOVED, 3)]

    @opened
    async def test_two_hundred_partitions_in_one_flush(self, it: Stores) -> None:
        ids = await it.topic(partitions=200)
        answers = await it.append(*[entry(p, 0, n + 1) for n, p in enumerate(ids)])
        assert {(r.status, r.offset) for r in answers} == {(APPENDED, 0)}
        assert [(await it.row(p)).end_offset for p in ids] == list(range(1, 201))

    @opened
    async def test_bytes_that_rode_along_are_kept(self, it: Stores) -> None:
        (p,) = await it.topic()
        data = bytes(range(256)) * 300
        await it.append(entry(p, 0), blob_id=8, inline=data)
        assert await it.log.read_inline(8) == data
        assert await it.log.read_inline(9) is None

    @opened
    async def test_a_flush_whose_bytes_lie_in_a_blob(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.log.register_blob(BlobRow(8, KIND_WAL, -1, 5))
        await it.append(entry(p, 0, position=70, length=30), blob_id=8, inline=None)
        (extent,) = await it.extents(p)
        assert (extent.kind, extent.blob_id, extent.position, extent.length) == (KIND_WAL, 8, 70, 30)
        assert await it.log.read_inline(8) is None
        assert await it.maintenance.blob_ends() == {8: 100}

    @opened
    async def test_a_blob_that_is_doomed_or_unknown_takes_no_extents(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.log.register_blob(BlobRow(8, KIND_WAL, 100, 5))
        assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [8]
        assert await it.maintenance.doom_orphans([9], 1000) == [9]
        for blob_id, new in ((8, -1), (8, 100), (9, -1), (9, 100), (77, -1)):
            flush = it.flush(entry(p, 0), entry(999, 0), entry(p, 5), blob_id=blob_id, inline=None, new_blob_bytes=new)
            assert [(r.status, r.offset) for r in await submit(it.log, flush)] == [
                (BLOB_GONE, -1),
                (GONE, -1),
                (BLOB_GONE, -1),
            ]
        assert (await it.row(p)).end_offset == 0
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_a_commit_makes_its_new_blob_known(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        lost = await it.append(entry(a, 9), blob_id=8, inline=None, new_blob_bytes=70)
        assert [r.status for r in lost] == [MOVED]
        assert await it.maintenance.blobs() == []
        for end in (0, 1):  # as after a lost race: the same blob again
            answers = await it.append(
                entry(a, end), entry(b, 0), blob_id=8, inline=None, new_blob_bytes=70, now=1234 + end
            )
            assert [r.status for r in answers] == [APPENDED, MOVED if end else APPENDED]
        assert await it.maintenance.blobs() == [BlobRow(8, KIND_WAL, 70, 1234)]
        assert await it.maintenance.live_counts() == []
        assert await it.maintenance.doom_unreferenced(9999, 0, 9) == []
        await it.maintenance.delete_extents(a, await it.extents(a))
        await it.maintenance.delete_extents(b, await it.extents(b))
        assert await it.maintenance.doom_unreferenced(9999, 0, 9) == [8]

    @opened
    async def test_nothing_is_kept_of_a_flush_that_lost_everywhere(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 9), blob_id=8)
        assert await it.log.read_inline(8) is None

    @opened
    async def test_an_inline_id_given_twice_is_refused_whole(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0), blob_id=8, inline=b"first")
        with pytest.raises(StoreCorrupt):
            await it.append(entry(p, 1), blob_id=8, inline=b"second")
        assert await it.log.read_inline(8) == b"first"
        assert (await it.row(p)).end_offset == 1
        assert numbers(await it.extents(p)) == [(0, 0)]

    @opened
    async def test_offsets_and_times_of_64_bits(self, it: Stores) -> None:
        (p,) = await it.topic()
        far = 1 << 61
        assert (await it.append(entry(p, 0, far, length=10)))[0].status == APPENDED
        large = (1 << 62) + 5
        await it.append(entry(p, far, 1, max_timestamp=large, position=large), blob_id=large, now=large)
        (extent,) = await it.log.extents_from(p, far, 5)
        assert extent.last_offset == far
        assert extent.max_timestamp == extent.position == extent.blob_id == extent.appended_at == large

    @opened
    async def test_many_at_once_are_answered_once_each_and_in_order(self, it: Stores) -> None:
        (p,) = await it.topic()
        order: list[int] = []
        futures = []
        for n in range(200):
            future = submit(it.log, it.flush(entry(p, n)))
            future.add_done_callback(lambda _, n=n: order.append(n))
            futures.append(future)
        answers = await asyncio.gather(*futures)
        await asyncio.sleep(0)  # the callbacks have run, too
        assert [(a.status, a.offset) for (a,) in answers] == [(APPENDED, n) for n in range(200)]
        assert order == list(range(200))
        assert numbers(await it.extents(p)) == [(n, n) for n in range(200)]

    @opened
    async def test_reads_meanwhile_see_whole_commits(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        futures = []
        for n in range(60):
            futures.append(submit(it.log, it.flush(entry(a, n * 2, 2), entry(b, n, 1))))
            if n % 10 == 0:
                state = await it.log.load_partition(a)
                assert state is not None
                ends = [extent.last_offset + 1 for extent in state.extents]
                assert ends == [2 * (k + 1) for k in range(len(ends))]
                assert state.row.end_offset == (ends[-1] if ends else 0)
        await asyncio.gather(*futures)
        assert (await it.row(b)).end_offset == 60

    @opened
    async def test_what_is_answered_is_seen_by_the_next_read(self, it: Stores) -> None:
        (p,) = await it.topic()
        for n in range(20):
            await it.append(entry(p, n), durable=n % 3 != 0)
            assert numbers(await it.log.extents_from(p, n, 5)) == [(n, n)]

    @reopened
    async def test_what_was_answered_is_there_after_a_reopen(self, opener: Opener) -> None:
        async with opener() as it:
            (p,) = await it.topic()
            await it.append(entry(p, 0, 2), blob_id=1, inline=b"one")
            await it.append(entry(p, 2, 2), blob_id=2, inline=b"two", durable=False)
            before = await it.log.load_partition(p)
        async with opener() as it:
            assert await it.log.load_partition(p) == before
            assert await it.log.read_inline(2) == b"two"

    # -- append under locks -------------------------------------------------------------------------------------------

    @opened
    async def test_who_holds_the_locks_sees_where_partitions_are(self, it: Stores) -> None:
        a, b, c, d = await it.topic(partitions=4)
        (dead,) = await it.topic("dead")
        await it.topics.delete_topic((await it.row(dead)).topic_id, 5)
        for n in range(3):
            await it.append(entry(a, n * 2, 2), entry(b, n))
        seen: list[LockedPartition] = []

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            seen[:] = locked
            ends = {each.row.partition_id: each.row.end_offset for each in locked if each.row.alive}
            return it.flush(*[entry(p, ends[p], 7) for p in (b, a, c)], blob_id=50, inline=b"under locks")

        answers = await it.log.append_locked({c: 0, dead: 0, b: 1, a: 6, 999: 0, d: 0}, -1, decide)
        assert [(each.row.partition_id, each.row.alive, each.row.end_offset) for each in seen] == [
            (a, True, 6),
            (b, True, 3),
            (c, True, 0),
            (d, True, 0),
            (dead, False, 0),
            (999, False, 0),
        ]
        assert [numbers(each.extents) for each in seen] == [[], [(1, 1), (2, 2)], [], [], [], []]
        assert seen[1].extents == (await it.extents(b))[1:3]
        assert [(r.status, r.offset) for r in answers] == [(APPENDED, 3), (APPENDED, 6), (APPENDED, 0)]
        assert await it.log.read_inline(50) == b"under locks"
        assert [(await it.row(p)).end_offset for p in (a, b, c, d)] == [13, 10, 7, 0]

    @opened
    async def test_nothing_to_commit_under_locks(self, it: Stores) -> None:
        (p,) = await it.topic()
        assert await it.log.append_locked({p: 0}, -1, lambda _: it.flush()) == []
        assert await it.log.append_locked({}, -1, lambda _: it.flush()) == []
        assert [r.status for r in await it.append(entry(p, 0))] == [APPENDED]

    @opened
    async def test_a_blob_that_is_named_under_locks(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            entries = [entry(each.row.partition_id, each.row.end_offset, position=9) for each in locked]
            return it.flush(*entries, blob_id=8, inline=None, new_blob_bytes=70)

        for p in (a, b, a):
            assert [r.status for r in await it.log.append_locked({p: 0}, 8, decide)] == [APPENDED]
        assert await it.maintenance.blobs() == [BlobRow(8, KIND_WAL, 70, 1000)]
        assert await it.maintenance.live_counts() == []
        for p in (a, b):
            await it.maintenance.delete_extents(p, await it.extents(p))
        assert await it.maintenance.doom_unreferenced(9999, 0, 9) == [8]
        assert await it.log.append_locked({a: 0, b: 0}, 8, decide) == [AppendResult(BLOB_GONE, -1)] * 2

    @opened
    async def test_an_error_of_who_decides_changes_nothing(self, it: Stores) -> None:
        (p,) = await it.topic()

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await it.log.append_locked({p: 0}, -1, decide)
        assert [r.status for r in await it.append(entry(p, 0))] == [APPENDED]

    @opened
    async def test_of_a_caller_far_behind_only_the_first_extents_are_read(self, it: Stores) -> None:
        (p,) = await it.topic()
        count = LOCKED_EXTENTS_MAX + 5
        await asyncio.gather(*[submit(it.log, it.flush(entry(p, n))) for n in range(count)])
        seen: list[LockedPartition] = []

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            seen[:] = locked
            return it.flush()

        await it.log.append_locked({p: 2}, -1, decide)
        assert numbers(seen[0].extents) == [(n, n) for n in range(2, 2 + LOCKED_EXTENTS_MAX)]
        assert seen[0].row.end_offset == count

    @opened
    async def test_appends_under_locks_among_others(self, it: Stores) -> None:
        (p,) = await it.topic()
        told: list[int] = []

        async def locked(n: int) -> None:
            commits: list[AppendCommit] = []

            def decide(locked: list[LockedPartition]) -> AppendCommit:
                commits.append(it.flush(entry(p, locked[0].row.end_offset), blob_id=1000 + n))
                return commits[-1]

            (answer,) = await it.log.append_locked({p: 0}, -1, decide)
            assert (answer.status, answer.offset) == (APPENDED, commits[-1].entries[0].expected_end)
            told.append(answer.offset)

        async def optimistic() -> None:
            end = 0
            for _ in range(10):
                while True:
                    (answer,) = await it.append(entry(p, end))
                    if answer.status == APPENDED:
                        break
                    end = answer.offset
                told.append(end)
                end += 1

        await asyncio.gather(optimistic(), *map(locked, range(20)))
        assert sorted(told) == list(range(30))
        assert numbers(await it.extents(p)) == [(n, n) for n in range(30)]

    # -- look-up ------------------------------------------------------------------------------------------------------

    @opened
    async def test_extents_from_an_offset(self, it: Stores) -> None:
        (p, other) = await it.topic(partitions=2)
        await it.append(entry(other, 0, 100))
        for n in range(5):
            await it.append(entry(p, n * 10, 10))
        assert numbers(await it.log.extents_from(p, 0, 2)) == [(0, 9), (10, 19)]
        assert numbers(await it.log.extents_from(p, 9, 1)) == [(0, 9)]
        assert numbers(await it.log.extents_from(p, 10, 1)) == [(10, 19)]
        assert numbers(await it.log.extents_from(p, 35, 9)) == [(30, 39), (40, 49)]
        assert await it.log.extents_from(p, 50, 9) == []
        assert await it.log.extents_from(p, 0, 0) == []
        assert await it.log.extents_from(999, 0, 9) == []

    @opened
    async def test_extents_before_an_offset_are_the_nearest_in_order(self, it: Stores) -> None:
        (p,) = await it.topic()
        for n in range(5):
            await it.append(entry(p, n * 10, 10))
        assert numbers(await it.log.extents_before(p, 50, 2)) == [(30, 39), (40, 49)]
        assert numbers(await it.log.extents_before(p, 49, 2)) == [(20, 29), (30, 39)]
        assert numbers(await it.log.extents_before(p, 10, 9)) == [(0, 9)]
        assert await it.log.extents_before(p, 9, 9) == []
        assert await it.log.extents_before(p, 0, 9) == []

    @opened
    async def test_look_up_across_a_gap(self, it: Stores) -> None:
        (p,) = await it.topic()
        for n in range(5):
            await it.append(entry(p, n * 10, 10, max_timestamp=n))
        extents = await it.extents(p)
        await it.maintenance.delete_extents(p, [extents[0], extents[2]])
        assert numbers(await it.log.extents_from(p, 0, 1)) == [(10, 19)]
        assert numbers(await it.log.extents_from(p, 25, 1)) == [(30, 39)]
        assert numbers(await it.log.extents_before(p, 30, 1)) == [(10, 19)]
        assert [(await it.log.extent_by_time(p, t) or extents[0]).base_offset for t in (-1, 0, 1, 2, 3, 4)] == [
            10,
            10,
            10,
            30,
            30,
            40,
        ]

    @opened
    async def test_by_time_finds_the_first_that_reaches_it(self, it: Stores) -> None:
        (p,) = await it.topic()
        assert await it.log.extent_by_time(p, 0) is None
        end = 0
        for records, timestamp in ((1, 10), (50, 10), (3, 7), (1, 20), (200, 20), (1, 15), (7, 30)):
            await it.append(entry(p, end, records, max_timestamp=timestamp))
            end += records
        extents = await it.extents(p)
        for timestamp in range(-1, 33):
            expected = next((e for e in extents if e.running_max_timestamp >= timestamp), None)
            assert await it.log.extent_by_time(p, timestamp) == expected

    @opened
    async def test_by_time_with_wide_gaps(self, it: Stores) -> None:
        """As compaction leaves them: few extents, far apart."""
        (p,) = await it.topic()
        for n in range(40):
            await it.append(entry(p, n * 1000, 1000, max_timestamp=n * 10))
        extents = await it.extents(p)
        for gone in (extents[1:30], extents[31:39]):
            await it.maintenance.delete_extents(p, gone)
        left = [extents[0], extents[30], extents[39]]
        for timestamp in (-5, 0, 1, 299, 300, 301, 390, 391):
            expected = next((e for e in left if e.running_max_timestamp >= timestamp), None)
            assert await it.log.extent_by_time(p, timestamp) == expected

    @opened
    async def test_by_time_with_a_gap_below_the_last(self, it: Stores) -> None:
        (p,) = await it.topic()
        for n in range(10):
            await it.append(entry(p, n, 1, max_timestamp=n))
        await it.append(entry(p, 10, 1_000_000, max_timestamp=10))
        await it.append(entry(p, 1_000_010, 1, max_timestamp=11))
        extents = await it.extents(p)
        await it.maintenance.delete_extents(p, extents[10:11])
        for n in range(12):
            assert await it.log.extent_by_time(p, n) == extents[11 if n == 10 else n]

    @opened
    async def test_a_view_is_loaded_from_its_snapshot_on(self, it: Stores) -> None:
        (p,) = await it.topic()
        state = await it.log.load_partition(p)
        assert state is not None
        assert (state.snapshot_offset, state.snapshot, state.extents) == (0, b"", [])
        for n in range(4):
            await it.append(entry(p, n * 5, 5))
        await it.maintenance.write_snapshot(p, 10, b"packed")
        state = await it.log.load_partition(p)
        assert state is not None
        assert (state.snapshot_offset, state.snapshot) == (10, b"packed")
        assert numbers(state.extents) == [(10, 14), (15, 19)]
        assert state.row.end_offset == 20

    # -- the rest -----------------------------------------------------------------------------------------------------

    @opened
    async def test_the_log_start_only_rises_and_stays_within_the_log(self, it: Stores) -> None:
        (p,) = await it.topic()
        assert await it.log.raise_log_start(p, -1) == (0, 0)
        await it.append(entry(p, 0, 10))
        for offset, start in ((0, 0), (4, 4), (2, 4), (0, 4), (4, 4), (11, 10), (5, 10), (-1, 10)):
            assert await it.log.raise_log_start(p, offset) == (start, 10)
        await it.append(entry(p, 10, 5))
        assert await it.log.raise_log_start(p, 3) == (10, 15)
        assert await it.log.raise_log_start(p, -1) == (15, 15)
        row = await it.row(p)
        assert (row.log_start_offset, row.end_offset) == (15, 15)
        assert numbers(await it.extents(p)) == [(0, 9), (10, 14)]

    @opened
    async def test_a_partition_that_is_gone_has_no_log_start(self, it: Stores) -> None:
        (p,) = await it.topic()
        await it.topics.delete_topic((await it.row(p)).topic_id, 5)
        assert await it.log.raise_log_start(p, 0) is None
        assert await it.log.raise_log_start(999, 0) is None

    @opened
    async def test_what_changed_since_it_was_seen(self, it: Stores) -> None:
        a, b, c, d = await it.topic("t", 4)
        (dead,) = await it.topic("dead")
        (purged,) = await it.topic("purged")
        seen = [PartitionSeen(p, 0, 0, 0) for p in (d, c, b, a, dead, purged)]
        assert await it.log.changed(seen) == []
        assert await it.log.changed([]) == []
        await it.append(entry(a, 0, 10))
        await it.append(entry(b, 0, 10))
        await it.log.raise_log_start(b, 4)
        await it.topics.delete_topic((await it.row(dead)).topic_id, 5)
        await it.topics.delete_topic((await it.row(purged)).topic_id, 5)
        assert await it.maintenance.purge_partition(purged, 10)
        found = await it.log.changed(seen)
        assert [row.partition_id for row in found] == [a, b, dead, purged]
        assert found[:2] == [await it.row(a), await it.row(b)]
        assert [row.alive for row in found] == [True, True, False, False]
        assert await it.log.changed([PartitionSeen(a, 10, 0, 0), PartitionSeen(b, 10, 4, 0)]) == []
        assert await it.log.changed([PartitionSeen(b, 10, 3, 0)]) == [found[1]]
        assert await it.log.changed([PartitionSeen(b, 11, 4, 0)]) == [found[1]]
        await it.recovery.raise_leader_epochs(2)
        assert [row.leader_epoch for row in await it.log.changed([PartitionSeen(a, 10, 0, 0)])] == [2]

    @opened
    async def test_a_blob_is_registered_once(self, it: Stores) -> None:
        blob = BlobRow(3, KIND_SEGMENT, 77, 5)
        await it.log.register_blob(blob)
        with pytest.raises(StoreCorrupt):
            await it.log.register_blob(BlobRow(3, KIND_WAL, -1, 6))
        assert await it.maintenance.blobs() == [blob]
