"""Groups whose members are different programs: they join, leave by SIGTERM and die by kill -9, and no record is missed.

Every member is a process (`support.clients.member`, kcat, Java's console consumer) that prints what it reads before it commits.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, NewTopic
from support.clients.aio import AioKafka
from support.clients.confluent import Confluent
from support.clients.java import Java
from support.clients.kafka_python import KafkaPython
from support.clients.kcat import Kcat
from support.clients.port import Client

from moldau.broker.options import Options
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(120)]

PARTITIONS = 12
_RECORD = re.compile(r"(?:Partition:)?(\d+)\s(?:Offset:)?(\d+)\s(\S+)$")


class Member:
    """A running member and what it has said so far."""

    def __init__(self, client: Client, bootstrap: str, group: str, assignors: list[str]) -> None:
        self.name = client.name
        self.values: list[int] = []
        self.moves: list[tuple[str, set[int]]] = []  # ("+", assigned), ("-", revoked), as far as the program tells
        self.rest: list[str] = []
        self._process = subprocess.Popen(
            client.member(bootstrap, group, "t", assignors),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := _RECORD.match(line):
                self.values.append(int(match[3]))
            elif line[:2] in ("+ ", "- "):
                self.moves.append((line[0], {int(each) for each in line[2:].split(",") if each.strip()}))
            else:
                self.rest.append(line)

    def end(self, number: signal.Signals) -> int:
        """Its exit status once it is gone."""
        self._process.send_signal(number)
        status = self._process.wait(20)
        self._reader.join(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return status

    def leave(self) -> None:
        """SIGTERM: it commits and leaves the group."""
        status = self.end(signal.SIGTERM)
        assert status in (0, 143, -signal.SIGTERM), f"{self.name} ended with {status}: {self.rest[-20:]}"

    def die(self) -> None:
        self.end(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def assigned(self) -> set[int]:
        held: set[int] = set()
        for sign, partitions in list(self.moves):
            held = held | partitions if sign == "+" else held - partitions
        return held


class Feed:
    """Numbers 0, 1, 2, ... into the topic, a few hundred a second, until it is stopped."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, "enable.idempotence": True})
        self._stop = threading.Event()
        self._paused = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            if self._paused.is_set():
                self._producer.flush(1)
                continue
            for _ in range(10):
                self._producer.produce("t", value=str(self.sent), partition=self.sent % PARTITIONS)
                self.sent += 1
            self._producer.poll(0)

    def pause(self) -> None:
        self._paused.set()

    def resume(self) -> None:
        self._paused.clear()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert self._producer.flush(20) == 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()


class Group:
    """What the broker says of the group, and its members by hand."""

    def __init__(self, bootstrap: str, name: str, stack: ExitStack) -> None:
        self.bootstrap, self.name = bootstrap, name
        self.members: list[Member] = []
        self._admin = AdminClient({"bootstrap.servers": bootstrap})
        stack.callback(self.clean)

    def join(self, client: Client, *assignors: str) -> Member:
        member = Member(client, self.bootstrap, self.name, list(assignors))
        self.members.append(member)
        return member

    def describe(self) -> ConsumerGroupDescription:
        return self._admin.describe_consumer_groups([self.name])[self.name].result(10)

    def shares(self) -> list[set[int]]:
        """Partitions of each member, when the group is stable and has a coordinator that has loaded it; else nothing."""
        try:
            said = self.describe()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.COORDINATOR_LOAD_IN_PROGRESS:
                raise
            return []
        if said.state.name != "STABLE":
            return []
        return [{tp.partition for tp in member.assignment.topic_partitions} for member in said.members]

    def settle(self, members: int, seconds: float = 40) -> None:
        """Until so many members are stable, share all partitions between them, and none holds one that another holds."""

        def settled() -> bool:
            shares = self.shares()
            return (
                len(shares) == members
                and all(shares)
                and set().union(*shares) == set(range(PARTITIONS))
                and sum(map(len, shares)) == PARTITIONS
            )

        self.until(settled, seconds)

    def until(self, done: Callable[[], bool], seconds: float, more: Callable[[], object] = str) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            story = [(member.name, member.running, member.moves, member.rest[-5:]) for member in self.members]
            assert time.monotonic() < deadline, (more(), self.describe().state, self.shares(), story)
            time.sleep(0.1)

    def catch_up(self, feed: Feed) -> None:
        """Until the members have read all that was sent."""
        self.until(
            lambda: self.seen() == set(range(feed.sent)), 40, lambda: sorted(set(range(feed.sent)) - self.seen())
        )

    def seen(self) -> set[int]:
        return {value for member in self.members for value in list(member.values)}

    def committed(self) -> dict[int, int]:
        found = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(self.name)])[self.name].result(10)
        return {each.partition: each.offset for each in found.topic_partitions}

    def clean(self) -> None:
        for member in self.members:
            if member.running:
                member.die()


