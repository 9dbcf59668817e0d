"""A compacted topic on three brokers: each cleans what it leads, and dies in the middle of that while producers go on. The last value of each key stays, and somebody else goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support import hasty_broker
from support.direct import Direct
from support.node import Node
from test_compaction import CONFIG, KEYS, POINTS, Table

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SETS = {"moldau.segment.build.age.ms": "0", "log.cleaner.backoff.ms": "50"}


class Hasty(Direct):
    """`arm` starts a broker again, so that it dies at that point."""

    def _node(self, node_id: int) -> Node:
        node = super()._node(node_id)
        node._command[1:3] = [str(Path(hasty_broker.__file__))]
        return node

    def arm(self, node_id: int, point: str) -> None:
        node = self.nodes[node_id]
        node._env["MOLDAU_FAULTS"] = point
        self.restart(node_id)
        del node._env["MOLDAU_FAULTS"]


@pytest.fixture
def cluster() -> Iterator[Hasty]:
    with Hasty(3, **SETS) as cluster:
        yield cluster


def leader(cluster: Hasty, at: int) -> int:
    """Of the one partition, by another broker."""
    topics = AdminClient({"bootstrap.servers": cluster.address(at)}).list_topics("t", 10).topics
    return int(topics["t"].partitions[0].leader)


def read(bootstrap: str) -> tuple[dict[bytes, bytes | None], int]:
    """(last value of each key, records), from the beginning to the end."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g", "enable.partition.eof": True, "log_level": 0})
    consumer.assign([TopicPartition("t", 0, 0)])
    values: dict[bytes, bytes | None] = {}
    count = 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for message in consumer.consume(5000, 0.2):
            error = message.error()
            if error is None:
                values[message.key()] = message.value()
                count += 1
            elif error.code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return values, count
    raise AssertionError("no end came")


def test_the_cleaning_broker_is_killed(cluster: Hasty) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    admin.create_topics([NewTopic("t", 1, 3, config=CONFIG)])["t"].result(20)
    quick = {"message.timeout.ms": 60_000, "reconnect.backoff.max.ms": 200}
    table = Table(cluster, **{"enable.idempotence": True, **quick})  # type: ignore[arg-type]
    for point in POINTS[1:3]:  # all of them are tried on one broker
        victim = leader(cluster, 1)
        cluster.arm(victim, point)
        stop = threading.Event()
        writer = threading.Thread(target=table.write_until, args=(stop,))
        writer.start()
        deadline = time.monotonic() + 30
        while cluster.nodes[victim].running:
            assert time.monotonic() < deadline, f"{point} never came: broker {leader(cluster, victim % 3 + 1)} leads"
            time.sleep(0.02)
        stop.set()
        writer.join(60)
        assert table.errors == []
        others = [node.address for node_id, node in cluster.nodes.items() if node_id != victim]
        for address in others:
            assert read(address)[0] == table.values, point
        cluster.start(victim)
        cluster.wait_ready()
    table.write(4000)
    deadline = time.monotonic() + 30
    while (left := read(cluster.bootstrap)[1]) > 3000:
        assert time.monotonic() < deadline, f"{left} records are left"
        time.sleep(0.1)
    assert left >= len(table.values) - KEYS
    for node in cluster.nodes.values():
        assert read(node.address)[0] == table.values
