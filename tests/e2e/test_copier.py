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

PARTITIONS, COPIERS = 3, 3
SECONDS = 150.0
"""How long the copiers may take at most, on a machine that has much else to do."""
COMMITTED, UNCOMMITTED = IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED
QUICK = {"group.initial.rebalance.delay.ms": "200"}


PATIENCE = 3.0
"""Seconds after which the next kill comes although nothing is copied, as while a lease runs out."""


@dataclass(frozen=True)
class Kill:
    """What dies once so many more records are copied: a broker (1, 2, ...), which is away for some seconds; or a copier (0, 1, ...), which is started again at once."""

    records: int
    broker: int | None
    copier: int | None
    away: float = 0.0


def kills(rng: random.Random, cluster: Brokers, brokers: int, copiers: int, records: int, away: float) -> list[Kill]:
    """So many kills of brokers and of copiers, in any order, within some `records`."""
    victims = rng.sample(range(COPIERS), copiers)
    order = ["broker"] * brokers + ["copier"] * copiers
    rng.shuffle(order)
    each = records // len(order)
    found = []
    for what in order:
        after = rng.randint(each // 4, each * 7 // 4)
        if what == "copier":
            found.append(Kill(after, None, victims.pop()))
        else:
            found.append(Kill(after, rng.choice(list(cluster.nodes)), None, rng.uniform(0, away)))
    return found


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


def read(bootstrap: str, level: str) -> list[list[str]]:
    """The copy, by partition, as a reader of this isolation level sees it."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "look", "isolation.level": level}
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


class Work:
    """Copiers copy, and things are killed meanwhile."""

    def __init__(self, cluster: Brokers, copiers: Copiers) -> None:
        self.cluster = cluster
        self.copiers = copiers
        self.killed = {"brokers": 0, "copiers": 0}
        self._began = time.monotonic()
        self._away: dict[int, float] = {}
        """Brokers, and when they are started."""

    def look(self) -> bool:
        """True when all is copied."""
        time.sleep(0.02)
        now = time.monotonic()
        assert now < self._began + SECONDS, "the copiers do not come to an end"
        for broker in [broker for broker, when in self._away.items() if when <= now]:
            del self._away[broker]
            self.cluster.nodes[broker].launch()
        dead = [n for n, node in self.cluster.nodes.items() if not node.running and n not in self._away]
        assert not dead, "a broker ended by itself"
        return self.copiers.look()

    def kill(self, kill: Kill) -> None:
        """Wait for its time first."""
        wanted, end = self.copiers.copied + kill.records, time.monotonic() + PATIENCE
        while self.copiers.copied < wanted and time.monotonic() < end:
            if self.look():
                return
        if kill.copier is not None:
            self.killed["copiers"] += self.copiers.kill(kill.copier)
        elif kill.broker is not None and kill.broker not in self._away:
            self.cluster.kill(kill.broker)
            self.killed["brokers"] += 1
            self._away[kill.broker] = time.monotonic() + kill.away

    def finish(self) -> None:
        """Nothing dies any more, and what is away comes back."""
        while not self.look():
            pass
        self.cluster.heal()

    def __str__(self) -> str:
        took = time.monotonic() - self._began
        return f"{self.killed} killed, {self.copiers.copied} records copied after {took:.1f} s"


def copy(cluster: Brokers, folder: Path, *, brokers: int, copiers: int, records: int, size: int, away: float) -> None:
    """Kills of `brokers` and `copiers`; `records` of each partition, `size` of them in a transaction."""
    seed = random.SystemRandom().getrandbits(32)
    java = Java()
    original = fill(cluster.bootstrap, records)
    plan = kills(random.Random(seed), cluster, brokers, copiers, records * PARTITIONS * 3 // 4, away)
    print(f"seed {seed}: {plan}")
    work = Work(cluster, Copiers(java, cluster, COPIERS, size, folder))
    try:
        while work.copiers.copied == 0:
            work.look()
        for kill in plan:
            work.kill(kill)
            print(f"{work}: {kill}")
        work.finish()
    finally:
        print(work, *work.copiers.failed, sep="\n")
        work.copiers.end()
    assert work.killed["brokers"] * 2 > brokers, "hardly anything was killed"
    assert work.killed["copiers"], "no copier was killed while it copied"
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    stable, all_of_it = (ends(admin, SINK, level) for level in (COMMITTED, UNCOMMITTED))
    assert stable == all_of_it, "a transaction is open for ever"
    copied = read(cluster.bootstrap, "read_committed")
    for before, after in zip(original, copied, strict=True):
        lost, twice = sorted(set(before) - set(after)), len(after) - len(set(after))
        assert (lost, twice) == ([], 0)
        assert after == before
    assert sum(map(len, read(cluster.bootstrap, "read_uncommitted"))) > records * PARTITIONS, "nothing was aborted"
    (offsets,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(GROUP)]).values()
    assert [each.offset for each in sorted(offsets.result(20).topic_partitions)] == [records] * PARTITIONS


def test_one_broker_and_copiers_are_killed(tmp_path: Path) -> None:
    with Single(**QUICK) as cluster:
        copy(cluster, tmp_path, brokers=7, copiers=2, records=1_000, size=5, away=0.3)


def test_three_brokers_and_copiers_are_killed(tmp_path: Path) -> None:
    with Direct(3, **QUICK) as cluster:
        copy(cluster, tmp_path, brokers=6, copiers=2, records=1_000, size=5, away=2.0)
