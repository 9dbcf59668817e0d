"""Kill -9 right before and right after each change of a transaction: the state is one of the two that are legal, and the client's next try is answered as the first one
would have been. On one broker, and on two that share PostgreSQL, where the other one is asked again.

A producer of version 2, request by request, so that it is known what is asked when. At the end all is as if nothing had happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from support import txn_requests
from support.cluster import Brokers, Cluster, Single
from support.talker import LATEST, Gone, Talker, records_of

from moldau.protocol import error_codes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ID, TOPIC, GROUP = "t", "topic", "group"
AGAIN = {
    error_codes.NOT_LEADER_OR_FOLLOWER,
    error_codes.NOT_COORDINATOR,
    error_codes.COORDINATOR_NOT_AVAILABLE,
    error_codes.COORDINATOR_LOAD_IN_PROGRESS,
    error_codes.UNKNOWN_TOPIC_OR_PARTITION,
    error_codes.KAFKA_STORAGE_ERROR,
}
BEFORE, AFTER = "transactions.change", "transactions.changed"
SECONDS = 30.0


class Client:
    """Asks the brokers in turn until one answers. The first one has a fault armed, and is started again with the next one of `plan`."""

    def __init__(self, cluster: Brokers, version: int, plan: list[str]) -> None:
        self.cluster = cluster
        self.version = version
        self.plan = plan
        self.kills = 0
        self.producer = (-1, -1)
        self.answers: list[Any] = []
        self._wires: dict[int, Talker] = {}

    def arm(self) -> None:
        """Start the first broker with the next fault of the plan. Alone, it first answers what was under way when it was killed after a change."""
        node = self.cluster.nodes[1]
        if node.running:
            node.stop()
        self._wires.clear()
        answers = len(self.cluster.nodes) == 1 and self.kills and self.plan[self.kills - 1] == AFTER
        more = self.kills < len(self.plan)
        node._env["MOLDAU_FAULTS"] = f"{self.plan[self.kills]}=kill:{2 if answers else 1}" if more else ""
        node.start()

    def ask(self, asked: txn_requests.Asked) -> Any:
        """The answer; the error code is written down."""
        answer = self.look(asked)
        self.answers.append(asked.code(answer))
        return answer

    def look(self, asked: txn_requests.Asked) -> Any:
        """The answer."""
        deadline = time.monotonic() + SECONDS
        while True:
            for number, node in self.cluster.nodes.items():
                try:
                    if number not in self._wires:
                        self._wires[number] = Talker(node.address, 10)
                    answer = self._wires[number].call(asked.key, asked.version, asked.request)
                except (Gone, OSError):
                    self._wires.pop(number, None)
                    if number == 1 and self.kills < len(self.plan) and node._process is not None:
                        assert node._ended(10) == -9
                        self.kills += 1
                        if len(self.cluster.nodes) == 1:
                            self.arm()
                    continue
                if asked.code(answer) not in AGAIN:
                    return answer
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.05)

    # -- requests -----------------------------------------------------------------------------------------------------

    def init(self) -> None:
        answer = self.ask(txn_requests.init(ID))
        self.producer = answer.producer_id, answer.producer_epoch

    def add(self, partition: int) -> None:
        if self.version == 1:
            self.ask(txn_requests.add(ID, self.producer, TOPIC, partition))

    def produce(self, partition: int, value: bytes) -> None:
        answer = self.ask(txn_requests.produce(ID, self.producer, TOPIC, partition, value, version=self.version))
        assert answer.responses[0].partition_responses[0].base_offset == 0

    def offsets(self, offset: int) -> None:
        if self.version == 1:
            self.ask(txn_requests.add_offsets(ID, self.producer, GROUP))
        self.ask(txn_requests.offsets(ID, self.producer, GROUP, TOPIC, 0, offset, version=self.version))

    def end(self, commit: bool) -> None:
        answer = self.ask(txn_requests.end(ID, self.producer, commit=commit, version=self.version))
        if self.version == 2:
            assert (answer.producer_id, answer.producer_epoch) == (self.producer[0], self.producer[1] + 1)
            self.producer = answer.producer_id, answer.producer_epoch

    def state(self) -> Any:
        return self.look(txn_requests.describe(ID)).transaction_states[0]


STEPS: list[tuple[Callable[[Client], None], str]] = [
    (lambda it: it.init(), "Empty"),
    (lambda it: it.add(0), "Ongoing"),
    (lambda it: it.produce(0, b"one"), "Ongoing"),
    (lambda it: it.offsets(7), "Ongoing"),
    (lambda it: it.end(True), "CompleteCommit"),
    (lambda it: it.add(1), "Ongoing"),
    (lambda it: it.produce(1, b"two"), "Ongoing"),
    (lambda it: it.offsets(8), "Ongoing"),
    (lambda it: it.end(False), "CompleteAbort"),
]


def story(cluster: Brokers, version: int, plan: list[str], *, rearm: bool = False) -> Client:
    """All steps; with `rearm` the first broker comes back before each of them, if there is a fault left."""
    with Talker(cluster.address(1)) as wire:
        assert wire.create_topic(TOPIC, 2) == 0
    client = Client(cluster, version, plan)
    client.arm()
    for step, state in STEPS:
        if rearm and client.kills and client.kills < len(plan) and not cluster.nodes[1].running:
            client.arm()
        before = len(client.answers)
        step(client)
        if len(client.answers) > before:  # in version 2 there is nothing to add
            assert client.state().transaction_state == state
    cluster.nodes[1]._env["MOLDAU_FAULTS"] = ""
    cluster.heal()
    return client


def check(cluster: Brokers, client: Client) -> None:
    for node in cluster.nodes.values():
        with Talker(node.address) as wire:
            for partition, values in ((0, [b"one"]), (1, [])):
                found = wire.fetch(TOPIC, partition, 0, committed=True)
                if found.error_code == error_codes.NOT_LEADER_OR_FOLLOWER:
                    continue
                aborted = {each.producer_id for each in found.aborted_transactions or []}
                assert aborted == (set() if values else {client.producer[0]})
                data = [each.value for each in records_of(found.records) if each.value in (b"one", b"two")]
                assert data == (values or [b"two"])
                assert found.last_stable_offset == found.high_watermark == 2
                assert wire.offset(TOPIC, partition, LATEST) == 2
    assert client.state().topics == []


def committed(cluster: Brokers) -> int:
    deadline = time.monotonic() + SECONDS
    while True:
        for node in cluster.nodes.values():
            with Talker(node.address) as wire:
                answer = wire.fetch_offset(GROUP, TOPIC, 0)
            if answer.error_code == 0 and answer.topics[0].partitions[0].error_code == 0:
                return int(answer.topics[0].partitions[0].committed_offset)
        assert time.monotonic() < deadline
        time.sleep(0.05)


REQUESTS = {1: 11, 2: 7}
"""Of a whole story."""
CHANGES = 7
"""Of which so many ask for a change: in version 1 a batch of a partition that was added, and AddOffsetsToTxn behind that, need none."""


@pytest.mark.parametrize("version", [1, 2])
def test_one_broker_is_killed_around_each_change(version: int) -> None:
    """Every request that changes the transaction is asked twice: it is done, and nobody hears of it; then it is answered."""
    plan = [BEFORE, *[AFTER] * CHANGES] if version == 2 else [AFTER] * CHANGES
    with Single() as cluster:
        client = story(cluster, version, plan)
        assert client.kills == len(plan)
        assert client.answers == [0] * REQUESTS[version]
        check(cluster, client)
        assert committed(cluster) == 7


def test_of_two_brokers_one_is_killed_and_the_other_is_asked() -> None:
    with Cluster(2, "file") as cluster:
        client = story(cluster, 2, [AFTER, BEFORE, AFTER], rearm=True)
        assert client.kills == 3
        assert client.answers == [0] * REQUESTS[2]
        check(cluster, client)
        assert committed(cluster) == 7
