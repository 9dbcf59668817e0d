"""Several catalogs on one store: each follows what the others change, and reads no more than that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import Opener, run
from support.postgres import Postgres, Servers
from support.stores import Stores, memory_opener, postgres_opener, sqlite_opener, topic_id

from moldau.broker import catalog as catalog_module
from moldau.broker import topics
from moldau.broker.broker import Broker
from moldau.broker.catalog import Catalog
from moldau.broker.config import dynamic
from moldau.broker.config.errors import InvalidConfig
from moldau.broker.config.settings import Settings
from moldau.broker.configs import Configs
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows import Changes, TopicRow
from moldau.protocol import error_codes


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, postgres_servers: Servers) -> Iterator[Opener]:
    if request.param == "memory":
        yield memory_opener()
    elif request.param == "sqlite":
        yield sqlite_opener(tmp_path)
    else:
        server: Postgres = postgres_servers[16]
        yield postgres_opener(server.url(server.database()))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_module, "PAUSE_SECONDS", 0.0)


def member(node_id: int) -> Member:
    return Member(node_id, 1, None, {"OUT": ("h", node_id)}, "1")


async def broker_on(it: Stores, node_id: int = 1, brokers: int = 3) -> Broker:
    """As much of a broker as topics and configs need."""
    broker = Broker()
    broker.node_id = node_id
    broker.clock = it.clock
    broker.topic_store, broker.cluster_store = it.topics, it.cluster
    broker.members = Membership(member(node_id))
    broker.members.update([(member(n), 0) for n in range(1, brokers + 1)], 0)
    broker.configs = Configs(Settings.load(env={}), node_id, it.cluster, it.topics)
    broker.catalog = broker.configs.catalog = Catalog(it.catalog, broker.configs, shared=True)
    broker.groups = SimpleNamespace(forget_topics=_nothing)  # type: ignore[assignment]
    broker.shares = SimpleNamespace(forget_topics=_nothing)  # type: ignore[assignment]
    await broker.catalog.load()
    return broker


async def _nothing(_: Any) -> None:
    pass


@asynccontextmanager
async def two(opener: Opener) -> AsyncIterator[tuple[Broker, Broker]]:
    async with opener() as it:
        a, b = await broker_on(it, 1), await broker_on(it, 2)
        yield a, b
        for each in (a, b):
            await each.catalog.close()


def plain(broker: Broker) -> dict[str, Any]:
    catalog = broker.catalog
    for name, topic in catalog.by_name.items():
        assert catalog.by_id[topic.topic_id] is topic
        assert {catalog.by_partition[partition_id].name for partition_id in topic.partition_ids} == {name}
    assert len(catalog.by_id) == len(catalog.by_name)
    assert len(catalog.by_partition) == sum(len(topic.partition_ids) for topic in catalog.by_id.values())
    return {
        name: (
            topic.topic_id,
            topic.partition_ids,
            topic.configs,
            topic.replication_factor,
            topic.retention.retention_ms,
        )
        for name, topic in catalog.by_name.items()
    }


async def create(broker: Broker, name: str, partitions: int = 1, factor: int = 1, **configs: str) -> Any:
    dotted = {key.replace("_", "."): value for key, value in configs.items()}
    return await topics.create(broker, name, partitions, dotted, replication_factor=factor, validate_only=False)


def setting(key: str, value: str) -> Callable[[Mapping[str, str]], dict[str, str]]:
    return lambda old: {**old, key: value}


def test_each_kind_of_change_is_followed(opener: Opener) -> None:
    async def main() -> None:
        async with two(opener) as (a, b):
            gone: list[int] = []
            b.catalog.gone = gone.append

            async def same() -> None:
                await b.catalog.follow(a.catalog.version)
                assert plain(a) == plain(b)
                assert a.catalog.version == b.catalog.version

            await create(a, "t", 2, factor=3, retention_ms="5")
            assert not b.catalog.knows("t")
            await same()
            kept = b.catalog.by_name["t"]
            assert (kept.replication_factor, kept.retention.retention_ms) == (3, 5)
            assert b.catalog.knows("t", 1)
            assert not b.catalog.knows("t", 2)
            await topics.grow(a, a.catalog.by_name["t"], 4)
            await a.configs.alter(dynamic.TOPIC, "t", setting("retention.ms", "7"), validate_only=False)
            await same()
            assert b.catalog.by_name["t"] is kept
            assert (len(kept.partition_ids), kept.retention.retention_ms) == (4, 7)
            first = list(kept.partition_ids)
            await topics.delete(a, a.catalog.by_name["t"])
            await create(a, "t", 1)
            await same()
            assert b.catalog.by_name["t"] is not kept
            assert gone == first
            await a.configs.alter(dynamic.BROKER, "", setting("log.retention.ms", "99"), validate_only=False)
            await a.configs.alter(dynamic.BROKER, "2", setting("log.segment.bytes", "1234567"), validate_only=False)
            await a.configs.alter(dynamic.GROUP, "g", setting("x", "1"), validate_only=False)
            await same()
            assert b.catalog.by_name["t"].retention.retention_ms == 99
            assert [each.catalog.by_name["t"].segment_bytes == 1234567 for each in (a, b)] == [False, True]
            assert b.configs.names("group") == ["g"]
            await a.configs.alter(dynamic.GROUP, "g", lambda _: {}, validate_only=False)
            await a.configs.alter(dynamic.BROKER, "", lambda _: {}, validate_only=False)
            await same()
            assert b.configs.names("group") == []
            assert b.catalog.by_name["t"].retention.retention_ms == 7 * 24 * 3600 * 1000

    run(main())


def test_changes_of_both_at_once(opener: Opener) -> None:
    async def main() -> None:
        async with two(opener) as (a, b):
            told: list[int] = []
            a.catalog.tell = b.catalog.tell = told.append

            async def churn(broker: Broker, mine: str) -> None:
                for n in range(12):
                    await create(broker, f"{mine}{n}", 1 + n % 2)
                    broker.catalog.hint(max(told))
                    if n % 3 == 0:
                        await topics.delete(broker, broker.catalog.by_name[f"{mine}{n}"])
                    await broker.configs.alter(dynamic.BROKER, "", setting(f"{mine}{n}", "1"), validate_only=False)

            await asyncio.gather(churn(a, "a"), churn(b, "b"))
            for each in (a, b):
                await each.catalog.fresh()
            assert a.catalog.version == b.catalog.version == max(told)
            assert sorted(told) == list(range(2, max(told) + 1)), "each change was told once"
            assert plain(a) == plain(b)
            assert len(plain(a)) == 16
            assert len(a.configs._entities["broker", ""]) == len(b.configs._entities["broker", ""]) == 24

    run(main())


def test_nothing_is_refused_on_what_is_stale(opener: Opener) -> None:
    async def main() -> None:
        async with two(opener) as (a, b):
            await create(a, "t", 2)
            assert (await topics.named(b, "t")).partition_ids == a.catalog.by_name["t"].partition_ids
            await topics.delete(a, a.catalog.by_name["t"])
            await create(b, "t")  # though it was known here
            with pytest.raises(topics.TopicError, match="already exists"):
                await create(a, "t")
            old = b.catalog.by_name["t"]
            await topics.delete(a, await topics.named(a, "t"))
            await create(a, "t", 3)
            with pytest.raises(topics.TopicError, match="no topic"):
                await topics.delete(b, old)
            assert b.catalog.by_name["t"].partition_ids == a.catalog.by_name["t"].partition_ids
            # configs of a topic that was made anew meanwhile
            await topics.delete(a, a.catalog.by_name["t"])
            await create(a, "t", 1)
            await b.configs.alter(dynamic.TOPIC, "t", setting("retention.ms", "8"), validate_only=False)
            await a.catalog.fresh()
            assert plain(a) == plain(b)
            assert plain(a)["t"][2] == {"retention.ms": "8"}
            await topics.delete(a, a.catalog.by_name["t"])
            with pytest.raises(InvalidConfig) as caught:
                await b.configs.alter(dynamic.TOPIC, "t", setting("retention.ms", "8"), validate_only=False)
            assert caught.value.error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION
            with pytest.raises(topics.TopicError) as refused:
                await topics.named(b, "t")
            assert refused.value.error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION

    run(main())


def test_whoever_missed_the_purge_of_what_was_deleted(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            a, b = await broker_on(it, 1), await broker_on(it, 2)
            for n in range(5):
                await create(a, f"t{n}")
            await b.catalog.fresh()
            for n in range(3):
                await topics.delete(a, a.catalog.by_name[f"t{n}"])
            for partition_id in await it.maintenance.dead_partitions(9):
                assert await it.maintenance.purge_partition(partition_id, 10)
            await b.catalog.fresh()
            assert sorted(plain(b)) == ["t3", "t4"]
            assert plain(a) == plain(b)

    run(main())


@pytest.mark.slow
def test_one_change_among_five_thousand_topics_costs_one_topic(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            for start in range(0, 5000, 250):
                made = (it.topics.create_topic(topic_id(f"t{n}"), f"t{n}", 2, {}, 1) for n in range(start, start + 250))
                await asyncio.gather(*made)
            a, b = await broker_on(it, 1), await broker_on(it, 2)
            assert len(plain(b)) == 5000
            read = b.catalog.rows_read
            await topics.grow(a, a.catalog.by_name["t77"], 3)
            await b.catalog.fresh()
            assert b.catalog.rows_read - read == 1 + 3
            await topics.delete(a, a.catalog.by_name["t78"])
            await b.catalog.fresh()
            assert b.catalog.rows_read - read == 1 + 3 + 1
            await b.catalog.fresh()
            assert b.catalog.rows_read - read == 5
            for n in range(1000):
                await create(a, f"n{n}") if n < 50 else await it.topic(f"n{n}")
            await b.catalog.fresh()
            await a.catalog.fresh()
            assert b.catalog.rows_read - read == 5 + 2000
            assert plain(a).keys() == plain(b).keys()

    run(main())


class SlowStore:
    """A catalog store that counts, and whose answers wait, fail or are old."""

    def __init__(self) -> None:
        self.at = 5
        self.asked = 0
        self.error: Exception | None = None
        self.topics: list[TopicRow] = []
        self.waits: asyncio.Event | None = None

    async def version(self) -> int:
        self.asked += 1
        if self.waits is not None:
            await self.waits.wait()
        if self.error is not None:
            raise self.error
        return self.at

    async def changes(self, since: int) -> Changes:
        return Changes(self.at, since == -1, self.topics if since == -1 else [], [], [])


def lone_catalog(store: SlowStore, shared: bool = True) -> Catalog:
    configs = Configs(Settings.load(env={}), 1, None, None)  # type: ignore[arg-type]
    configs.catalog = Catalog(store, configs, shared=shared)
    return configs.catalog


def test_many_that_ask_share_a_query_and_one_that_gives_up_disturbs_nobody() -> None:
    async def main() -> None:
        store = SlowStore()
        catalog = lone_catalog(store)
        await catalog.load()
        store.waits = asyncio.Event()
        first = asyncio.ensure_future(catalog.fresh())
        while not store.asked:
            await asyncio.sleep(0)
        others = [asyncio.ensure_future(catalog.look_for([("t", -1)])) for _ in range(50)]
        await asyncio.sleep(0)
        others[7].cancel()
        store.waits.set()
        await first
        assert not any(each.done() for each in others if each is not others[7]), "their query began after their call"
        outcome = await asyncio.gather(*others, return_exceptions=True)
        assert [n for n, each in enumerate(outcome) if each is not None] == [7]
        assert store.asked == 2
        await catalog.close()

    run(main())


def test_nonsense_in_a_loop_costs_some_queries_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(catalog_module, "PAUSE_SECONDS", 0.02)
        store = SlowStore()
        catalog = lone_catalog(store)
        await catalog.load()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(5):
            await asyncio.gather(*(catalog.look_for([(f"no{n}", 0)]) for n in range(20)))
        assert loop.time() - began >= 4 * 0.02
        assert store.asked == 5

    run(main())


def test_what_another_broker_changed_is_read_before_the_pause_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        monkeypatch.setattr(catalog_module, "PAUSE_SECONDS", 30.0)
        monkeypatch.setattr(catalog_module, "NEWS_PAUSE_SECONDS", 0.03)
        store = SlowStore()
        catalog = lone_catalog(store)
        await catalog.load()
        loop = asyncio.get_running_loop()
        await catalog.fresh()
        began, waiting = loop.time(), asyncio.ensure_future(catalog.look_for([("none", 0)]))
        await asyncio.sleep(0)
        catalog.hint(0)  # nothing new
        for version in (5, 6, 7):
            store.at = version
            catalog.hint(version)
        async with asyncio.timeout(10):
            await waiting
        assert catalog.version == 7
        assert loop.time() - began >= 0.02
        assert store.asked == 2
        store.at = 8
        catalog.hint(8)
        async with asyncio.timeout(10):
            await catalog.fresh()
        assert (catalog.version, store.asked) == (8, 3)
        asked = asyncio.ensure_future(catalog.fresh())
        await asyncio.sleep(0.1)
        assert store.asked == 3, "who asks without news waits"
        await catalog.close()
        await asyncio.gather(asked, return_exceptions=True)

    run(main())


def test_an_error_reaches_all_who_asked_and_the_next_ask_tries_again() -> None:
    async def main() -> None:
        store = SlowStore()
        catalog = lone_catalog(store)
        await catalog.load()
        store.error = StoreUnavailable("away")
        outcome = await asyncio.gather(catalog.fresh(), catalog.follow(9), return_exceptions=True)
        assert [type(each) for each in outcome] == [StoreUnavailable] * 2
        catalog.hint(9)
        await asyncio.sleep(0.01)
        store.error = RuntimeError("a defect")
        with pytest.raises(StoreUnavailable, match="a defect"):
            await catalog.fresh()
        store.error, store.at = None, 9
        await catalog.fresh()
        assert catalog.version == 9
        store.waits = asyncio.Event()
        waits = [asyncio.ensure_future(catalog.fresh())]
        await asyncio.sleep(0.01)
        waits.append(asyncio.ensure_future(catalog.fresh()))
        await asyncio.sleep(0.01)
        await catalog.close()
        assert [type(each) for each in await asyncio.gather(*waits, return_exceptions=True)] == [StoreUnavailable] * 2

    run(main())


def test_a_store_that_went_back_is_taken_anew(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        store = SlowStore()
        catalog = lone_catalog(store)
        store.topics = [TopicRow(b"a" * 16, "a", {}, 1, []), TopicRow(b"b" * 16, "b", {}, 1, [])]
        await catalog.load()
        store.at = 3
        store.topics = store.topics[:1]
        catalog.hint(3)
        await catalog.fresh()
        assert (catalog.version, list(catalog.by_name)) == (3, ["a"])

    run(main())
    assert "store_went_back" in caplog.text


def test_a_broker_alone_never_asks() -> None:
    async def main() -> None:
        store = SlowStore()
        catalog = lone_catalog(store, shared=False)
        await catalog.load()
        catalog.hint(77)
        catalog.suspect()
        await catalog.follow(77)
        await catalog.fresh()
        await catalog.look_for([("t", 0), (b"i" * 16, -1)])
        assert not await catalog.looked()
        assert store.asked == 0

    run(main())


class LosesReplies:
    """A topic store whose changes happen and whose answers are lost."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        async def lost(*arguments: Any) -> None:
            await getattr(self._store, name)(*arguments)
            raise StoreUnavailable("the answer was lost")

        return lost


def test_what_became_of_a_change_whose_answer_was_lost() -> None:
    async def main() -> None:
        async with two(memory_opener()) as (a, b):
            told: list[int] = []
            a.catalog.tell = told.append
            a.topic_store = LosesReplies(a.topic_store)
            made = await create(a, "t", 2)
            await topics.grow(a, made, 3)
            await b.catalog.fresh()
            assert plain(a) == plain(b)
            assert len(plain(a)["t"][1]) == 3
            await topics.delete(a, made)
            assert not a.catalog.knows("t")
            assert told == [2, 3, 4]
            with pytest.raises(topics.TopicError, match="no topic"):
                await topics.delete(a, made)

    run(main())
