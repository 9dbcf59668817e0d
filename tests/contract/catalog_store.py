"""The contract of `CatalogStore`: the metadata version, and what changed since one."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, reopened
from support.stores import Stores, topic_id

from moldau.metadata.errors import TopicExists, TopicMissing
from moldau.metadata.rows import Changes


class CatalogStoreContract:
    @opened
    async def test_each_change_raises_the_version(self, it: Stores) -> None:
        seen = [await it.catalog.version()]

        async def rises(claimed: int | None = None) -> None:
            seen.append(await it.catalog.version())
            assert seen[-1] == seen[-2] + 1
            assert claimed in (None, seen[-1])

        row = await it.topics.create_topic(topic_id("t"), "t", 2, {}, 5)
        await rises(row.version)
        await rises((await it.topics.add_partitions(topic_id("t"), 3)).version)
        await rises((await it.topics.alter_topic_configs(topic_id("t"), lambda _: {"a": "1"})).version)
        await rises((await it.cluster.alter_entity("broker", "", lambda _: {"a": "1"})).version)
        await rises((await it.cluster.alter_entity("broker", "", lambda _: {})).version)
        await rises(await it.topics.delete_topic(topic_id("t"), 6))

    @opened
    async def test_what_changes_nothing_does_not_raise_it(self, it: Stores) -> None:
        await it.topic("t", 2)
        version = await it.catalog.version()
        await it.topics.add_partitions(topic_id("t"), 2)
        with pytest.raises(TopicExists):
            await it.topics.create_topic(topic_id("u"), "t", 1, {}, 5)
        for change in (it.topics.delete_topic(b"n" * 16, 5), it.topics.add_partitions(b"n" * 16, 5)):
            with pytest.raises(TopicMissing):
                await change
        with pytest.raises(TopicMissing):
            await it.topics.alter_topic_configs(b"n" * 16, lambda _: {})

        def refuse(_: object) -> dict[str, str]:
            raise KeyError("no")

        with pytest.raises(KeyError):
            await it.topics.alter_topic_configs(topic_id("t"), refuse)
        with pytest.raises(KeyError):
            await it.cluster.alter_entity("group", "g", refuse)
        assert await it.catalog.version() == version
        assert await it.catalog.changes(version) == Changes(version, False, [], [], None)

    @opened
    async def test_a_heartbeat_brings_it(self, it: Stores) -> None:
        await it.cluster.start_broker(1, None, "", "1", 5)
        before = (await it.cluster.heartbeat(1, 1)).metadata_version
        await it.topic("t")
        assert (await it.cluster.heartbeat(1, 1)).metadata_version == before + 1 == await it.catalog.version()

    @opened
    async def test_changes_are_those_after_a_version(self, it: Stores) -> None:
        await it.topic("old", 2)
        await it.topic("grows", 1)
        await it.topic("dies", 1)
        await it.cluster.alter_entity("broker", "1", lambda _: {"a": "1"})
        since = await it.catalog.version()
        grown = await it.topics.add_partitions(topic_id("grows"), 3)
        await it.topics.delete_topic(topic_id("dies"), 5)
        made = await it.topics.create_topic(topic_id("new"), "new", 2, {"k": "v"}, 5, 3)
        assert made.replication_factor == 3
        version = await it.catalog.version()
        assert version == since + 3
        assert await it.catalog.changes(since) == Changes(version, False, [grown, made], [topic_id("dies")], None)
        assert await it.catalog.changes(since + 2) == Changes(version, False, [made], [], None)
        await it.cluster.alter_entity("broker", "1", lambda _: {})
        assert await it.catalog.changes(version) == Changes(version + 1, False, [], [], [])

    @opened
    async def test_everything_for_whoever_has_nothing(self, it: Stores) -> None:
        assert await it.catalog.changes(-1) == Changes(1, True, [], [], [])
        await it.topic("a", 2)
        await it.topic("dead")
        await it.topics.delete_topic(topic_id("dead"), 5)
        await it.cluster.alter_entity("group", "g", lambda _: {"a": "1"})
        rows = await it.topics.load_topics()
        assert await it.catalog.changes(-1) == Changes(5, True, rows, [], [("group", "g", {"a": "1"})])

    @opened
    async def test_whoever_missed_what_was_purged_gets_everything(self, it: Stores) -> None:
        await it.topic("stays")
        since = await it.catalog.version()
        await it.topic("dead")
        died = await it.topics.delete_topic(topic_id("dead"), 5)
        for partition_id in await it.maintenance.dead_partitions(9):
            assert await it.maintenance.purge_partition(partition_id, 10)
        changes = await it.catalog.changes(since)
        assert changes == Changes(died, True, await it.topics.load_topics(), [], [])
        assert await it.catalog.changes(died) == Changes(died, False, [], [], None)

    @opened
    async def test_many_changes_come_in_pages(self, it: Stores) -> None:
        since = await it.catalog.version()
        for n in range(410):
            await it.topic(f"t{n}", 1 + n % 2)
        for n in range(0, 410, 5):
            await it.topics.delete_topic(topic_id(f"t{n}"), 5)
        changes = await it.catalog.changes(since)
        rows = {row.name: row for row in await it.topics.load_topics()}
        assert {row.name: row for row in changes.topics} == rows
        assert len(changes.topics) == len(rows) == 328
        assert sorted(changes.deleted) == sorted(topic_id(f"t{n}") for n in range(0, 410, 5))

    @opened
    async def test_configs_altered_at_once_do_not_lose_each_other(self, it: Stores) -> None:
        await it.topic("t")

        async def put(n: int) -> int:
            if n % 2:
                altered = await it.topics.alter_topic_configs(topic_id("t"), lambda old: {**old, f"k{n}": str(n)})
            else:
                altered = await it.cluster.alter_entity("broker", "", lambda old: {**old, f"k{n}": str(n)})
            assert altered.configs[f"k{n}"] == str(n)
            return altered.version

        versions = await asyncio.gather(*map(put, range(30)))
        assert len(set(versions)) == 30
        assert (await it.topics.load_topics())[0].configs == {f"k{n}": str(n) for n in range(1, 30, 2)}
        assert await it.cluster.load_entities() == [("broker", "", {f"k{n}": str(n) for n in range(0, 30, 2)})]

    @opened
    async def test_versions_are_seen_in_their_order(self, it: Stores) -> None:
        """Whoever follows misses nothing, though changes run side by side."""
        known: set[str] = set()
        at = await it.catalog.version()
        making = [asyncio.ensure_future(it.topic(f"t{n}")) for n in range(40)]
        while True:
            over = all(each.done() for each in making)
            changes = await it.catalog.changes(at)
            assert not known & {row.name for row in changes.topics}
            assert all(at < row.version <= changes.version for row in changes.topics)
            known |= {row.name for row in changes.topics}
            at = changes.version
            if over:
                break
            await asyncio.sleep(0)
        assert known == {f"t{n}" for n in range(40)}

    @reopened
    async def test_it_survives_a_reopen_and_rises_when_the_store_goes_back(self, opener: Opener) -> None:
        async with opener() as it:
            await it.topic("t")
            version = await it.catalog.version()
        async with opener() as it:
            assert await it.catalog.version() == version
            await it.recovery.went_back()
            assert await it.catalog.version() > version + 1000
            assert (await it.catalog.changes(version)).whole
