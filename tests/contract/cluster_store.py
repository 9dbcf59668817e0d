"""The contract of `ClusterStore`."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from support.aio import Opener, opened, reopened
from support.stores import FORMAT, Stores

from moldau.metadata.errors import BrokerFenced
from moldau.metadata.rows import BrokerRow


class ClusterStoreContract:
    @reopened
    async def test_a_cluster_keeps_its_name(self, opener: Opener) -> None:
        async with opener() as it:
            first = await it.cluster.load_cluster()
            assert first.cluster_id
            assert (first.format_version, first.features, first.created_ms) == (FORMAT, {}, 1)
        async with opener() as it:
            assert await it.cluster.load_cluster() == first

    @opened
    async def test_levels_are_altered_together(self, it: Stores) -> None:
        before = await it.catalog.version()
        altered = await it.cluster.alter_features(lambda stored, _: {**stored, "group.version": 1, "x": -1})
        assert altered == ({"group.version": 1, "x": -1}, before + 1)
        altered = await it.cluster.alter_features(lambda stored, _: {"group.version": stored["group.version"] + 1})
        assert altered == ({"group.version": 2}, before + 2)
        assert (await it.cluster.load_cluster()).features == {"group.version": 2}
        assert (await it.catalog.changes(before + 1)).entities is not None, "brokers that follow are told to look"

    @opened
    async def test_a_change_that_is_refused_changes_nothing(self, it: Stores) -> None:
        await it.cluster.alter_features(lambda *_: {"f": 1})
        version = await it.catalog.version()

        def refuse(stored: dict[str, int], brokers: list[BrokerRow]) -> dict[str, int]:
            stored["f"] = 2
            raise LookupError(len(brokers))

        with pytest.raises(LookupError, match="0"):
            await it.cluster.alter_features(refuse)
        assert (await it.cluster.load_cluster()).features == {"f": 1}
        assert await it.catalog.version() == version

    @opened
    async def test_levels_altered_at_once_do_not_lose_each_other(self, it: Stores) -> None:
        await asyncio.gather(
            *(it.cluster.alter_features(lambda stored, _, n=n: {**stored, f"f{n}": n + 1}) for n in range(20))  # type: ignore[misc]
        )
        assert (await it.cluster.load_cluster()).features == {f"f{n}": n + 1 for n in range(20)}

    @opened
    async def test_who_alters_levels_sees_what_brokers_serve(self, it: Stores) -> None:
        await it.cluster.start_broker(1, None, "", "1.0", 5)
        await it.cluster.start_broker(2, None, "", "2.0", 5, "two")
        seen: list[tuple[int, str, str, int]] = []

        def look(stored: dict[str, int], brokers: list[BrokerRow]) -> dict[str, int]:
            seen[:] = [(row.node_id, row.release, row.features, row.age_ms) for row in brokers]
            return stored

        it.clock.now += 70
        await it.cluster.alter_features(look)
        assert seen == [(1, "1.0", "", 70), (2, "2.0", "two", 70)]
        await it.cluster.forget_broker(1)
        await it.cluster.start_broker(2, None, "", "2.1", 5, "more")
        await it.cluster.alter_features(look)
        assert seen == [(2, "2.1", "more", 0)]

    @opened
    async def test_a_broker_that_starts_is_seen_or_sees(self, it: Stores) -> None:
        """Whichever is first: nobody raises a level over the head of a broker that does not know of it."""
        for n in range(1, 30):
            seen: list[int] = []

            def raises(
                stored: dict[str, int], brokers: list[BrokerRow], n: int = n, seen: list[int] = seen
            ) -> dict[str, int]:
                seen[:] = [row.node_id for row in brokers]
                return {"f": n}

            async def starts(n: int = n) -> int:
                await asyncio.sleep(0.001 * (n % 4))
                await it.cluster.start_broker(n, None, "", "1", 5)
                return (await it.cluster.load_cluster()).features.get("f", 0)

            found, _ = await asyncio.gather(starts(), it.cluster.alter_features(raises))
            assert n in seen or found == n

    @reopened
    async def test_each_start_of_a_broker_is_a_new_incarnation(self, opener: Opener) -> None:
        async with opener() as it:
            assert await it.cluster.start_broker(1, None, "PLAINTEXT://h:1", "1.0", 5) == 1
            assert await it.cluster.start_broker(2, "rack", "", "1.0", 5) == 1
            assert await it.cluster.start_broker(1, "rack", "", "1.1", 6) == 2
        async with opener() as it:
            assert await it.cluster.start_broker(1, None, "", "1.1", 7) == 3

    @opened
    async def test_registered_brokers_and_the_age_of_their_heartbeats(self, it: Stores) -> None:
        assert await it.cluster.load_brokers() == []
        assert await it.cluster.start_broker(2, "b", "PLAINTEXT://h:2", "1.0", 5) == 1
        it.clock.now += 100
        assert await it.cluster.start_broker(1, None, "PLAINTEXT://h:1", "1.1", 5) == 1
        it.clock.now += 30
        two = BrokerRow(2, 1, "PLAINTEXT://h:2", "b", "1.0", False, 130)
        assert (await it.cluster.heartbeat(1, 1)).brokers == [
            BrokerRow(1, 1, "PLAINTEXT://h:1", None, "1.1", False, 0),
            two,
        ]
        it.clock.now += 7
        await it.cluster.set_draining(2, 1, True)
        rows = await it.cluster.load_brokers()
        assert [(row.node_id, row.draining, row.age_ms) for row in rows] == [(1, False, 7), (2, True, 137)]
        await it.cluster.set_draining(2, 1, False)
        assert (await it.cluster.heartbeat(2, 1)).brokers == [rows[0], two._replace(age_ms=0)]

    @opened
    async def test_an_earlier_incarnation_is_refused(self, it: Stores) -> None:
        await it.cluster.start_broker(1, None, "old", "1.0", 5)
        await it.cluster.set_draining(1, 1, True)
        assert await it.cluster.start_broker(1, None, "new", "1.0", 6) == 2
        it.clock.now += 50
        for incarnation in (1, 3):
            with pytest.raises(BrokerFenced):
                await it.cluster.heartbeat(1, incarnation)
            with pytest.raises(BrokerFenced):
                await it.cluster.set_draining(1, incarnation, True)
        with pytest.raises(BrokerFenced):
            await it.cluster.heartbeat(9, 1)
        assert await it.cluster.load_brokers() == [BrokerRow(1, 2, "new", None, "1.0", False, 50)]

    @opened
    async def test_a_forgotten_broker_is_not_registered_and_may_come_back(self, it: Stores) -> None:
        await it.cluster.start_broker(1, None, "", "1.0", 5)
        await it.cluster.start_broker(2, None, "", "1.0", 5)
        for _ in range(2):
            await it.cluster.forget_broker(1)
        await it.cluster.forget_broker(9)
        with pytest.raises(BrokerFenced):
            await it.cluster.heartbeat(1, 1)
        assert [row.node_id for row in await it.cluster.load_brokers()] == [2]
        assert await it.cluster.start_broker(1, None, "", "1.0", 5) > 2
        assert [row.node_id for row in await it.cluster.load_brokers()] == [1, 2]

    @opened
    async def test_producer_ids_are_given_once(self, it: Stores) -> None:
        sizes = [1, 1000, 7, 1, 50] * 8
        firsts = await asyncio.gather(*(it.cluster.reserve_producer_ids(size) for size in sizes))
        blocks = sorted((first, first + size) for first, size in zip(firsts, sizes, strict=True))
        assert blocks[0][0] == 0
        assert all(end <= start for (_, end), (start, _) in pairwise(blocks))

    @reopened
    async def test_blob_blocks_are_given_once(self, opener: Opener) -> None:
        async with opener() as it:
            blocks = await asyncio.gather(*(it.cluster.reserve_blob_block() for _ in range(20)))
            assert sorted(blocks) == list(range(1, 21))
            assert await it.cluster.reserve_producer_ids(10) == 0
        async with opener() as it:
            assert await it.cluster.reserve_blob_block() == 21
            assert await it.cluster.reserve_producer_ids(10) == 10

    @opened
    async def test_entities_are_set_replaced_and_removed(self, it: Stores) -> None:
        assert await it.cluster.load_entities() == []
        await it.cluster.alter_entity("broker", "", lambda _: {"a": "1", "b": "2"})
        await it.cluster.alter_entity("broker", "1", lambda _: {"a": "ü"})
        await it.cluster.alter_entity("group", "1", lambda _: {"c": ""})
        await it.cluster.alter_entity("broker", "", lambda _: {"b": "3"})
        await it.cluster.alter_entity("broker", "never", lambda _: {})
        assert sorted(await it.cluster.load_entities()) == [
            ("broker", "", {"b": "3"}),
            ("broker", "1", {"a": "ü"}),
            ("group", "1", {"c": ""}),
        ]
        await it.cluster.alter_entity("broker", "", lambda _: {})
        assert sorted(name for _, name, _ in await it.cluster.load_entities()) == ["1", "1"]
