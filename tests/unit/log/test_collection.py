"""Collection: deleted topics, blobs without extents, files without rows; nothing that is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.aio import Opener, opened, run
from support.logs import Log
from support.stores import Stores, topic_id

from moldau import faults
from moldau.blobs.hold import held
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobHeld
from moldau.log import collection
from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.rows import KIND_SEGMENT, KIND_WAL, BlobRow


async def write_ahead_log(it: Stores) -> tuple[Log, int, int]:
    """Two partitions share a sealed blob, another one is open."""
    log = Log(it)
    a, b = await it.topic(partitions=2)
    for n in range(5):
        await log.append(a, [b"a%d" % n], inline=False)
        await log.append(b, [b"b%d" % n], inline=False)
    await log.roll()
    return log, a, b


class TestCollector:
    @opened
    async def test_a_shared_blob_goes_with_its_last_extent(self, it: Stores) -> None:
        log, a, b = await write_ahead_log(it)
        (sealed,) = [row.blob_id for row in await it.maintenance.blobs() if row.size >= 0]
        await it.maintenance.delete_extents(a, await it.extents(a))
        log.now += 10
        assert await log.collector.collect_blobs(100) == 0
        await it.maintenance.delete_extents(b, await it.extents(b))
        log.now += 10
        assert await log.collector.collect_blobs(100) == 0
        assert sealed in await log.blobs.sizes(), "readers have time to leave"
        log.now += 99
        assert await log.collector.collect_blobs(100) == 0
        log.now += 1
        assert await log.collector.collect_blobs(100) == 1
        assert sealed not in await log.blobs.sizes()
        assert [row.blob_id for row in await it.maintenance.blobs()] == [log.wal]

    @opened
    async def test_a_write_ahead_blob_need_not_wait_as_long(self, it: Stores) -> None:
        log, a, b = await write_ahead_log(it)
        (sealed,) = [row.blob_id for row in await it.maintenance.blobs() if row.size >= 0]
        await log.blobs.put(500, [b"segment"])
        await it.log.register_blob(BlobRow(500, KIND_SEGMENT, 7, 0))
        for p in (a, b):
            await it.maintenance.delete_extents(p, await it.extents(p))
        alone = collection.Collector(
            it.maintenance, log.blobs, lambda: log.now, **{**collection.ALONE, "wal_grace_ms": 50}
        )
        log.now += 10
        assert await alone.collect_blobs(100) == 0
        log.now += 49
        assert await alone.collect_blobs(100) == 0
        log.now += 1
        assert await alone.collect_blobs(100) == 1
        assert set(await log.blobs.sizes()) == {log.wal, 500}
        assert sealed != 500
        log.now += 50
        assert await alone.collect_blobs(100) == 1
        assert set(await log.blobs.sizes()) == {log.wal}

    @opened
    async def test_a_deleted_topic_goes_to_the_end(self, it: Stores) -> None:
        chunk, collection.CHUNK = collection.CHUNK, 2
        try:
            log, a, b = await write_ahead_log(it)
            await it.topics.delete_topic(topic_id("t"), 5)
            assert await log.collector.purge_dead() == 2
        finally:
            collection.CHUNK = chunk
        assert await it.extents(a) == await it.extents(b) == []
        assert await it.maintenance.dead_partitions(9) == []
        log.now += 10
        await log.collector.collect_blobs(0)
        assert set(await log.blobs.sizes()) == {log.wal}

    @opened
    async def test_a_file_without_a_row_goes_when_it_was_seen_twice(self, it: Stores) -> None:
        log, a, _ = await write_ahead_log(it)
        await log.blobs.put(77, [b"orphan"])
        assert await log.collector.look_for_orphans()
        log.now += 999
        assert await log.collector.look_for_orphans()
        assert await it.maintenance.doomed_blobs(1 << 60, 9) == []
        log.now += 1
        assert not await log.collector.look_for_orphans()
        assert [row.blob_id for row in await it.maintenance.doomed_blobs(1 << 60, 9)] == [77]
        log.now += 500
        assert await log.collector.collect_blobs(500) == 1
        assert 77 not in await log.blobs.sizes()
        assert 77 not in {row.blob_id for row in await it.maintenance.blobs()}
        assert len(await log.read_all(a)) == 5

    @opened
    async def test_a_row_that_comes_in_time_saves_the_file(self, it: Stores) -> None:
        log, _, _ = await write_ahead_log(it)
        await log.blobs.put(77, [b"late"])
        await log.collector.look_for_orphans()
        await it.log.register_blob(BlobRow(77, KIND_WAL, -1, log.now))
        log.now += 5000
        assert not await log.collector.look_for_orphans()
        assert await it.maintenance.doomed_blobs(1 << 60, 9) == []

    @opened
    async def test_a_row_that_comes_too_late_is_refused(self, it: Stores) -> None:
        log, _, _ = await write_ahead_log(it)
        await log.blobs.put(77, [b"too late"])
        await log.collector.look_for_orphans()
        log.now += 5000
        await log.collector.look_for_orphans()
        with pytest.raises(StoreCorrupt):
            await it.log.register_blob(BlobRow(77, KIND_WAL, -1, log.now))


def test_while_somebody_copies_the_files_nothing_goes(opener: Opener, tmp_path: Path) -> None:
    async def main() -> None:
        blobs = LocalBlobs(tmp_path / "held")
        async with opener() as it:
            log = Log(it, blobs)
            await blobs.put(77, [b"orphan"])
            await blobs.put(78, [b"orphan"])
            await it.maintenance.doom_orphans([77, 78], log.now)
            log.now += 10
            with held(blobs.folder), held(blobs.folder):
                assert await log.collector.collect_blobs(0) == 0
                with pytest.raises(BlobHeld):
                    await blobs.delete(78)
            assert set(await blobs.sizes()) == {77, 78}
            assert await log.collector.collect_blobs(0) == 2
            assert await blobs.sizes() == {}
            assert await it.maintenance.blobs() == []
        await blobs.close()

    run(main())


@pytest.mark.parametrize(
    "point", ["log.collect.purge", "log.collect.orphan", "log.collect.delete", "log.collect.forget"]
)
def test_a_collection_that_fails_at_any_step_is_taken_up(opener: Opener, point: str) -> None:
    async def main() -> None:
        async with opener() as it:
            log, _, _ = await write_ahead_log(it)
            await log.blobs.put(77, [b"orphan"])
            await it.topics.delete_topic(topic_id("t"), 5)
            faults.arm(f"{point}=fail:1")
            failures = 0
            for _ in range(8):
                log.now += 1000
                for job in (log.collector.purge_dead, log.collector.look_for_orphans):
                    try:
                        await job()
                        await log.collector.collect_blobs(0)
                    except OSError:
                        failures += 1
                        faults.arm("")
            assert failures == 1
            assert set(await log.blobs.sizes()) == {log.wal}
            assert [row.blob_id for row in await it.maintenance.blobs()] == [log.wal]

    try:
        run(main())
    finally:
        faults.arm("")
