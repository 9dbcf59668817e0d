"""The contract of `TopicStore`."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, opened, reopened
from support.stores import Stores, entry, topic_id

from moldau.metadata.errors import StoreCorrupt, StoreError, TopicExists, TopicMissing
from moldau.metadata.rows import PartitionRow, TopicRow


def ids(row: TopicRow) -> list[int]:
    return [partition.partition_id for partition in row.partitions]


class TopicStoreContract:
    @opened
    async def test_a_topic_as_created_is_loaded(self, it: Stores) -> None:
        assert await it.topics.load_topics() == []
        configs = {"retention.ms": "5", "note": 'ü "quoted" \U0001f30a'}
        row = await it.topics.create_topic(topic_id("t"), "t", 2, configs, 77)
        assert (row.topic_id, row.name, row.configs, row.created_ms) == (topic_id("t"), "t", configs, 77)
        first, second = row.partitions
        assert [first, second] == [
            PartitionRow(first.partition_id, topic_id("t"), 0),
            PartitionRow(second.partition_id, topic_id("t"), 1),
        ]
        assert first.partition_id != second.partition_id
        assert await it.topics.load_topics() == [row]

    @opened
    async def test_loaded_partitions_carry_their_ends(self, it: Stores) -> None:
        a, b = await it.topic(partitions=2)
        await it.append(entry(b, 0, 4, max_timestamp=9))
        (row,) = await it.topics.load_topics()
        assert [(p.partition_id, p.end_offset, p.max_timestamp) for p in row.partitions] == [(a, 0, -1), (b, 4, 9)]

    @opened
    async def test_a_name_belongs_to_one_living_topic(self, it: Stores) -> None:
        await it.topic("t")
        with pytest.raises(TopicExists):
            await it.topics.create_topic(topic_id("other"), "t", 1, {}, 5)
        await it.topic("T")
        await it.topic("t.")
        assert sorted(row.name for row in await it.topics.load_topics()) == ["T", "t", "t."]

    @opened
    async def test_of_many_that_create_the_same_name_one_succeeds(self, it: Stores) -> None:
        async def create(n: int) -> bool:
            try:
                await it.topics.create_topic(topic_id(f"id{n}"), "same", 2, {}, n)
            except TopicExists:
                return False
            return True

        assert sum(await asyncio.gather(*(create(n) for n in range(20)))) == 1
        assert len(await it.topics.load_topics()) == 1

    @opened
    async def test_an_id_is_never_given_to_a_second_topic(self, it: Stores) -> None:
        await it.topic("t")
        with pytest.raises(StoreCorrupt):
            await it.topics.create_topic(topic_id("t"), "u", 1, {}, 5)
        assert [row.name for row in await it.topics.load_topics()] == ["t"]

    @opened
    async def test_a_recreated_topic_is_a_new_one(self, it: Stores) -> None:
        (old,) = await it.topic("t")
        await it.append(entry(old, 0, 5))
        await it.topics.delete_topic(topic_id("t"), 5)
        assert await it.topics.load_topics() == []
        row = await it.topics.create_topic(topic_id("t2"), "t", 1, {}, 6)
        assert ids(row) != [old]
        assert row.partitions[0].end_offset == 0
        assert [r.topic_id for r in await it.topics.load_topics()] == [topic_id("t2")]
        assert await it.extents(ids(row)[0]) == []

    @opened
    async def test_partitions_are_added(self, it: Stores) -> None:
        before = await it.topic("t", 2)
        await it.topic("u", 1)
        await it.append(entry(before[0], 0, 5))
        row = await it.topics.add_partitions(topic_id("t"), 4)
        assert ids(row)[:2] == before
        assert len(set(ids(row))) == 4
        assert [p.partition_index for p in row.partitions] == [0, 1, 2, 3]
        assert row.partitions[0].end_offset == 5
        for total in (4, 1, 0):
            assert await it.topics.add_partitions(topic_id("t"), total) == row

    @opened
    async def test_partitions_keep_the_brokers_they_were_assigned_to(self, it: Stores) -> None:
        row = await it.topics.create_topic(topic_id("t"), "t", 2, {}, 5, 2, {1: [3, 1]})
        assert row.assigned == {1: [3, 1]}
        assert await it.topics.load_topics() == [row]
        row = await it.topics.add_partitions(topic_id("t"), 4, {1: [9, 9], 2: [2, 1], 3: [1, 3]})
        assert row.assigned == {1: [3, 1], 2: [2, 1], 3: [1, 3]}
        assert await it.topics.add_partitions(topic_id("t"), 4, {3: [2, 2]}) == row
        row = await it.topics.add_partitions(topic_id("t"), 5)
        assert row.assigned == {1: [3, 1], 2: [2, 1], 3: [1, 3]}
        await it.topics.alter_topic_configs(topic_id("t"), lambda _: {"a": "1"})
        (loaded,) = await it.topics.load_topics()
        assert (loaded.assigned, loaded.configs) == (row.assigned, {"a": "1"})
        assert (await it.topics.create_topic(topic_id("u"), "u", 1, {}, 5)).assigned == {}

    @opened
    async def test_partitions_are_assigned_to_others(self, it: Stores) -> None:
        before = await it.topics.create_topic(topic_id("t"), "t", 3, {}, 5, 2, {1: [3, 1]})
        row = await it.topics.assign_partitions(topic_id("t"), {0: [2], 1: [1, 2], 7: [1]})
        assert row.assigned == {0: [2], 1: [1, 2]}
        assert row.version > before.version
        assert await it.topics.load_topics() == [row]
        for missing in (topic_id("never"), topic_id("dead")):
            with pytest.raises(TopicMissing):
                await it.topics.assign_partitions(missing, {0: [1]})

    @opened
    async def test_configs_are_replaced_whole(self, it: Stores) -> None:
        await it.topics.create_topic(topic_id("t"), "t", 1, {"a": "1", "b": "2"}, 5)
        await it.topics.alter_topic_configs(topic_id("t"), lambda old: {"b": str(len(old) + 1)})
        assert (await it.topics.load_topics())[0].configs == {"b": "3"}
        await it.topics.alter_topic_configs(topic_id("t"), lambda _: {})
        assert (await it.topics.load_topics())[0].configs == {}

    @opened
    async def test_what_is_not_alive_is_missing(self, it: Stores) -> None:
        await it.topic("dead")
        await it.topics.delete_topic(topic_id("dead"), 5)
        for missing in (topic_id("dead"), topic_id("never")):
            with pytest.raises(TopicMissing):
                await it.topics.delete_topic(missing, 6)
            with pytest.raises(TopicMissing):
                await it.topics.add_partitions(missing, 3)
            with pytest.raises(TopicMissing):
                await it.topics.alter_topic_configs(missing, lambda _: {})

    @opened
    async def test_partition_ids_are_never_used_again_even_after_a_purge(self, it: Stores) -> None:
        seen: set[int] = set()
        for n in range(5):
            given = await it.topic(f"t{n}", 3)
            assert not seen & set(given)
            seen |= set(given)
            await it.topics.delete_topic(topic_id(f"t{n}"), 5)
            for partition_id in await it.maintenance.dead_partitions(99):
                assert await it.maintenance.purge_partition(partition_id, 10)
            assert await it.maintenance.dead_partitions(99) == []

    @opened
    async def test_a_failure_among_concurrent_changes_is_its_own(self, it: Stores) -> None:
        await it.topic("taken")

        async def change(n: int) -> str:
            try:
                if n % 3 == 0:
                    await it.topics.create_topic(topic_id(f"x{n}"), "taken", 1, {}, 5)
                elif n % 3 == 1:
                    await it.topics.delete_topic(topic_id("never"), 5)
                else:
                    await it.topics.create_topic(topic_id(f"x{n}"), f"x{n}", 1, {}, 5)
            except StoreError as error:
                return type(error).__name__
            return ""

        answers = await asyncio.gather(*(change(n) for n in range(30)))
        assert answers == ["TopicExists", "TopicMissing", ""] * 10
        assert len(await it.topics.load_topics()) == 11

    @reopened
    async def test_topics_survive_a_reopen(self, opener: Opener) -> None:
        async with opener() as it:
            await it.topic("dead")
            (p,) = await it.topic("t")
            await it.append(entry(p, 0, 3))
            await it.topics.delete_topic(topic_id("dead"), 5)
            before = await it.topics.load_topics()
        async with opener() as it:
            assert await it.topics.load_topics() == before
            assert p not in await it.topic("new", 3)
