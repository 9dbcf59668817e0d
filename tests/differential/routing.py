"""Where there are several brokers: each request goes where clients take it, to the leader of its first partition or the coordinator of its first group."""

from __future__ import annotations

import time
from typing import Any

from wire import Closed, Wire

from moldau.protocol import api_keys as k
from moldau.protocol.message import Message
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponseTopic

OF_PARTITIONS = frozenset(
    [
        k.PRODUCE,
        k.FETCH,
        k.LIST_OFFSETS,
        k.OFFSET_FOR_LEADER_EPOCH,
        k.DELETE_RECORDS,
        k.DESCRIBE_PRODUCERS,
        k.SHARE_FETCH,
        k.SHARE_ACKNOWLEDGE,
    ]
)
OF_GROUPS = frozenset(
    [
        k.OFFSET_COMMIT,
        k.OFFSET_FETCH,
        k.JOIN_GROUP,
        k.HEARTBEAT,
        k.LEAVE_GROUP,
        k.SYNC_GROUP,
        k.DESCRIBE_GROUPS,
        k.DELETE_GROUPS,
        k.OFFSET_DELETE,
        k.TXN_OFFSET_COMMIT,
        k.STREAMS_GROUP_HEARTBEAT,
        k.STREAMS_GROUP_DESCRIBE,
        k.CONSUMER_GROUP_HEARTBEAT,
        k.CONSUMER_GROUP_DESCRIBE,
        k.SHARE_GROUP_HEARTBEAT,
        k.SHARE_GROUP_DESCRIBE,
        k.DESCRIBE_SHARE_GROUP_OFFSETS,
        k.ALTER_SHARE_GROUP_OFFSETS,
        k.DELETE_SHARE_GROUP_OFFSETS,
    ]
)


class Router:
    """Asks the broker at `port` where requests go. Answers are not kept: topics come and go."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._wire = Wire(port)

    def close(self) -> None:
        self._wire.close()

    def port_of(self, api_key: int, body: Message | bytes) -> int:
        if isinstance(body, Message):
            if api_key in OF_PARTITIONS:
                return self._leader(body)
            if api_key in OF_GROUPS:
                return self._coordinator(body)
        return self.port

    @property
    def node_id(self) -> int:
        """Of the broker at `port`."""
        answer = self._ask(k.METADATA, 12, MetadataRequest(topics=[]))
        return next(int(broker.node_id) for broker in answer.brokers if broker.port == self.port)

    def wait_known(self, topic: str) -> None:
        """Until all brokers know the topic by its id: one of the same name may have been there."""
        found, ports = self._topic(name=topic)
        for port in ports.values():
            other = Router(port)
            while other._topic(name=topic)[0].topic_id != found.topic_id:
                time.sleep(0.002)
            other.close()

    def _ask(self, api_key: int, version: int, body: Message) -> Any:
        self._wire.send(api_key, version, body)
        return self._wire.receive()

    def _topic(self, **which: Any) -> tuple[MetadataResponseTopic, dict[int, int]]:
        """The topic, and the ports of all brokers."""
        body = MetadataRequest(topics=[MetadataRequestTopic(**which)], allow_auto_topic_creation=False)
        answer = self._ask(k.METADATA, 12, body)
        return answer.topics[0], {broker.node_id: broker.port for broker in answer.brokers}

    def _leader(self, body: Any) -> int:
        for topic in getattr(body, "topic_data", None) or getattr(body, "topics", None) or []:
            name = getattr(topic, "name", "") or getattr(topic, "topic", "")
            topic_id = getattr(topic, "topic_id", bytes(16))
            found, ports = self._topic(name=name) if name else self._topic(name=None, topic_id=topic_id)
            leaders = {partition.partition_index: partition.leader_id for partition in found.partitions}
            wanted = getattr(topic, "partition_data", None) or getattr(topic, "partitions", None)
            wanted = wanted or getattr(topic, "partition_indexes", None) or []
            for each in wanted:
                named = [getattr(each, field, None) for field in ("partition", "partition_index", "index")]
                index = each if isinstance(each, int) else next((n for n in named if n is not None), -1)
                if index in leaders:
                    return ports[leaders[index]]
        return self.port

    def _coordinator(self, body: Any) -> int:
        groups = [getattr(body, "group_id", "")] + [getattr(g, "group_id", g) for g in getattr(body, "groups", [])]
        groups += getattr(body, "groups_names", []) + getattr(body, "group_ids", [])
        group = next((group for group in groups if group), "")
        answer = self._ask(k.FIND_COORDINATOR, 3, FindCoordinatorRequest(key=group, key_type=0))
        return int(answer.port) if answer.error_code == 0 else self.port


class RoutedWire:
    """A `Wire` to all brokers. Frames that are no message go to the first."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._wires = {router.port: Wire(router.port)}
        self._order: list[Wire] = []

    def close(self) -> None:
        for wire in self._wires.values():
            wire.close()

    def send(self, api_key: int, version: int, body: Message | bytes, *, answered_as: int | None = None) -> None:
        port = self._router.port_of(api_key, body)
        if port not in self._wires:
            self._wires[port] = Wire(port)
        self._wires[port].send(api_key, version, body, answered_as=answered_as)
        self._order.append(self._wires[port])

    def receive(self) -> Message | Closed:
        return self._order.pop(0).receive()

    def unanswered(self) -> None:
        self._order.pop().unanswered()

    def send_frame(self, raw: bytes, size: int | None = None) -> None:
        self._wires[self._router.port].send_frame(raw, size)

    def receive_frame(self) -> bytes | Closed:
        wire = self._order.pop(0) if self._order else self._wires[self._router.port]
        return wire.receive_frame()
