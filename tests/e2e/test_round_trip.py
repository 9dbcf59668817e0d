"""The thin line: real clients produce, consume, and lose nothing to kill -9."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow


def create(bootstrap: str, topic: str, partitions: int = 3) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)


def produce(bootstrap: str, topic: str, values: list[bytes], **config: object) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, **config})
    errors: list[KafkaError] = []
    for value in values:
        while True:
            try:
                producer.produce(
                    topic, value=value, key=value[:12], on_delivery=lambda e, _: errors.append(e) if e else None
                )
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(20) == 0
    assert not errors


def consume(bootstrap: str, topic: str, partitions: int, count: int, seconds: float = 20) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, index, 0) for index in range(partitions)])
    values: list[bytes] = []
    deadline = time.monotonic() + seconds
    while len(values) < count and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            values.append(message.value())
    consumer.close()
    return values


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_was_produced_is_consumed(moldau_broker: BrokerThread, codec: str) -> None:
    create(moldau_broker.bootstrap, "t")
    values = [b"value %d" % index for index in range(5000)]
    produce(moldau_broker.bootstrap, "t", values, **{"compression.type": codec, "enable.idempotence": True})
    assert sorted(consume(moldau_broker.bootstrap, "t", 3, len(values))) == sorted(values)


def test_large_batches_go_through_the_write_ahead_blob(moldau_broker: BrokerThread) -> None:
    create(moldau_broker.bootstrap, "t", 1)
    values = [b"%06d" % index + b"x" * 900_000 for index in range(20)]
    produce(moldau_broker.bootstrap, "t", values)
    assert consume(moldau_broker.bootstrap, "t", 1, len(values)) == values


def test_nothing_acknowledged_is_lost_by_kill(moldau_broker_process: BrokerProcess) -> None:
    broker = moldau_broker_process
    create(broker.bootstrap, "t", 1)
    small = [b"small %d" % index for index in range(100)]
    large = [b"large %d" % index + b"y" * 200_000 for index in range(10)]
    produce(broker.bootstrap, "t", small)
    produce(broker.bootstrap, "t", large)
    broker.kill()
    broker.start()
    assert consume(broker.bootstrap, "t", 1, 110) == small + large
    produce(broker.bootstrap, "t", [b"after"])
    assert consume(broker.bootstrap, "t", 1, 111)[-1] == b"after"


def test_a_long_poll_wakes_at_once(moldau_broker: BrokerThread) -> None:
    create(moldau_broker.bootstrap, "t", 1)
    consumer = Consumer({"bootstrap.servers": moldau_broker.bootstrap, "group.id": "g", "fetch.wait.max.ms": 10_000})
    consumer.assign([TopicPartition("t", 0, 0)])
    assert consumer.poll(1.0) is None
    began = time.monotonic()
    produce(moldau_broker.bootstrap, "t", [b"now"])
    message = consumer.poll(5)
    took = time.monotonic() - began
    consumer.close()
    assert message is not None
    assert message.value() == b"now"
    assert took < 3, f"the fetch waited {took:.1f} s"
