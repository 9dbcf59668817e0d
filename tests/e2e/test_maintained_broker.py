"""A broker whose maintenance never rests, under load, killed at every step of it: each record once, in order; rows few; nothing damaged.

The thresholds are tiny, so that the builder merges all the time and retention has something to do each second.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from itertools import count, pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from test_round_trip import create

from moldau.cli.main import root
from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PARTITIONS = 3
SETS = (
    "moldau.segment.build.age.ms=0",
    "moldau.segment.min.bytes=40000",
    "moldau.segment.max.bytes=160000",
    "log.segment.delete.delay.ms=0",
    "log.retention.check.interval.ms=1000",
    "moldau.inline.max.bytes=4096",
)
POINTS = [
    "log.snapshot.write=kill:2",
    "log.build.put=kill:3",
    "log.build.stored=kill:2",
    "log.build.swapped=kill:5",
    "log.retention.start=kill:2",
    "log.retention.delete=kill:2",
    "log.retention.deleted=kill:1",
    "metadata.sqlite.commit=kill:700",
    "blobs.local.put_written=kill:2",
]


class Load:
    """An idempotent producer in a thread, one record in each request; `acknowledged` counts."""

    def __init__(self, broker: BrokerProcess) -> None:
        self._broker = broker
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.acknowledged = 0
        self.errors: list[KafkaError] = []

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.errors.append(error)

    def _run(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 0,
                "batch.num.messages": 1,
                "message.timeout.ms": 120_000,
                "retry.backoff.max.ms": 200,
                "reconnect.backoff.max.ms": 200,
                "log_level": 0,
            }
        )
        while not self._stop.is_set():
            for _ in range(20):
                value = b"%d " % self.sent + b"v" * (self.sent * 37 % 900)
                producer.produce("t", value, partition=self.sent % PARTITIONS, on_delivery=self._delivered)
                if self.sent % 10 == 0:
                    producer.produce("short", b"s" * 900, on_delivery=self._delivered)
                self.sent += 1
            producer.poll(0.01)
            while len(producer) > 3000:
                producer.poll(0.05)
        producer.flush(60)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(tmp_path / "data", *SETS)
    broker.start()
    try:
        create(broker.bootstrap, "t", PARTITIONS)
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        short = NewTopic("short", 1, 1, config={"retention.bytes": "30000", "retention.ms": "60000"})
        admin.create_topics([short])["short"].result(10)
        yield broker
    finally:
        broker.stop()


def rows_of(broker: BrokerProcess) -> dict[int, int]:
    """Extents by kind."""
    connection = sqlite3.connect(f"file:{broker.data}/metadata.sqlite?mode=ro", uri=True)
    try:
        return dict(connection.execute("SELECT kind, count(*) FROM extent GROUP BY kind"))
    finally:
        connection.close()


def check_everything(broker: BrokerProcess, sent: int) -> None:
    """All records of the topic from offset 0: each number once, in the order of its partition, at the offset of its rank."""
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "g", "fetch.message.max.bytes": 50_000})
    consumer.assign([TopicPartition("t", p, 0) for p in range(PARTITIONS)])
    found: dict[int, list[int]] = {p: [] for p in range(PARTITIONS)}
    deadline = time.monotonic() + 60
    while sum(map(len, found.values())) < sent and time.monotonic() < deadline:
        for message in consumer.consume(500, 1.0):
            assert message.error() is None
            number, filler = (message.value() or b"").split(b" ")
            assert len(filler) == int(number) * 37 % 900
            assert message.offset() == len(found[message.partition() or 0])
            found[message.partition() or 0].append(int(number))
    consumer.close()
    for p in range(PARTITIONS):
        assert found[p] == list(range(p, sent, PARTITIONS))
        assert all(one < other for one, other in pairwise(found[p]))


def inspected(broker: BrokerProcess) -> dict[str, object]:
    result = CliRunner().invoke(root, ["inspect", "--data", str(broker.data), "--format", "json"])
    report: dict[str, object] = json.loads(result.stdout)
    assert report["problems"] == [], report["problems"]
    return report


def test_killed_at_every_step(broker: BrokerProcess) -> None:
    with Load(broker) as load:
        for point in POINTS:
            broker.kill()
            broker._env = {"MOLDAU_FAULTS": point}
            broker.start()
            assert broker.wait(90) == -9, point
            broker._env = {}
            broker.start()
        time.sleep(2)
    assert not load.errors
    assert load.acknowledged == load.sent + -(-load.sent // 10)
    check_everything(broker, load.sent)
    for _ in count():
        rows = rows_of(broker)
        if rows.get(0, 0) + rows.get(1, 0) < 400:
            break
        time.sleep(0.5)
    assert rows[2] > 10
    assert sum(rows.values()) < load.sent / 20
    broker.stop()
    report = inspected(broker)
    assert int(str(report["batches"])) >= load.sent
    broker.start()
    check_everything(broker, load.sent)


def test_readers_from_the_beginning_never_notice_the_builder(broker: BrokerProcess) -> None:
    """Fetches and merges of the same rows at the same time, for some seconds."""
    with Load(broker) as load:
        time.sleep(2)
        until = time.monotonic() + 8
        while time.monotonic() < until:
            consumer = Consumer(
                {"bootstrap.servers": broker.bootstrap, "group.id": "g", "fetch.message.max.bytes": 20_000}
            )
            consumer.assign([TopicPartition("t", p, 0) for p in range(PARTITIONS)])
            behind = dict.fromkeys(range(PARTITIONS), 0)
            wanted = load.acknowledged // 3
            while sum(behind.values()) < wanted:
                for message in consumer.consume(200, 1.0):
                    assert message.error() is None
                    assert message.offset() == behind[message.partition() or 0]
                    behind[message.partition() or 0] += 1
            consumer.close()
    assert not load.errors
    check_everything(broker, load.sent)
    broker.stop()
    inspected(broker)
    broker.start()
