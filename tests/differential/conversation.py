"""A scenario talks to a broker through a `Conversation`, which notes each answer under a label.

A scenario is a function of a conversation and of the version of the API that it is about; it runs once for each version that
both brokers serve, on topics and groups of its own, so that nothing depends on the order of scenarios.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from normal import Normaliser
from routing import RoutedWire, Router
from wire import CLOSED, Closed, Wire

from moldau.protocol import api_keys
from moldau.protocol.message import Message
from moldau.protocol.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from moldau.protocol.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse

Notes = list[list[Any]]  # [label, plain answer]
Answer = Any  # a decoded message; scenarios look into it to go on


class Scenario(NamedTuple):
    name: str
    api_key: int
    run: Callable[[Conversation, int], None]
    needs: tuple[int, ...]
    """APIs other than its own that the scenario uses."""


SCENARIOS: list[Scenario] = []


def scenario(api_key: int, *needs: int) -> Callable[[Callable[[Conversation, int], None]], Callable[..., None]]:
    def add(run: Callable[[Conversation, int], None]) -> Callable[..., None]:
        SCENARIOS.append(
            Scenario(
                run.__name__, api_key, run, (api_keys.METADATA, api_keys.CREATE_TOPICS, api_keys.LIST_OFFSETS, *needs)
            )
        )
        return run

    return add


class Broke(Exception):
    """The broker's answer does not let the scenario go on."""


class Conversation:
    def __init__(self, port: int, prefix: str, pause: float, router: Router | None = None) -> None:
        self.prefix = prefix
        self.notes: Notes = []
        self.normal = Normaliser(prefix)
        self._pause = pause
        self._port = port
        self._router = router
        self._wires: dict[str, Wire | RoutedWire] = {}

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()

    def wire(self, on: str = "") -> Wire | RoutedWire:
        if on not in self._wires:
            self._wires[on] = Wire(self._port) if self._router is None else RoutedWire(self._router)
        return self._wires[on]

    def note(self, label: str, answer: Any) -> None:
        assert all(label != known for known, _ in self.notes), f"two answers with the label {label!r}"
        self.notes.append([label, answer if isinstance(answer, str | dict) else self.normal.plain(answer)])

    def post(self, api_key: int, version: int, body: Message | bytes, *, on: str = "") -> None:
        """Send, without waiting: `take` gives the answer."""
        self.wire(on).send(api_key, version, body)

    def take(self, label: str, *, on: str = "") -> Answer:
        try:
            answer: Answer = self.wire(on).receive()
        except TimeoutError:
            answer = "no answer"
        if isinstance(answer, Closed | str):
            self._wires.pop(on).close()
        self.note(label, str(answer) if isinstance(answer, Closed | str) else answer)
        return answer

    def ask(
        self,
        label: str,
        api_key: int,
        version: int,
        body: Message | bytes,
        *,
        on: str = "",
        answered_as: int | None = None,
    ) -> Answer:
        self.wire(on).send(api_key, version, body, answered_as=answered_as)
        return self.take(label, on=on)

    def quiet(self, api_key: int, version: int, body: Message) -> Answer:
        """Ask without a note: what other scenarios are about."""
        wire = self.wire("side")
        wire.send(api_key, version, body)
        answer = wire.receive()
        if answer is CLOSED:
            raise Broke(f"the broker closed the connection on {api_keys.name(api_key)} {version}")
        return answer

    def topic(self, name: str = "t", partitions: int = 1, **configs: str) -> str:
        """Make a topic of this scenario's own and wait until its partitions have leaders. `_` stands for a dot in keys."""
        full = f"{self.prefix}-{name}"
        # scenarios write records of fixed times long ago
        configs.setdefault("retention_ms", "-1")
        wanted = [CreatableTopicConfig(name=k.replace("_", "."), value=v) for k, v in configs.items()]
        made = CreatableTopic(name=full, num_partitions=partitions, replication_factor=1, configs=wanted)
        if self._router is not None:  # all of it is led there, so that one request may be about several topics
            home = [self._router.node_id]
            made.num_partitions = made.replication_factor = -1
            made.assignments = [
                CreatableReplicaAssignment(partition_index=i, broker_ids=home) for i in range(partitions)
            ]
        answer = self.quiet(api_keys.CREATE_TOPICS, 5, CreateTopicsRequest(topics=[made], timeout_ms=10_000))
        if answer.topics[0].error_code:
            raise Broke(f"creating {full}: error code {answer.topics[0].error_code}")
        if self._router is not None:
            self._router.wait_known(full)
        # Apache Kafka shows a leader a moment before that leader serves
        asked = ListOffsetsTopic(
            name=full, partitions=[ListOffsetsPartition(partition_index=i) for i in range(partitions)]
        )
        body = ListOffsetsRequest(replica_id=-1, topics=[asked])
        for _ in range(500):
            topic = self.metadata(full).topics[0]
            if len(topic.partitions) == partitions and not any(p.error_code for p in topic.partitions):
                answer = self.quiet(api_keys.LIST_OFFSETS, 1, body)
                if not any(p.error_code for t in answer.topics for p in t.partitions):
                    return full
            time.sleep(0.01)
        raise Broke(f"{full} has no leaders")

    def settle(self) -> None:
        """Until a change shows everywhere: Apache Kafka applies metadata some time after it has answered."""
        time.sleep(self._pause)

    def metadata(self, *topics: str) -> MetadataResponse:
        asked = [MetadataRequestTopic(name=t) for t in topics]
        answer = self.quiet(api_keys.METADATA, 12, MetadataRequest(topics=asked, allow_auto_topic_creation=False))
        assert isinstance(answer, MetadataResponse)
        return answer

    def topic_id(self, name: str) -> bytes:
        found = self.metadata(name).topics[0].topic_id
        self.normal.know(found, name)
        return found

    def node(self) -> int:
        return self.metadata().brokers[0].node_id


def play(s: Scenario, port: int, version: int, pause: float, router: Router | None = None) -> Notes:
    """The notes of one scenario in one version; an answer that it cannot go on from ends them with a note of its own."""
    c = Conversation(port, f"{s.name.replace('_', '-')}-{version}", pause, router)
    try:
        s.run(c, version)
    except (Broke, AssertionError, IndexError, AttributeError, TimeoutError) as e:
        c.notes.append(["broke", f"{type(e).__name__}: {e}"])
    finally:
        c.close()
    return c.notes
