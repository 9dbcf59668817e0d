"""The segment builder on stores in memory and on SQLite: nothing is lost, whatever fails, and rows become few."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, run
from support.logs import TINY, Log
from support.stores import Stores

from moldau import faults
from moldau.log import segment, segment_builder, snapshot
from moldau.log.segment_plan import BuildRule
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL, Extent

RULE = BuildRule(large_bytes=20_000, segment_bytes=60_000, min_age_ms=0, roll_ms=1 << 40)


async def small_log(it: Stores, count: int = 60, inline: bool = True) -> tuple[Log, int]:
    log = Log(it)
    (p,) = await it.topic()
    for n in range(count):
        await log.append(p, [b"%d-%d" % (n, each) * 40 for each in range(3)], inline=inline, timestamp=n * 10)
    return log, p


async def small_append(log: Log, p: int, count: int) -> None:
    for _ in range(count):
        await log.append(p, [b"z" * 200])


async def check_whole(log: Log, p: int) -> None:
    """Every record is there, each segment is sound, counts are right, view and store agree."""
    view = await log.views.load(p)
    assert view is not None
    expected = [(offset, value) for offset, value, _ in log.records if offset >= view.log_start_offset]
    assert await log.read_all(p) == expected
    assert await log.it.maintenance.live_counts() == []
    extents = await log.it.extents(p)
    assert view.extents == [extent for extent in extents if extent.base_offset >= view.tail_start]
    for extent in extents:
        if extent.kind == KIND_SEGMENT:
            whole = await log.blobs.read(extent.blob_id, 0, extent.position + extent.length)
            assert list(segment.check(whole, extent)) == []
    row = await log.it.row(p)
    assert row.bytes_total == sum(extent.length for extent in extents)


class Behind:
    """A log store whose rows end at `end`."""

    def __init__(self, it: Stores) -> None:
        self.it = it
        self.end = 0

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        return [
            each for each in await self.it.log.extents_from(partition_id, offset, limit) if each.last_offset < self.end
        ]


class Counted:
    """A log store that counts the looks at its rows."""

    def __init__(self, it: Stores) -> None:
        self.it = it
        self.looks = 0

    async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
        self.looks += 1
        return await self.it.log.extents_from(partition_id, offset, limit)


class TestBuilder:
    @pytest.mark.parametrize("inline", [True, False], ids=["inline", "write-ahead"])
    def test_many_small_extents_become_few(self, opener: Opener, inline: bool) -> None:
        async def main() -> None:
            async with opener() as it:
                log, p = await small_log(it, inline=inline)
                before = await it.extents(p)
                assert await log.builder.build(p, RULE) >= 1
                extents = await it.extents(p)
                assert len(extents) == 1
                (one,) = extents
                assert one.kind == KIND_INLINE, "less than 128 KiB stay in the metadata store"
                assert (one.length, one.records) == (sum(e.length for e in before), 180)
                assert (one.max_timestamp, one.running_max_timestamp) == (592, 592)
                await check_whole(log, p)
                assert await log.builder.build(p, RULE) == 0

        run(main())

    @opened
    async def test_what_is_large_enough_becomes_a_segment_file(self, it: Stores) -> None:
        log, p = await small_log(it, 500)
        rule = BuildRule(large_bytes=150_000, segment_bytes=300_000, min_age_ms=0, roll_ms=1 << 40)
        await log.builder.build(p, rule)
        extents = await it.extents(p)
        assert KIND_SEGMENT in {extent.kind for extent in extents}
        assert len(extents) < 10
        rows = {row.blob_id: row for row in await it.maintenance.blobs()}
        sizes = await log.blobs.sizes()
        for extent in extents:
            if extent.kind == KIND_SEGMENT:
                assert rows[extent.blob_id].size == sizes[extent.blob_id] == extent.position + extent.length
        await check_whole(log, p)

    @opened
    async def test_offsets_are_found_through_the_index_of_a_segment(self, it: Stores) -> None:
        log, p = await small_log(it, 500)
        rule = BuildRule(large_bytes=150_000, segment_bytes=300_000, min_age_ms=0, roll_ms=1 << 40)
        await log.builder.build(p, rule)
        view = await log.views.load(p)
        assert view is not None
        asked: list[int] = []
        read = log.blobs.read

        async def counting(blob_id: int, position: int, length: int) -> bytes:
            asked.append(length)
            return await read(blob_id, position, length)

        log.blobs.read = counting  # type: ignore[method-assign]
        values = {offset: value for offset, value, _ in log.records}
        for offset in range(0, 1500, 17):
            view.hints.clear()
            asked.clear()
            buffers, _ = await log.reader.read(view, offset, 100, True)
            assert values[offset] in bytes(buffers[0])
            assert sum(asked) < 40_000, "a seek does not scan the segment"

    @opened
    async def test_times_are_found_through_the_index_of_a_segment(self, it: Stores) -> None:
        log, p = await small_log(it, 500)
        rule = BuildRule(large_bytes=150_000, segment_bytes=300_000, min_age_ms=0, roll_ms=1 << 40)
        view = await log.views.load(p)
        assert view is not None
        for built in (False, True):
            if built:
                await log.builder.build(p, rule)
            for target in (0, 1, 9, 777, 2500, 4992, 4993):
                expected = next(((o, t) for o, _, t in log.records if t >= target), None)
                assert await log.lookup.by_timestamp(view, target) == expected
            assert await log.lookup.max_timestamp(view) == (1499, 4992)

    @opened
    async def test_a_wrong_guess_is_put_right(self, it: Stores) -> None:
        log = Log(it)
        (p,) = await it.topic()
        for n in range(40):
            await log.append(p, [b"x" * 500], guess=n + 3)
        await log.builder.build(p, RULE)
        assert await log.rows(p) < 5
        await check_whole(log, p)

    @opened
    async def test_a_view_that_reads_the_old_rows_finds_the_new_ones(self, it: Stores) -> None:
        """Merges fall between the look at rows and the look at bytes."""
        log, p = await small_log(it, 200)
        view = await log.views.load(p)
        assert view is not None
        read_inline = it.log.read_inline
        merged = 0

        async def slow(blob_id: int) -> bytes | None:
            nonlocal merged
            merged += await log.builder.build(p, RULE)
            return await read_inline(blob_id)

        it.log.read_inline = slow  # type: ignore[method-assign]
        assert await log.read_all(p) == [(offset, value) for offset, value, _ in log.records]
        assert merged

    @opened
    async def test_a_damaged_extent_stays_where_it_is(self, it: Stores) -> None:
        log, p = await small_log(it, 60, inline=False)
        extents = await it.extents(p)
        damaged = extents[30]
        blob = log.blobs._blobs[damaged.blob_id]  # type: ignore[attr-defined]
        blob[damaged.position + 100] ^= 1
        await log.builder.build(p, TINY)
        left = await it.extents(p)
        assert damaged in left
        assert len(left) < 15
        assert (await it.row(p)).bytes_total == sum(e.length for e in left)

    @opened
    async def test_retention_may_come_first(self, it: Stores) -> None:
        log, p = await small_log(it)
        put_inline = it.maintenance.inline_run

        async def late(partition_id: int, first: int, last: int) -> dict[int, bytes]:
            found = await put_inline(partition_id, first, last)
            extents = await it.extents(p)
            if extents[0].base_offset == 0:
                await it.log.raise_log_start(p, extents[0].last_offset + 1)
                await it.maintenance.delete_extents(p, extents[:1])
                view = log.views.get(p)
                assert view is not None
                view.raise_log_start(extents[0].last_offset + 1)
            return found

        it.maintenance.inline_run = late  # type: ignore[method-assign]
        await log.builder.build(p, RULE)
        await log.builder.build(p, RULE)
        assert await log.rows(p) == 1
        await check_whole(log, p)

    @opened
    async def test_candidates(self, it: Stores) -> None:
        log, p = await small_log(it, 10)
        assert log.builder.candidates() == [p]
        await log.builder.build(p, RULE)
        assert log.builder.candidates() == []
        await log.append(p, [b"y" * 30_000])
        assert log.builder.candidates() == [p]
        again = Log(it)
        await again.builder.start(1000)
        assert again.builder.candidates() == [p]

    @opened
    async def test_what_is_young_is_not_even_looked_at(self, it: Stores) -> None:
        log, p = await small_log(it, 40)
        rule = BuildRule(RULE.large_bytes, RULE.segment_bytes, min_age_ms=5000, roll_ms=RULE.roll_ms)
        rows = log.builder._rows
        log.builder._rows = None  # type: ignore[assignment]
        assert await log.builder.build(p, rule) == 0
        await log.append(p, [b"y" * 30_000])
        assert log.builder.candidates() == []
        log.builder._rows = rows
        log.now += 5000
        assert log.builder.candidates() == [p]
        assert await log.builder.build(p, rule) == 1
        assert await log.rows(p) == 2
        await check_whole(log, p)

    @opened
    async def test_what_becomes_old_during_the_work_is_left_to_the_next_look(self, it: Stores) -> None:
        log, p = await small_log(it, 100)
        rule = BuildRule(RULE.large_bytes, RULE.segment_bytes, min_age_ms=5000, roll_ms=RULE.roll_ms)
        log.now += 5000
        await small_append(log, p, 100)
        waits = log.builder._pause

        async def long_pause(seconds: float) -> None:
            log.now += 5000
            await waits(seconds)

        log.builder._pause = long_pause
        assert await log.builder.build(p, rule) >= 1
        extents = await it.extents(p)
        assert sum(extent.records == 1 for extent in extents) == 100, "none of the young ones was merged"
        assert log.builder.candidates() == [p]
        assert await log.builder.build(p, rule) >= 1
        assert not any(extent.records == 1 for extent in await it.extents(p))
        await check_whole(log, p)

    @opened
    async def test_a_look_reads_the_rows_once(self, it: Stores) -> None:
        log, p = await small_log(it, 400)
        counted = Counted(it)
        log.builder._rows = counted  # type: ignore[assignment]
        assert await log.builder.build(p, RULE) > 2
        assert counted.looks == 1
        assert log.builder.candidates() == []
        await check_whole(log, p)

    @opened
    async def test_more_rows_than_one_look_takes(self, it: Stores) -> None:
        log, p = await small_log(it, 100)
        counted = Counted(it)
        log.builder._rows = counted  # type: ignore[assignment]
        rule = BuildRule(1 << 20, 1 << 20, min_age_ms=0, roll_ms=1 << 40)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment_builder, "LOOK_EXTENTS", 40)
            await log.builder.build(p, rule)
        assert counted.looks > 1
        assert await log.rows(p) < 40
        assert log.builder.candidates() == []
        await check_whole(log, p)

    @opened
    async def test_rows_that_come_later(self, it: Stores) -> None:
        """The builder sees what is in rows, the view is ahead of that by what is in a journal only."""
        log, p = await small_log(it, 100)
        behind = Behind(it)
        log.builder._rows = behind  # type: ignore[assignment]
        for behind.end in (0, 3, 240):
            await log.builder.build(p, RULE)
            await check_whole(log, p)
        assert await log.rows(p) < 40
        await log.append(p, [b"y" * 500])
        await log.builder.build(p, RULE)
        behind.end = 1 << 60
        assert log.builder.candidates() == [p], "what became rows meanwhile counts as new"
        await log.builder.build(p, RULE)
        await check_whole(log, p)

    @opened
    async def test_a_partition_without_rows_yet_is_not_forgotten(self, it: Stores) -> None:
        log, p = await small_log(it, 3)
        behind = Behind(it)
        log.builder._rows = behind  # type: ignore[assignment]
        log.views.drop(p)
        await log.builder.build(p, RULE)
        assert p in log.builder._looked
        (empty,) = await it.topic("empty")
        await log.builder.build(empty, RULE)
        assert empty not in log.builder._looked

    @opened
    async def test_the_start_finds_where_small_extents_begin(self, it: Stores) -> None:
        log, p = await small_log(it, 300)
        await log.builder.build(p, RULE)
        large = await log.rows(p)
        for n in range(5):
            await log.append(p, [b"%d" % n])
        again = Log(it)
        again.records = log.records
        await again.builder.start(RULE.large_bytes)
        assert again.builder._looked[p].settled > 0
        for n in range(60):
            await again.append(p, [b"%d" % n * 500])
        await again.builder.build(p, RULE)
        assert await again.rows(p) <= large + 3
        await check_whole(again, p)

    @opened
    async def test_a_snapshot_is_there_before_rows_are_merged(self, it: Stores) -> None:
        log = Log(it)
        (p,) = await it.topic()
        for n in range(60):
            log.now += 10
            await log.append(p, [b"v" * 400], producer=(n % 3, 0, n // 3))
        await log.builder.build(p, RULE)
        (one,) = await it.extents(p)
        assert one.appended_at == log.now, "the time of the last one"
        assert len(one.fold) == 15 * 35, "of each producer the last five batches"
        state = await it.log.load_partition(p)
        assert state is not None
        assert state.snapshot_offset == 60
        assert snapshot.unpack(state.snapshot).by_id[0].appended_at == log.now - 20
        view = await log.reloaded(p)
        assert snapshot.pack(view.producers) == snapshot.pack(log.model)

    @opened
    async def test_two_builders_do_not_harm_each_other(self, it: Stores) -> None:
        log, p = await small_log(it, 200)
        other = Log(it, log.blobs)
        other.ids = log.ids
        other.builder._ids = log.ids
        await asyncio.gather(log.builder.build(p, RULE), other.builder.build(p, RULE))
        view = await log.reloaded(p)
        assert view.high_watermark == 600
        await log.builder.build(p, RULE)
        await check_whole(log, p)


STEPS = ["log.build.put", "log.build.stored", "log.build.swapped", "log.snapshot.write"]


@pytest.fixture(autouse=True)
def disarm() -> object:
    yield
    faults.arm("")


@pytest.mark.parametrize("point", STEPS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_merge_that_fails_at_any_step_loses_nothing_and_leaves_nothing(opener: Opener, point: str, nth: int) -> None:
    async def main() -> None:
        async with opener() as it:
            log, p = await small_log(it, 400, inline=False)
            await log.roll()
            rule = BuildRule(large_bytes=130_000, segment_bytes=140_000, min_age_ms=0, roll_ms=1 << 40)
            faults.arm(f"{point}=fail:{nth}")
            failed = False
            try:
                await log.builder.build(p, rule)
            except OSError:
                failed = True
            faults.arm("")
            assert failed or nth > 1
            # as a start after a crash: nothing is known but what is stored
            again = Log(it, log.blobs)
            again.records, again.ids, again.builder._ids, again.wal = log.records, log.ids, log.ids, log.wal
            await check_whole(again, p)
            await again.builder.start(rule.large_bytes)
            await again.builder.build(p, rule)
            await check_whole(again, p)
            assert await again.rows(p) <= 4
            await nothing_is_left(again)

    run(main())


async def nothing_is_left(log: Log) -> None:
    """After two rounds of collection every stored blob is named by a row, and every row but the open blob's by an extent."""
    await log.collector.look_for_orphans()
    log.now += 1001
    await log.collector.look_for_orphans()
    log.now += 1
    await log.collector.collect_blobs(0)
    rows = {row.blob_id: row for row in await log.it.maintenance.blobs()}
    assert set(await log.blobs.sizes()) == set(rows)
    ends = await log.it.maintenance.blob_ends()
    assert {blob_id for blob_id, row in rows.items() if row.size >= 0} == set(ends) - {log.wal}


def test_kinds_are_what_the_tests_think() -> None:
    assert (KIND_WAL, KIND_INLINE, KIND_SEGMENT) == (0, 1, 2)
