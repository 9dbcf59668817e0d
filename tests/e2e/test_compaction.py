"""A compacted topic through real clients: the last value of each key from the begin, while producers go on; kills on the way."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from moldau.cli.main import root
from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SETS = ("moldau.segment.build.age.ms=0", "log.cleaner.backoff.ms=50", "log.segment.delete.delay.ms=0")
CONFIG = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.3", "delete.retention.ms": "600000"}
POINTS = ["log.clean.put=kill:1", "log.clean.stored=kill:1", "log.clean.swapped=kill:3", "log.clean.done=kill:2"]
KEYS = 200


def created(broker: BrokerProcess, config: dict[str, str]) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic("t", 1, 1, config=config)])["t"].result(20)
    return admin


class Table:
    """Writes keyed records and remembers the last value of each key."""

    def __init__(self, broker: BrokerProcess, **config: object) -> None:
        self._producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 2, "log_level": 0} | config)
        self._rng = random.Random(7)
        self.values: dict[bytes, bytes | None] = {}
        self.errors: list[KafkaError] = []

    def write(self, count: int) -> None:
        for _ in range(count):
            key = b"key-%d" % self._rng.randrange(KEYS)
            value = None if self._rng.random() < 0.05 else b"%d" % self._rng.randrange(1 << 60) * 60
            self._producer.produce("t", value, key, on_delivery=self._delivered)
            self.values[key] = value
            if self._rng.random() < 0.1:
                self._producer.poll(0)
        assert self._producer.flush(60) == 0
        assert self.errors == []

    def write_until(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self.write(200)

    def _delivered(self, error: KafkaError | None, _: object) -> None:
        if error is not None:
            self.errors.append(error)


def read(broker: BrokerProcess) -> tuple[dict[bytes, bytes | None], int]:
    """(last value of each key, records) from the begin to the end as it is when it begins to read."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "enable.partition.eof": True})
    consumer.assign([TopicPartition("t", 0, 0)])
    values: dict[bytes, bytes | None] = {}
    count = 0
    deadline = time.monotonic() + 30
    try:
        while time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                assert message.error().code() == KafkaError._PARTITION_EOF
                return values, count
            values[message.key()] = message.value()
            count += 1
    finally:
        consumer.close()
    raise AssertionError("no end came")


def compacted(broker: BrokerProcess, most: int) -> int:
    """Wait until so few records are left; how many."""
    deadline = time.monotonic() + 30
    while (count := read(broker)[1]) > most:
        assert time.monotonic() < deadline, f"{count} records are left"
        time.sleep(0.2)
    return count


def inspected(broker: BrokerProcess) -> None:
    result = CliRunner().invoke(root, ["inspect", "--data", str(broker.data), "--format", "json"])
    assert json.loads(result.stdout)["problems"] == []


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path / "data", *SETS)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_the_last_value_of_each_key_while_producers_go_on(broker: BrokerProcess, codec: str) -> None:
    created(broker, CONFIG)
    table = Table(broker, **{"compression.type": codec})
    for _ in range(6):
        table.write(2000)
        assert read(broker)[0] == table.values
    assert compacted(broker, 4000) >= KEYS
    assert read(broker)[0] == table.values
    broker.stop()
    inspected(broker)


def test_killed_at_every_step(broker: BrokerProcess) -> None:
    """What was acknowledged is there, whatever the cleaner was at."""
    broker.stop()
    broker._sets = (*SETS, "log.cleaner.backoff.ms=10")
    broker.start()
    created(broker, CONFIG)
    table = Table(broker, **{"enable.idempotence": True, "message.timeout.ms": 60_000, "reconnect.backoff.max.ms": 200})
    for point in POINTS:
        broker.kill()
        broker._env = {"MOLDAU_FAULTS": point}
        broker.start()
        stop = threading.Event()
        writer = threading.Thread(target=table.write_until, args=(stop,))
        writer.start()
        assert broker.wait(90) == -9, point  # the cleaner takes its time beside writers
        broker._env = {}
        broker.start()
        stop.set()
        writer.join(60)
        assert table.errors == []
        assert read(broker)[0] == table.values, point
    broker.stop()
    inspected(broker)
    broker.start()
    assert read(broker)[0] == table.values


def test_records_without_a_key_are_refused(broker: BrokerProcess) -> None:
    admin = created(broker, CONFIG)
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    producer.produce("t", b"v", on_delivery=lambda error, _: errors.append(error))
    producer.flush(20)
    assert [error and error.code() for error in errors] == [KafkaError.INVALID_RECORD]
    for policy, is_taken in (("compact,delete", True), ("compacted", False), ("delete,compact", True)):
        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, "t", incremental_configs=[entry])
        future = admin.incremental_alter_configs([resource])[resource]
        if is_taken:
            future.result(20)
        else:
            with pytest.raises(KafkaException):
                future.result(20)
