"""Applications of Kafka Streams 4.3.1: they count what a batch counts, whoever is killed."""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.clients.java import Java
from support.clients.port import run
from support.kafka_streams import Counts

from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(240)]

QUICK = (
    "group.initial.rebalance.delay.ms=0",
    "group.streams.initial.rebalance.delay.ms=0",
    "group.streams.assignment.interval.ms=0",
    "group.streams.min.heartbeat.interval.ms=100",
    "group.streams.heartbeat.interval.ms=200",
    "group.streams.min.session.timeout.ms=1000",
    "group.streams.session.timeout.ms=5000",
)


class Batch:
    """Values that are written, what they count to, and what the application says they count to.

    `values` are written in this order; they must not end. A topic `in` of four partitions is counted into `out`, of two.
    """

    def __init__(self, bootstrap: str, values: Iterator[str] | None = None) -> None:
        self.values = values or (f"c{number * 7919 % 16}" for number in itertools.count())
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for future in admin.create_topics([NewTopic("in", 4, 1), NewTopic("out", 2, 1)]).values():
            future.result(10)
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "look",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self.consumer.assign([TopicPartition("out", partition, 0) for partition in range(2)])
        self.wanted: Counter[str] = Counter()
        self.got: dict[str, int] = {}
        self.again: list[tuple[str, int, int]] = []
        """Value, and two counts of which the later one is not larger. Who counts exactly once never says such."""

    def write(self, count: int) -> None:
        for number, value in enumerate(itertools.islice(self.values, count)):
            self.wanted[value] += 1
            self.producer.produce("in", value=value, partition=number % 4)
        assert self.producer.flush(20) == 0

    def wait(self, seconds: float = 60) -> None:
        """Until the application has counted all that was written. A later count of a value counts."""
        end = time.monotonic() + seconds
        while self.got != self.wanted:
            assert time.monotonic() < end, (self.got, self.wanted)
            for message in self.consumer.consume(500, 0.1):
                key, value = message.key(), message.value()
                if message.error() is None and key is not None and value is not None:
                    self._take(key.decode(), int.from_bytes(value, "big"))

    def _take(self, value: str, count: int) -> None:
        if count <= (before := self.got.get(value, 0)):
            self.again.append((value, before, count))
        self.got[value] = count


def test_counts_are_right_when_instances_and_the_broker_are_killed(tmp_path: Path) -> None:
    java = Java()
    broker = BrokerProcess(None, *QUICK).start()
    batch = Batch(broker.bootstrap)
    batch.write(4_000)
    settings = {"num.stream.threads": "2", "processing.guarantee": "exactly_once_v2", "transaction.timeout.ms": "5000"}
    one = Counts(java, broker.bootstrap, "in", "out", tmp_path / "one", **settings)
    batch.wait()
    assert one.states[:2] == ["REBALANCING", "RUNNING"]

    two = Counts(java, broker.bootstrap, "in", "out", tmp_path / "two", **settings)
    batch.write(4_000)
    tasks = sorted(task for member in described_members(java, broker.bootstrap, 4) for task in member)
    assert tasks == [f"{part}:[{partition}]" for part in range(2) for partition in range(4)]
    one.kill()
    broker.kill()
    broker.start()
    batch.write(4_000)
    batch.wait()
    assert not batch.again
    assert two.close() == 0
    broker.stop()
    batch.consumer.close()


def described_members(java: Java, bootstrap: str, count: int) -> list[list[str]]:
    """The active tasks of each member as `kafka-streams-groups --describe --members` tells them, once there are so many members."""
    command = java.tool(
        "streams.StreamsGroupCommand", bootstrap, "--describe", "--group", "counts", "--members", "--verbose"
    )
    for _ in range(10):
        told = re.findall(r"\sACTIVE:(.*?;) (?:STANDBY|WARMUP|TARGET)", text := run(command).decode())
        tasks = [re.findall(r"\d+:\[[\d,]+\]", each) for each in told]
        if len(tasks) == count:
            return tasks
    raise AssertionError(text)


def test_the_classic_protocol_with_exactly_once(tmp_path: Path) -> None:
    java = Java()
    with_broker = BrokerProcess(None, *QUICK).start()
    batch = Batch(with_broker.bootstrap)
    batch.write(2_000)
    settings = {"group.protocol": "classic", "processing.guarantee": "exactly_once_v2"}
    app = Counts(java, with_broker.bootstrap, "in", "out", tmp_path / "app", **settings)
    batch.wait()
    assert not batch.again
    assert app.close() == 0
    with_broker.stop()
    batch.consumer.close()
