"""The contract of `ClusterStore`."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from support.aio import Opener, opened, reopened
from support.stores import FORMAT, Stores


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
    async def test_features_are_set_and_removed(self, it: Stores) -> None:
        await it.cluster.set_feature("group.version", 1)
        await it.cluster.set_feature("metadata.version", 30)
        await it.cluster.set_feature("group.version", 2)
        assert (await it.cluster.load_cluster()).features == {"group.version": 2, "metadata.version": 30}
        await it.cluster.set_feature("group.version", 0)
        await it.cluster.set_feature("never.set", 0)
        assert (await it.cluster.load_cluster()).features == {"metadata.version": 30}

    @opened
    async def test_features_set_at_once_do_not_lose_each_other(self, it: Stores) -> None:
        await asyncio.gather(*(it.cluster.set_feature(f"f{n}", n + 1) for n in range(20)))
        assert (await it.cluster.load_cluster()).features == {f"f{n}": n + 1 for n in range(20)}

    @reopened
    async def test_each_start_of_a_broker_is_a_new_incarnation(self, opener: Opener) -> None:
        async with opener() as it:
            assert await it.cluster.start_broker(1, None, "PLAINTEXT://h:1", "1.0", 5) == 1
            assert await it.cluster.start_broker(2, "rack", "", "1.0", 5) == 1
            assert await it.cluster.start_broker(1, "rack", "", "1.1", 6) == 2
        async with opener() as it:
            assert await it.cluster.start_broker(1, None, "", "1.1", 7) == 3

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
        await it.cluster.set_entity("broker", "", {"a": "1", "b": "2"})
        await it.cluster.set_entity("broker", "1", {"a": "ü"})
        await it.cluster.set_entity("group", "1", {"c": ""})
        await it.cluster.set_entity("broker", "", {"b": "3"})
        await it.cluster.set_entity("broker", "never", {})
        assert sorted(await it.cluster.load_entities()) == [
            ("broker", "", {"b": "3"}),
            ("broker", "1", {"a": "ü"}),
            ("group", "1", {"c": ""}),
        ]
        await it.cluster.set_entity("broker", "", {})
        assert sorted(name for _, name, _ in await it.cluster.load_entities()) == ["1", "1"]
