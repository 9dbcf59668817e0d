"""Apache Kafka's own program for this: copiers in a group, which copy a topic in transactions and abort every third of them, while they and the brokers are killed (kill -9) and
started again. At the end the copy that a reader of committed records sees is the original, record for record.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec
from support.clients.java import Java
from support.cluster import Brokers, Single
from support.copier import GROUP, SINK, SOURCE, Copiers
from support.direct import Direct

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(240)]

PARTITIONS = 3
SECONDS = 90.0
"""How long the copiers may take at most, on a machine that has much else to do."""
QUICK = {"group.initial.rebalance.delay.ms": "200"}


@dataclass(frozen=True)
class Kills:
    """How many, how far apart, and how long a broker is away; in seconds. What happens when follows from a seed."""

    brokers: int
    copiers: int
    apart: tuple[float, float]
    away: tuple[float, float]

    def schedule(self, rng: random.Random, brokers: int, copiers: int) -> list[tuple[float, str, int]]:
        """(when, what, which): `kill` and `start` a broker (1, 2, ...), `copier`: kill that one (0, 1, ...)."""
        whats = ["kill"] * self.brokers + ["copier"] * self.copiers
        rng.shuffle(whats)
        order = rng.sample(range(copiers), copiers)
        now, found = 0.0, []
        for what in whats:
            now += rng.uniform(*self.apart)
            if what == "copier":
                order.append(order.pop(0))
                found.append((now, what, order[-1]))
            else:
                broker = rng.randint(1, brokers)
                found += [(now, what, broker), (now + rng.uniform(*self.away), "start", broker)]
        return sorted(found)


def fill(bootstrap: str, count: int) -> list[list[str]]:
    """Make both topics, write the original; its values by partition. A transaction has several batches of a partition."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (SOURCE, SINK)]).values():
        future.result(20)
    values = [[f"{partition}-{number:05d} {'.' * 120}" for number in range(count)] for partition in range(PARTITIONS)]
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
    for partition in range(PARTITIONS):
        for value in values[partition]:
            producer.produce(SOURCE, value=value, partition=partition)
    assert producer.flush(20) == 0
    return values


def committed(bootstrap: str) -> list[list[str]]:
    """The copy, by partition."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "look", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.partition.eof": True})
    consumer.assign([TopicPartition(SINK, partition, 0) for partition in range(PARTITIONS)])
    found: list[list[str]] = [[] for _ in range(PARTITIONS)]
    ended: set[int | None] = set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(20)
        assert message is not None, "a reader does not come to the end"
        error, partition, value = message.error(), message.partition(), message.value()
        if error is not None:
            assert error.code() == KafkaError._PARTITION_EOF, error
            ended.add(partition)
        else:
            assert partition is not None
            assert value is not None
            found[partition].append(value.decode())
    consumer.close()
    return found


def ends(admin: AdminClient, topic: str, level: IsolationLevel) -> list[int]:
    asked = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
    futures = admin.list_offsets(asked, isolation_level=level)
    return [futures[each].result(20).offset for each in asked]


def break_and_heal(cluster: Brokers, copiers: Copiers, plan: list[tuple[float, str, int]]) -> None:
    """Do what the plan says, as long as there is something to copy; then wait until all is copied."""
    began = time.monotonic()
    killed = {"kill": 0, "copier": 0}
    last = 0.0
    for when, what, which in plan:
        while (now := time.monotonic() - began) < when:
            time.sleep(min(0.1, when - now))
            if copiers.look():
                break
        if what == "copier":
            killed[what] += copiers.kill(which)
        elif what == "kill" and cluster.nodes[which].running:
            cluster.kill(which)
            killed[what] += 1
        elif what == "start" and not cluster.nodes[which].running:
            cluster.nodes[which].launch()
        last = now
    cluster.heal()
    while not copiers.look():
        assert time.monotonic() - began < SECONDS, "the copiers do not come to an end"
        time.sleep(0.1)
    took = time.monotonic() - began
    print(f"{killed['kill']} brokers and {killed['copier']} copiers killed within {last:.1f} s, all copied after {took:.1f} s")
    for said in copiers.failed:
        print(said)
    assert killed["kill"] >= 3
    assert killed["copier"], "no copier was killed while it copied"


def copy(cluster: Brokers, kills: Kills, count: int, size: int, folder: Path) -> None:
    """`count` records of each partition, `size` of them in a transaction."""
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    java = Java()
    original = fill(cluster.bootstrap, count)
    copiers = Copiers(java, cluster, 3, size, folder)
    plan = kills.schedule(rng, len(cluster.nodes), len(copiers.all))
    print(f"seed {seed}: {plan}")
    try:
        end = time.monotonic() + SECONDS
        while sum(copier.copied > 0 for copier in copiers.all) < 2:
            assert time.monotonic() < end, "nothing is copied"
            copiers.look()
            time.sleep(0.05)
        break_and_heal(cluster, copiers, plan)
    finally:
        copiers.end()
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    assert ends(admin, SINK, IsolationLevel.READ_COMMITTED) == ends(admin, SINK, IsolationLevel.READ_UNCOMMITTED)
    copied = committed(cluster.bootstrap)
    for before, after in zip(original, copied, strict=True):
        lost, twice = set(before) - set(after), len(after) - len(set(after))
        assert (sorted(lost), twice) == ([], 0)
        assert after == before
    (offsets,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]).values()
    assert [each.offset for each in sorted(offsets.result(20).topic_partitions)] == [count] * PARTITIONS


def test_one_broker_and_copiers_are_killed(tmp_path: Path) -> None:
    with Single(**QUICK) as cluster:
        copy(cluster, Kills(10, 3, (0.3, 0.9), (0.0, 0.3)), 1500, 5, tmp_path)


def test_three_brokers_and_copiers_are_killed(tmp_path: Path) -> None:
    with Direct(3, **QUICK) as cluster:
        copy(cluster, Kills(6, 2, (0.5, 2.0), (0.0, 2.0)), 1000, 5, tmp_path)