@pytest.fixture(scope="module")
def java() -> Java:
    return Java()


@pytest.fixture
def bootstrap() -> Iterator[str]:
    options = Options()
    options.group_initial_rebalance_delay_ms = 0
    with BrokerThread(options) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", PARTITIONS, 1)])["t"].result(10)
        yield broker.bootstrap


def finish(group: Group, feed: Feed) -> None:
    """All that was sent was read, and all of it is committed once the members have left."""
    feed.stop()
    group.catch_up(feed)
    for member in group.members:
        if member.running:
            member.leave()
    assert group.describe().state.name == "EMPTY"
    assert group.committed() == {p: len(range(p, feed.sent, PARTITIONS)) for p in range(PARTITIONS)}


@pytest.mark.kcat
def test_five_programs_with_mixed_assignors_share_join_leave_and_die(bootstrap: str, java: Java) -> None:
    with ExitStack() as stack:
        group = Group(bootstrap, "mixed", stack)
        feed = stack.enter_context(Feed(bootstrap))
        # only roundrobin is known to all of them
        group.join(Confluent(), "range", "roundrobin")
        dying = group.join(AioKafka(), "roundrobin")
        group.join(KafkaPython(), "range", "roundrobin")
        group.settle(3)
        leaving = group.join(Kcat(), "roundrobin", "range")
        group.join(java, "range", "roundrobin")
        group.settle(5)
        assert group.describe().partition_assignor == "roundrobin"
        group.until(lambda: all(member.values for member in group.members), 20)
        # kcat commits, but does not print, a record that it gets after SIGTERM: let none come
        feed.pause()
        group.catch_up(feed)
        leaving.leave()
        feed.resume()
        group.settle(4)
        dying.die()
        group.settle(3)  # after its session
        group.join(KafkaPython(), "roundrobin")
        group.settle(4)
        finish(group, feed)


def test_cooperative_members_keep_what_they_have(bootstrap: str, java: Java) -> None:
    with ExitStack() as stack:
        group = Group(bootstrap, "cooperative", stack)
        feed = stack.enter_context(Feed(bootstrap))
        first = group.join(Confluent(), "cooperative-sticky")
        group.settle(1)
        second = group.join(KafkaPython(), "cooperative-sticky")
        group.settle(2)
        dying = group.join(java, "cooperative-sticky")
        group.settle(3)
        # four partitions each; nobody gave up more than moved away
        group.until(lambda: len(first.assigned) == len(second.assigned) == 4, 10)
        revoked = [partitions for sign, partitions in first.moves if sign == "-"]
        assert sum(map(len, revoked)) == 8
        kept = first.assigned | second.assigned
        moves = len(first.moves), len(second.moves)
        group.until(lambda: bool(dying.values), 20)
        dying.die()
        group.settle(2)
        group.until(lambda: len(first.assigned) == len(second.assigned) == 6, 10)
        later = [move for member, n in zip((first, second), moves, strict=True) for move in member.moves[n:]]
        assert not [partitions for sign, partitions in later if sign == "-" and partitions], (kept, later)
        finish(group, feed)
