"""Two real brokers on one PostgreSQL and one folder of blobs: what a real client produces, express and standard, is consumed once and in order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from support.postgres import Servers

from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow
PARTITIONS = 3
RECORDS = 3000


class Two:
    def __init__(self, one: BrokerThread, two: BrokerThread, blobs: Path) -> None:
        self.servers = f"{one.bootstrap},{two.bootstrap}"
        self.blobs = blobs


@pytest.fixture
def brokers(postgres_servers: Servers, tmp_path: Path) -> Iterator[Two]:
    server = postgres_servers[16]
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    settings = {"moldau.metadata.url": server.url(server.database()), "moldau.blobs.url": f"file://{blobs}"}
    with (
        BrokerThread(settings={**settings, "node.id": "1"}) as one,
        BrokerThread(settings={**settings, "node.id": "2"}) as two,
    ):
        yield Two(one, two, blobs)


@pytest.mark.parametrize("storage", ["express", "standard", "auto"])
def test_what_is_produced_is_consumed(brokers: Two, storage: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers.servers})
    admin.create_topics([NewTopic("t", PARTITIONS, 1, config={"moldau.storage": storage})])["t"].result(10)
    resource = ConfigResource(ResourceType.TOPIC, "t")
    assert admin.describe_configs([resource])[resource].result(10)["moldau.storage"].value == storage
    producers = [
        Producer({"bootstrap.servers": brokers.servers, "enable.idempotence": True, "linger.ms": linger})
        for linger in (0, 5)
    ]
    errors: list[object] = []
    for n in range(RECORDS):
        for name, producer in enumerate(producers):
            producer.produce(
                "t",
                b"%d-%d" % (name, n) + b"." * (n % 7 * 500),
                partition=n % PARTITIONS,
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
            producer.poll(0)
    for producer in producers:
        assert producer.flush(30) == 0
    assert not errors
    consumer = Consumer({"bootstrap.servers": brokers.servers, "group.id": "g", "auto.offset.reset": "earliest"})
    consumer.subscribe(["t"])
    offsets: dict[int, list[int]] = {}
    order: dict[tuple[int, bytes], list[int]] = {}
    deadline = time.monotonic() + 30
    while sum(map(len, offsets.values())) < 2 * RECORDS:
        assert time.monotonic() < deadline
        for message in consumer.consume(500, 0.5):
            assert message.error() is None
            name, n = message.value().rstrip(b".").split(b"-")
            offsets.setdefault(message.partition(), []).append(message.offset())
            order.setdefault((message.partition(), name), []).append(int(n))
    consumer.close()
    for partition, found in offsets.items():
        assert found == list(range(len(found)))
        for name in (b"0", b"1"):
            assert order[partition, name] == list(range(partition, RECORDS, PARTITIONS))
    stored = [file for file in brokers.blobs.rglob("*") if file.is_file() and file.stat().st_size > 1000]
    assert bool(stored) or storage != "standard"
