"""Real clients with group.protocol=consumer (KIP-848): they share, die, subscribe by pattern, and live with members of the classic protocol."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.clients.java import Java
from support.clients.port import absent, run

from moldau.testing import BrokerThread
from tools.codegen import jar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

QUICK = {
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.heartbeat.interval.ms": "200",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "3000",
    "group.consumer.assignment.interval.ms": "100",
}
PARTITIONS = 6


@pytest.fixture
def bootstrap() -> Iterator[str]:
    with BrokerThread(settings=QUICK) as broker:
        make(broker.bootstrap, "orders", PARTITIONS)
        yield broker.bootstrap


def make(bootstrap: str, topic: str, partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(10)


def produce(bootstrap: str, topic: str, values: range) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for value in values:
        producer.produce(topic, value=str(value))
    assert producer.flush(10) == 0


def until(done: Callable[[], bool], story: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, story()
        time.sleep(0.05)


class Sharing:
    """What a member says of itself."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.values: list[int] = []

    def said(self, line: str) -> None:
        if line.startswith("+ "):
            self.held |= set(line[2:].split())
        elif line.startswith("- "):
            self.held -= set(line[2:].split())
        elif line.startswith("= "):
            self.values.append(int(line[2:]))


class Thread(Sharing):
    """confluent-kafka in a thread."""

    def __init__(self, bootstrap: str, group: str, topic: str, **settings: object) -> None:
        super().__init__()
        values = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 200,
            "topic.metadata.refresh.interval.ms": 1000,
        }
        self._consumer = Consumer({**values, **settings})
        self._topic = topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._consumer.subscribe(
            [self._topic],
            on_assign=lambda _, found: self.said("+ " + " ".join(f"{p.topic}-{p.partition}" for p in found)),
            on_revoke=lambda _, found: self.said("- " + " ".join(f"{p.topic}-{p.partition}" for p in found)),
            on_lost=lambda _, found: self.held.clear(),
        )
        while not self._stop.is_set():
            message = self._consumer.poll(0.1)
            if message is not None:
                assert message.error() is None, message.error()
                self.values.append(int(message.value() or b""))
        self._consumer.close()

    def leave(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class Program(Sharing):
    """A member in Java, with kafka-clients 4.4.0."""

    def __init__(self, java: list[str], bootstrap: str, group: str, protocol: str, subscription: str) -> None:
        super().__init__()
        self._process = subprocess.Popen(
            [*java, "GroupMember", bootstrap, group, protocol, subscription],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said(line.strip())

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(20)
        self._reader.join(20)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """How to start GroupMember."""
    *command, classpath = Java().tool("", "")[:-3]
    try:
        clients = jar.find()
    except jar.JarMissing as error:
        absent(str(error))
    classes = tmp_path_factory.mktemp("classes")
    source = Path(__file__).parents[1] / "support/clients/GroupMember.java"
    run(["javac", "-cp", str(clients), "-d", str(classes), str(source)])
    return [*command, f"{classes}:{clients}:{classpath}"]


def everything(*topics: tuple[str, int]) -> set[str]:
    return {f"{topic}-{index}" for topic, count in topics for index in range(count)}


def shared(*members: Sharing, of: set[str]) -> bool:
    held = [partition for member in members for partition in member.held]
    return all(member.held for member in members) and len(held) == len(set(held)) and set(held) == of


def test_librdkafka_shares_leaves_and_follows_a_pattern(bootstrap: str) -> None:
    produce(bootstrap, "orders", range(60))
    orders = everything(("orders", PARTITIONS))
    with Thread(bootstrap, "g", "orders", **{"group.remote.assignor": "range"}) as first:
        with Thread(bootstrap, "g", "^ord.*") as second:
            until(lambda: shared(first, second, of=orders), lambda: (first.held, second.held))
            assert len(first.held) == len(second.held) == 3
            until(
                lambda: sorted(first.values + second.values) == list(range(60)), lambda: (first.values, second.values)
            )
        until(lambda: shared(first, of=orders), lambda: first.held)
        with Thread(bootstrap, "g", "^ord.*") as third:
            until(lambda: shared(first, third, of=orders), lambda: (first.held, third.held))
            make(bootstrap, "ordinals", 2)
            both = everything(("orders", PARTITIONS), ("ordinals", 2))
            until(lambda: shared(first, third, of=both), lambda: (first.held, third.held))
            produce(bootstrap, "ordinals", range(100, 110))
            until(lambda: sorted(third.values) == list(range(100, 110)), lambda: third.values)


@pytest.mark.java
def test_java_members_die_follow_a_pattern_and_are_described(bootstrap: str, java: list[str]) -> None:
    produce(bootstrap, "orders", range(60))
    orders = everything(("orders", PARTITIONS))
    with (
        Program(java, bootstrap, "g", "consumer", "orders") as dies,
        Program(java, bootstrap, "g", "consumer", "ord.*") as lives,
    ):
        until(lambda: shared(dies, lives, of=orders) and len(dies.held) == 3, lambda: (dies.held, lives.held))
        until(lambda: len(dies.values) + len(lives.values) == 60, lambda: (dies.values, lives.values))
        tool = Java().tool
        groups = run(tool("GroupsCommand", bootstrap, "--list")).decode()
        assert [line.split() for line in groups.splitlines()[1:]] == [["g", "Consumer", "consumer"]]
        state = run(
            tool(
                "consumer.group.ConsumerGroupCommand", bootstrap, "--describe", "--group", "g", "--members", "--verbose"
            )
        ).decode()
        rows = [line.split() for line in state.splitlines() if line.startswith("g ")]
        assert len(rows) == 2, state
        assert {row[0] for row in rows} == {"g"}
        dies.end(signal.SIGKILL)
        dies.held.clear()
        until(lambda: shared(lives, of=orders), lambda: lives.held)
        make(bootstrap, "ordinals", 2)
        until(lambda: shared(lives, of=everything(("orders", PARTITIONS), ("ordinals", 2))), lambda: lives.held)


@pytest.mark.java
def test_a_rolling_change_of_protocol_and_back_misses_nothing(bootstrap: str, java: list[str]) -> None:
    """Classic members of Java and confluent-kafka, then one of the consumer protocol, then only classic ones again."""
    orders = everything(("orders", PARTITIONS))
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def type_of() -> str:
        return admin.list_consumer_groups().result(10).valid[0].type.name

    with Program(java, bootstrap, "g", "classic", "orders") as classic:
        until(lambda: shared(classic, of=orders), lambda: classic.held)
        assert type_of() == "CLASSIC"
        produce(bootstrap, "orders", range(20))
        with Thread(bootstrap, "g", "orders") as modern:
            until(lambda: shared(classic, modern, of=orders), lambda: (classic.held, modern.held))
            assert len(classic.held) == len(modern.held) == 3
            assert type_of() == "CONSUMER"
            produce(bootstrap, "orders", range(20, 40))
            until(
                lambda: set(classic.values + modern.values) == set(range(40)), lambda: (classic.values, modern.values)
            )
        until(lambda: type_of() == "CLASSIC" and shared(classic, of=orders), lambda: classic.held)
        produce(bootstrap, "orders", range(40, 50))
        until(lambda: set(classic.values + modern.values) == set(range(50)), lambda: (classic.values, modern.values))
