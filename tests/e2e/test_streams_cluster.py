"""A Kafka Streams application at three brokers, of which the coordinator of its group is killed while it counts: it counts what a batch counts,
and every thread keeps its tasks.

The values are the carriers of real flights; the application counts exactly once, and who looks reads what is committed.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clients.java import Java
from support.direct import Direct
from support.flights import flights
from support.kafka_streams import Counts
from support.talker import Talker
from test_kafka_streams import QUICK, Batch

from moldau.protocol import api_keys
from moldau.protocol.messages import streams_group_describe as describe

pytestmark = [pytest.mark.slow, pytest.mark.java, pytest.mark.timeout(240)]

# a member that a busy machine keeps silent for a while is not out, so that tasks have no reason to move
SETTINGS = {**dict(each.split("=") for each in QUICK), "group.streams.session.timeout.ms": "30000"}
LEASE_SECONDS = 5.0
STEP = 200
TASKS = sorted(f"{part}:{partition}" for part in range(2) for partition in range(4))
APPLICATION = {"num.stream.threads": "2", "processing.guarantee": "exactly_once_v2", "transaction.timeout.ms": "20000"}
MEMBERS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Direct]:
    with Direct(3, **SETTINGS) as brokers:
        yield brokers


class Feed:
    """Writes the batch, a few thousand records a second, until it is stopped."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0
        self.longest = 0.0
        """Seconds of the slowest step. None may fail."""
        self.errors: list[BaseException] = []

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            began = time.monotonic()
            try:
                self._batch.write(STEP)
            except AssertionError as e:
                self.errors.append(e)
                return
            self.longest = max(self.longest, time.monotonic() - began)
            self.written += STEP

    def grow(self, count: int) -> None:
        """Wait until so many more are written."""
        wanted, end = self.written + count, time.monotonic() + 30
        while self.written < wanted and not self.errors:
            assert time.monotonic() < end, self.written
            time.sleep(0.02)


def coordinator(cluster: Direct) -> int:
    """Of the application's group, as a broker says that runs; -1 while there is none."""
    alive = next(node_id for node_id, node in cluster.nodes.items() if node.running)
    with Talker(cluster.address(alive)) as wire:
        return wire.coordinator("counts")


def tasks_of_members(cluster: Direct) -> dict[str, list[str]]:
    """The active tasks of each member as the coordinator of the group tells them, once each has two."""
    end = time.monotonic() + LEASE_SECONDS + 15
    request = describe.StreamsGroupDescribeRequest(group_ids=["counts"])
    found = None
    while time.monotonic() < end:
        node = cluster.nodes.get(coordinator(cluster))
        if node is not None and node.running:
            with Talker(node.address) as wire:
                (found,) = wire.call(api_keys.STREAMS_GROUP_DESCRIBE, 1, request).groups
            held = {member.member_id: active(member) for member in found.members}
            if [len(tasks) for tasks in held.values()] == [2] * MEMBERS:
                assert sorted(itertools.chain(*held.values())) == TASKS
                return held
        time.sleep(0.1)
    raise AssertionError(found)


def active(member: describe.Member) -> list[str]:
    return [
        f"{task.subtopology_id}:{partition}" for task in member.assignment.active_tasks for partition in task.partitions
    ]


def test_counts_are_right_when_the_coordinator_of_the_group_is_killed_twice(cluster: Direct, tmp_path: Path) -> None:
    java = Java()
    batch = Batch(cluster.bootstrap, (carrier for carrier, _ in flights()))
    batch.write(STEP)
    one = Counts(java, cluster.bootstrap, "in", "out", tmp_path / "one", **APPLICATION)
    two = Counts(java, cluster.bootstrap, "in", "out", tmp_path / "two", **APPLICATION)
    batch.wait()
    before = tasks_of_members(cluster)
    with Feed(batch) as feed:
        feed.grow(2_000)
        for _ in range(2):
            killed = coordinator(cluster)
            began = time.monotonic()
            cluster.kill(killed)
            assert tasks_of_members(cluster) == before, "tasks moved"
            took = time.monotonic() - began
            assert coordinator(cluster) != killed
            feed.grow(4_000)
            cluster.start(killed)
            print(f"broker {killed} coordinated the group; {took:.1f} s later another does")
    assert not feed.errors
    batch.wait()
    assert tasks_of_members(cluster) == before, "tasks moved"
    assert not batch.again
    assert [one.states[-1], two.states[-1]] == ["RUNNING", "RUNNING"]
    assert (one.close(), two.close()) == (0, 0)
    batch.consumer.close()
    print(f"{sum(batch.wanted.values())} records, slowest step of the producer {feed.longest:.1f} s")
