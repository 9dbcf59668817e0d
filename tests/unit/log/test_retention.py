"""Retention: what goes by time and by size, in chunks to the end, without views of partitions that have nothing to do."""

from __future__ import annotations

import pytest
from support.aio import Opener, opened, run
from support.logs import Log
from support.stores import Stores, topic_id

from moldau import faults
from moldau.log import retention
from moldau.log.retention import KEEP_ALL, Retention, expired_before
from moldau.log.segment_plan import BuildRule
from moldau.metadata.rows import Extent

NOW = 1_000_000
BY_TIME = Retention(1000, -1)


def log_of(*times: int, appended_at: int = 0) -> list[Extent]:
    return [Extent(1, n, n, 1, 0, 100, t, t, 1, 0, 0, appended_at) for n, t in enumerate(times)]


@pytest.mark.parametrize(
    ("times", "offset"),
    [
        ((), -1),
        ((998_999, 999_000), 1),
        ((999_000,), -1),
        ((1, 2, 3), 3),
        ((1, 999_500, 2), 1),
        ((2_000_000, 1), -1),
        ((1, 2_000_000, 1), 1),
    ],
)
def test_by_time(times: tuple[int, ...], offset: int) -> None:
    """A record from the future keeps what comes after it until its time has come, as in Kafka."""
    assert expired_before(log_of(*times), 0, BY_TIME, NOW) == offset


def test_without_timestamps_the_time_of_the_append_counts() -> None:
    assert expired_before(log_of(-1, -1, appended_at=998_999), 0, BY_TIME, NOW) == 2
    assert expired_before(log_of(-1, -1, appended_at=999_000), 0, BY_TIME, NOW) == -1


@pytest.mark.parametrize(("limit", "offset"), [(-1, -1), (0, 5), (1, 4), (100, 4), (101, 3), (250, 2), (500, -1)])
def test_by_size(limit: int, offset: int) -> None:
    assert expired_before(log_of(1, 2, 3, 4, 5), 500, Retention(-1, limit), NOW) == offset


def test_neither() -> None:
    assert expired_before(log_of(1, 2), 500, KEEP_ALL, NOW) == -1


async def filled(it: Stores, count: int) -> tuple[Log, int]:
    log = Log(it)
    (p,) = await it.topic()
    for n in range(count):
        await log.append(p, [b"%d" % n], timestamp=n)
    return log, p


class TestRetainer:
    @opened
    async def test_it_goes_on_to_the_end(self, it: Stores) -> None:
        log, p = await filled(it, 60)
        before = retention.CHUNK
        retention.CHUNK = 7
        try:
            log.now = 1050
            assert await log.retainer.retain_all(lambda _: BY_TIME) == 50
        finally:
            retention.CHUNK = before
        row = await it.row(p)
        assert (row.log_start_offset, row.end_offset) == (50, 60)
        assert [e.base_offset for e in await it.extents(p)] == list(range(50, 60))
        view = await log.views.load(p)
        assert view is not None
        assert (view.log_start_offset, view.bytes_total) == (50, row.bytes_total)
        assert await log.read_all(p) == [(n, b"%d" % n) for n in range(50, 60)]

    @opened
    async def test_everything_may_go(self, it: Stores) -> None:
        log, p = await filled(it, 20)
        log.now = 1 << 40
        assert await log.retainer.retain_all(lambda _: BY_TIME) == 20
        row = await it.row(p)
        assert (row.log_start_offset, row.end_offset, row.bytes_total) == (20, 20, 0)
        view = await log.reloaded(p)
        assert (view.log_start_offset, view.high_watermark) == (20, 20)
        assert await log.append(p, [b"next"]) == 20
        assert await log.read_all(p) == [(20, b"next")]

    @opened
    async def test_rows_below_the_log_start_go_without_a_rule(self, it: Stores) -> None:
        log, p = await filled(it, 20)
        await it.log.raise_log_start(p, 7)
        assert await log.retainer.retain_all(lambda _: KEEP_ALL) == 7
        assert (await it.extents(p))[0].base_offset == 7

    @opened
    async def test_size_counts_only_what_is_above_the_log_start(self, it: Stores) -> None:
        log, p = await filled(it, 20)
        length = (await it.extents(p))[-1].length
        await it.log.raise_log_start(p, 10)
        await log.retainer.retain_all(lambda _: Retention(-1, 5 * length))
        assert (await it.row(p)).log_start_offset == 15

    @opened
    async def test_segments_go_as_a_whole(self, it: Stores) -> None:
        log = Log(it)
        (p,) = await it.topic()
        for n in range(200):
            await log.append(p, [b"x" * 1000], timestamp=n)
        await log.builder.build(p, BuildRule(20_000, 30_000, 0, 1 << 40))
        extents = await it.extents(p)
        log.now = 1000 + extents[1].max_timestamp + 1
        await log.retainer.retain_all(lambda _: BY_TIME)
        assert await it.extents(p) == extents[2:]
        assert await it.maintenance.live_counts() == []

    @opened
    async def test_partitions_with_nothing_to_do_are_not_loaded(self, it: Stores) -> None:
        log = Log(it)
        ids = await it.topic("t", 30)
        for p in ids:
            await log.append(p, [b"x"], timestamp=5)
            log.views.drop(p)
        await it.topic("empty", 30)
        asked: list[int] = []
        load, extents_from = it.log.load_partition, it.log.extents_from

        async def loading(partition_id: int) -> object:
            asked.append(partition_id)
            return await load(partition_id)

        async def reading(partition_id: int, offset: int, limit: int) -> object:
            asked.append(partition_id)
            return await extents_from(partition_id, offset, limit)

        it.log.load_partition, it.log.extents_from = loading, reading  # type: ignore[method-assign,assignment]
        assert await log.retainer.retain_all(lambda _: Retention(1 << 50, 1 << 50)) == 0
        assert asked == []
        log.now = 1006
        assert await log.retainer.retain_all(lambda topic: BY_TIME if topic == topic_id("t") else KEEP_ALL) == 30
        assert set(asked) == set(ids)

    @opened
    async def test_producers_are_remembered_after_their_batches_went(self, it: Stores) -> None:
        log = Log(it)
        (p,) = await it.topic()
        for n in range(10):
            await log.append(p, [b"x"], producer=(7, 0, n), timestamp=n)
        log.now = 1 << 40
        await log.retainer.retain_all(lambda _: BY_TIME)
        view = await log.reloaded(p)
        assert view.producers.by_id[7].batches[-1].last_sequence == 9


@pytest.mark.parametrize(
    "point", ["log.retention.start", "log.retention.delete", "log.retention.deleted", "log.snapshot.write"]
)
def test_a_round_that_fails_at_any_step_is_taken_up_by_the_next(opener: Opener, point: str) -> None:
    async def main() -> None:
        async with opener() as it:
            log, p = await filled(it, 30)
            log.now = 1020
            faults.arm(f"{point}=fail:1")
            with pytest.raises(OSError, match="fault point"):
                await log.retainer.retain_all(lambda _: BY_TIME)
            faults.arm("")
            again = Log(it, log.blobs)
            again.now = log.now
            view = await again.views.load(p)
            assert view is not None
            assert await again.read_all(p) == [(n, b"%d" % n) for n in range(view.log_start_offset, 30)]
            await again.retainer.retain_all(lambda _: BY_TIME)
            assert [e.base_offset for e in await it.extents(p)] == list(range(20, 30))
            assert await it.maintenance.live_counts() == []

    try:
        run(main())
    finally:
        faults.arm("")
