"""Three real brokers on PostgreSQL and one folder: every client against all of them; brokers that are restarted, added, killed and paused under load."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from kafka.admin import KafkaAdminClient
from support.clients.aio import AioKafka
from support.clients.confluent import Confluent
from support.clients.java import Java
from support.clients.kafka_python import KafkaPython
from support.clients.port import records
from support.direct import Direct
from support.load import Load, Reader, caught_up, settled
from support.talker import Talker
from test_client_groups import PARTITIONS, Feed, Group, Member
from test_client_matrix import CLIENTS, NAMES

from moldau.coordination.shard_store import shard_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STALL_SECONDS = 5.0
LEASE_SECONDS = 5.0


@pytest.fixture(scope="module")
def brokers() -> Iterator[Direct]:
    with Direct(3, **{"group.initial.rebalance.delay.ms": "0"}) as cluster:
        yield cluster


@pytest.fixture
def cluster(brokers: Direct) -> Iterator[Direct]:
    """Three brokers that run, before and after."""
    yield brokers
    brokers.heal()


@pytest.fixture
def topic(cluster: Direct, request: pytest.FixtureRequest) -> str:
    """Six partitions, shown on three brokers."""
    name = request.node.name.replace("[", ".").replace("]", "")[:200]
    create(cluster.bootstrap, name, 6)
    return name


def create(bootstrap: str, name: str, partitions: int, factor: int = 3, **config: str) -> None:
    new = NewTopic(name, partitions, factor, config=config)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([new])[name].result(10)


def retention(topic: str, value: str) -> ConfigResource:
    entry = ConfigEntry("retention.ms", value, incremental_operation=AlterConfigOpType.SET)
    return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])


def leaders(bootstrap: str, topic: str) -> dict[int, int]:
    """Of each partition, as that broker says."""
    found = AdminClient({"bootstrap.servers": bootstrap}).list_topics(topic, 10).topics[topic].partitions
    return {index: partition.leader for index, partition in found.items()}


def coordinator(bootstrap: str, group: str) -> int:
    """Of a group, as that broker says."""
    with Talker(bootstrap) as wire:
        return wire.coordinator(group)


# -- clients ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_client_writes_by_one_broker_and_reads_by_every_other(cluster: Direct, name: str) -> None:
    client = CLIENTS[name]()
    sent = records(f"by-{name}", client.null_headers)
    create(cluster.address(2), f"by-{name}", 1)
    client.produce(cluster.address(1), f"by-{name}", sent, "gzip")
    for bootstrap in (cluster.address(2), cluster.address(3), cluster.bootstrap):
        assert client.consume(bootstrap, {f"by-{name}": len(sent)})[f"by-{name}"] == sent


@pytest.mark.java
def test_a_group_whose_members_are_different_programs_at_different_brokers(cluster: Direct) -> None:
    create(cluster.bootstrap, "t", PARTITIONS)
    with ExitStack() as stack:
        group = Group(cluster.bootstrap, "mixed", stack)
        feed = stack.enter_context(Feed(cluster.address(2)))
        for node_id, client in enumerate((Confluent(), AioKafka(), KafkaPython(), Java())):
            bootstrap = cluster.address(node_id % 3 + 1)
            group.members.append(Member(client, bootstrap, "mixed", ["range"]))
        group.settle(4)
        group.members[0].leave()
        group.members[1].die()
        group.settle(2)
        feed.stop()
        group.catch_up(feed)


def test_what_is_administered_at_one_broker_is_known_at_all(cluster: Direct) -> None:
    admins = [AdminClient({"bootstrap.servers": cluster.address(n)}) for n in cluster.nodes]
    for turn, (here, *_) in enumerate((admins, admins[1:], admins[2:])):
        name = f"administered-{turn}"
        resource = retention(name, f"{turn + 1}000000")
        here.create_topics([NewTopic(name, 2, 3)])[name].result(10)
        for admin in admins:
            partitions = admin.list_topics(name, 10).topics[name].partitions
            assert [(sorted(each.replicas), sorted(each.isrs)) for each in partitions.values()] == [
                ([1, 2, 3], [1, 2, 3])
            ] * 2
        here.incremental_alter_configs([resource])[resource].result(10)
        for admin in admins:
            told = admin.describe_configs([resource])[resource].result(10)
            assert told["retention.ms"].value == f"{turn + 1}000000"
            with pytest.raises(KafkaException, match="TOPIC_ALREADY_EXISTS"):
                admin.create_topics([NewTopic(name, 1, 1)])[name].result(10)
        for admin in admins:
            assert {node.id for node in admin.describe_cluster().result(10).nodes} == {1, 2, 3}
        here.delete_topics([name])[name].result(10)
        for admin in admins:
            assert name not in admin.list_topics(timeout=10).topics
    with pytest.raises(KafkaException, match="INVALID_REPLICATION_FACTOR"):
        create(cluster.bootstrap, "too-many", 1, 4)


def test_other_admin_clients(cluster: Direct) -> None:
    async def told(bootstrap: str) -> set[int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return {each["node_id"] for each in (await admin.describe_cluster())["brokers"]}
        finally:
            await admin.close()

    for node_id in cluster.nodes:
        assert asyncio.run(told(cluster.address(node_id))) == {1, 2, 3}
        admin = KafkaAdminClient(bootstrap_servers=cluster.address(node_id))
        assert {each["broker_id"] for each in admin.describe_cluster()["brokers"]} == {1, 2, 3}
        admin.close()


def test_a_consumer_reads_from_the_broker_in_its_rack(cluster: Direct, topic: str) -> None:
    with Load(cluster.bootstrap, topic, 6) as load:
        load.grow()
        load.stop()
    assert len(set(leaders(cluster.bootstrap, topic).values())) > 1
    for node_id in cluster.nodes:
        fetched: dict[int, int] = {}

        def stats(text: str, fetched: dict[int, int] = fetched) -> None:
            partitions = json.loads(text)["topics"].get(topic, {}).get("partitions", {})
            fetched.update({int(p): each["broker"] for p, each in partitions.items() if int(p) >= 0})

        consumer = Consumer(
            {
                "bootstrap.servers": cluster.bootstrap,
                "group.id": "racks",
                "client.rack": f"rack-{node_id}",
                "statistics.interval.ms": 50,
                "stats_cb": stats,
                "enable.auto.commit": False,
            }
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(6)])
        seen: Counter[int] = Counter()
        deadline = time.monotonic() + 10
        while set(fetched.values()) != {node_id} or seen != dict.fromkeys(range(6), load.sent):
            assert time.monotonic() < deadline, (node_id, fetched, seen, load.sent)
            for message in consumer.consume(1000, 0.05):
                assert message.error() is None, message.error()
                seen[message.partition()] += 1
        consumer.close()


# -- brokers that come and go -------------------------------------------------------------------------------------------


def test_a_rolling_restart_is_not_noticed(cluster: Direct, topic: str) -> None:
    with Load(cluster.bootstrap, topic, 6) as load:
        readers = [Reader(cluster.address(n), topic, topic) for n in (1, 2)]
        load.grow(200)
        before = settled(readers, 6)
        for node_id in cluster.nodes:
            cluster.restart(node_id)
            load.grow(100)
        load.stop()
        caught_up(readers, load)
        assert [reader.assigned for reader in readers] == before, "the group was rebalanced"
        for reader in readers:
            reader.stop()
    print(f"rolling restart: {load.sent * 6} records, longest stall {load.stall:.2f} s")
    load.check(cluster.bootstrap)
    assert load.stall < STALL_SECONDS


def test_a_fourth_broker_takes_its_share(cluster: Direct) -> None:
    create(cluster.bootstrap, "sixty", 60)
    with Load(cluster.bootstrap, "sixty", 60, 0.05) as load:
        load.grow(5)
        fourth = cluster.add()  # it answers
        began = time.monotonic()
        try:
            while list(leaders(cluster.address(1), "sixty").values()).count(fourth) < 9:
                assert time.monotonic() < began + 5, leaders(cluster.address(1), "sixty")
                time.sleep(0.05)
            print(f"a fourth broker: leads its share after {time.monotonic() - began:.2f} s")
            cluster.wait_ready()
            assert len({tuple(leaders(cluster.address(n), "sixty").items()) for n in cluster.nodes}) == 1
            load.grow(10)
        finally:
            cluster.remove(fourth)
        load.grow(5)
        load.stop()
    load.check(cluster.bootstrap)
    assert fourth not in leaders(cluster.bootstrap, "sixty").values()


@pytest.mark.parametrize("victims", [[1], [2, 3]], ids=["one", "two"])
def test_brokers_are_killed_under_load(cluster: Direct, topic: str, victims: list[int]) -> None:
    with Load(cluster.bootstrap, topic, 6) as load:
        readers = [Reader(cluster.bootstrap, topic, topic) for _ in range(2)]
        load.grow(200)
        for node_id in victims:
            cluster.kill(node_id)
        load.grow(100)
        for node_id in victims:
            cluster.start(node_id)
        load.grow(100)
        load.stop()
        caught_up(readers, load)
        for reader in readers:
            reader.stop()
    print(f"{len(victims)} of three killed: {load.sent * 6} records, longest stall {load.stall:.2f} s")
    load.check(cluster.bootstrap)
    assert load.stall < STALL_SECONDS


def test_a_coordinator_that_sleeps_longer_than_its_lease(cluster: Direct, topic: str) -> None:
    with Load(cluster.bootstrap, topic, 6, 0.01) as load:
        readers = [Reader(cluster.bootstrap, topic, topic, session_timeout_ms=30_000) for _ in range(2)]
        load.grow(50)
        before = settled(readers, 6)
        led = leaders(cluster.bootstrap, topic)
        sleeper = coordinator(cluster.address(1), topic)
        other = next(n for n in cluster.nodes if n != sleeper)
        # a group of the same shard, which a request that waits in the sleeper's socket would change
        alone = next(f"alone-{n}" for n in range(10_000) if shard_of(f"alone-{n}") == shard_of(topic))
        with Talker(cluster.address(sleeper)) as wire, Talker(cluster.address(other)) as there:
            assert wire.commit_offset(alone, topic, 0, 1) == 0
            cluster.pause(sleeper)
            try:
                wire.post_commit(alone, topic, 0, 2)
                counts = [reader.count for reader in readers]
                deadline = time.monotonic() + LEASE_SECONDS + 10
                while coordinator(cluster.address(other), topic) == sleeper:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
                new = coordinator(cluster.address(other), topic)
                with Talker(cluster.address(new)) as at_new:
                    while code := at_new.commit_offset(alone, topic, 0, 3):
                        assert time.monotonic() < deadline, code
                        time.sleep(0.05)
                time.sleep(1)
            finally:
                cluster.resume(sleeper)
            assert wire.take_commit() != 0
            assert there.committed_offset(alone, topic, 0) == 3
        load.grow(50)
        load.stop()
        caught_up(readers, load)
        assert all(reader.count > count for reader, count in zip(readers, counts, strict=True))
        assert [reader.assigned for reader in readers] == before, "the group was rebalanced"
        for reader in readers:
            reader.stop()
    load.check(cluster.bootstrap)
    # a request that a sleeping leader has got is waited for by the client
    awake = [stall for partition, stall in load.stalls.items() if led[partition] != sleeper]
    print(f"a coordinator slept: longest stall of producers {load.stall:.2f} s, at other leaders {max(awake):.2f} s")
    assert max(awake) < STALL_SECONDS


def test_members_of_a_consumer_group_do_not_notice_that_their_coordinator_is_killed(
    cluster: Direct, topic: str
) -> None:
    with Load(cluster.bootstrap, topic, 6, 0.01) as load:
        readers = [Reader(cluster.bootstrap, topic, topic, group_protocol="consumer") for _ in range(2)]
        load.grow(20)
        before = settled(readers, 6)
        killed = coordinator(cluster.address(1), topic)
        cluster.kill(killed)
        other = next(n for n in cluster.nodes if n != killed)
        deadline = time.monotonic() + LEASE_SECONDS + 10
        while coordinator(cluster.address(other), topic) == killed:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        load.grow(100)
        load.stop()
        caught_up(readers, load)
        assert [reader.assigned for reader in readers] == before, "partitions moved"
        assert sorted(len(reader.partitions) for reader in readers) == [3, 3]
        assert not [error for reader in readers for error in reader.errors]
        for reader in readers:
            reader.stop()
    load.check(cluster.bootstrap)


def test_all_brokers_stop_and_start(cluster: Direct, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    resource = retention(topic, "77000000")
    admin.incremental_alter_configs([resource])[resource].result(10)
    with Load(cluster.bootstrap, topic, 6) as load:
        reader = Reader(cluster.bootstrap, topic, topic)
        load.grow(100)
        for node_id in cluster.nodes:
            cluster.stop(node_id)
        for node_id in cluster.nodes:
            cluster.start(node_id)
        load.grow(100)
        load.errors = [error for error in load.errors if "_ALL_BROKERS_DOWN" not in error]
        load.stop()
        reader.errors = [error for error in reader.errors if "_ALL_BROKERS_DOWN" not in error]
        caught_up([reader], load)
        reader.stop()
    load.check(cluster.bootstrap)
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "77000000"
    group = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(topic)])[topic].result(10)
    assert {each.partition: each.offset for each in group.topic_partitions} == dict.fromkeys(range(6), load.sent)
