"""Records without an end into every partition of a topic, and groups that read them, while brokers come and go: what was acknowledged, what was read, for how long nothing went on."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

AWAY = (KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT)
"""What librdkafka says of one broker that it cannot reach; it goes on at the others."""


class Load:
    """An idempotent producer: each partition gets 0, 1, 2, ... `stop` waits until all of it is acknowledged."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, pause: float = 0.002, **configs: Any) -> None:
        self.topic, self.partitions = topic, partitions
        self.errors: list[str] = []
        self.sent = 0
        self.acknowledged: dict[int, int] = dict.fromkeys(range(partitions), 0)
        self.stalls: dict[int, float] = dict.fromkeys(range(partitions), 0.0)
        """The longest time between two acknowledgements of each partition, in seconds."""
        self._last: dict[int, float] = {}
        self._pause = pause
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 2,
                "log_level": 0,
                "error_cb": self._error,
                **{key.replace("_", "."): value for key, value in configs.items()},
            }
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def stall(self) -> float:
        """The longest of all."""
        return max(self.stalls.values())

    def _error(self, error: KafkaError) -> None:
        if error.code() not in AWAY:
            self.errors.append(str(error))

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append(f"{message.partition()}: {error}")
            return
        now, partition = time.monotonic(), message.partition()
        self.acknowledged[partition] += 1
        self.stalls[partition] = max(self.stalls[partition], now - self._last.get(partition, now))
        self._last[partition] = now

    def _run(self) -> None:
        while not self._stop.is_set():
            value = b"%d" % self.sent
            for partition in range(self.partitions):
                self._producer.produce(self.topic, value, partition=partition, on_delivery=self._delivered)
            self.sent += 1
            self._producer.poll(self._pause)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def grow(self, records: int = 50, seconds: float = 20) -> None:
        """Until every partition has so many acknowledgements more."""
        wanted = {partition: count + records for partition, count in self.acknowledged.items()}
        deadline = time.monotonic() + seconds
        while any(self.acknowledged[partition] < count for partition, count in wanted.items()):
            assert time.monotonic() < deadline, (self.acknowledged, wanted, self.errors)
            time.sleep(0.01)

    def stop(self) -> None:
        """All of it is acknowledged, and no error was told."""
        self._stop.set()
        self._thread.join(10)
        assert self._producer.flush(30) == 0, self.errors
        assert not self.errors
        assert self.acknowledged == dict.fromkeys(range(self.partitions), self.sent)

    def check(self, bootstrap: str) -> None:
        """The log has each record once, and in order."""
        for partition, values in read(bootstrap, self.topic, self.acknowledged).items():
            assert values == list(range(self.sent)), f"partition {partition}"


class Reader:
    """One member of a group, in a thread of its own. `assigned` counts how often it got partitions."""

    def __init__(self, bootstrap: str, group: str, topic: str, **configs: Any) -> None:
        self.errors: list[str] = []
        self.assigned = 0
        self.partitions: set[int] = set()
        self.seen: dict[int, set[int]] = {}
        self.count = 0
        modern = (
            configs.get("group_protocol") == "consumer"
        )  # then the broker says how often it wants to hear of members
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "auto.commit.interval.ms": 200,
                **({} if modern else {"heartbeat.interval.ms": 300}),
                "log_level": 0,
                "error_cb": self._error,
                **{key.replace("_", "."): value for key, value in configs.items()},
            }
        )
        self._consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _error(self, error: KafkaError) -> None:
        if error.code() not in AWAY:
            self.errors.append(str(error))

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned += 1
        self.partitions |= {each.partition for each in partitions}

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self.partitions -= {each.partition for each in partitions}

    def _run(self) -> None:
        while not self._stop.is_set():
            for message in self._consumer.consume(500, 0.05):
                if message.error() is not None:
                    self.errors.append(str(message.error()))
                else:
                    self.seen.setdefault(message.partition(), set()).add(int(message.value()))
                    self.count += 1
        self._consumer.close()

    def stop(self) -> None:
        """Commit and leave."""
        self._stop.set()
        self._thread.join(20)


def settled(readers: list[Reader], partitions: int, seconds: float = 20) -> list[int]:
    """Until each member reads partitions of its own, and together they read all: how often each was `assigned` so far."""
    deadline = time.monotonic() + seconds
    while True:
        counts = [reader.assigned for reader in readers]
        shares = [reader.partitions for reader in readers]
        whole = all(shares) and sum(map(len, shares)) == len(set().union(*shares)) == partitions
        if whole and all(reader.count for reader in readers) and counts == [reader.assigned for reader in readers]:
            return counts
        assert time.monotonic() < deadline, [(reader.assigned, reader.partitions, reader.count) for reader in readers]
        time.sleep(0.05)


def caught_up(readers: list[Reader], load: Load, seconds: float = 20) -> None:
    """Until the readers together have every record of a load that has stopped; no error was told."""
    deadline = time.monotonic() + seconds
    everything = set(range(load.sent))
    while True:
        missing = {
            partition: everything - set().union(*(reader.seen.get(partition, set()) for reader in readers))
            for partition in range(load.partitions)
        }
        if not any(missing.values()):
            break
        told = {partition: (len(left), sorted(left)[:5]) for partition, left in missing.items() if left}
        assert time.monotonic() < deadline, (told, [reader.errors for reader in readers])
        time.sleep(0.05)
    assert [reader.errors for reader in readers] == [[] for _ in readers]


def read(bootstrap: str, topic: str, wanted: Mapping[int, int], seconds: float = 30) -> dict[int, list[int]]:
    """The numbers in each partition from its beginning, as many as `wanted`, and what is there beyond."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in wanted])
    found: dict[int, list[int]] = {partition: [] for partition in wanted}
    ended: set[int] = set()
    deadline = time.monotonic() + seconds
    while any(len(found[p]) < count or p not in ended for p, count in wanted.items()):
        assert time.monotonic() < deadline, {p: (len(found[p]), count) for p, count in wanted.items()}
        for message in consumer.consume(2000, 0.1):
            if message.error() is None:
                found[message.partition()].append(int(message.value()))
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
    consumer.close()
    return found
