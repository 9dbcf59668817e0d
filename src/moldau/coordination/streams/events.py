"""What members of streams groups say, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moldau.coordination.events import Event
from moldau.coordination.value import Value
from moldau.protocol.error_codes import NONE

from .endpoints import Endpoint, EndpointPartitions
from .status import Status
from .tasks import Assignment, TaskId
from .topology import InternalTopic, Topology

JOINING: Final = 0
LEAVING: Final = -1
LEAVING_FOR_A_WHILE: Final = -2
"""A static member goes and will be back within its session timeout."""


class StreamsHeartbeat(Event):
    """A member joins, goes on, or leaves, by its `member_epoch`. What is None has not changed since the last one.

    `describes`: it can be asked for a description of its topology. `owned`: the tasks that it runs now. `topology`: given when it joins. `offsets` and `end_offsets`: how far its tasks' state is, and
    how far it could be.
    """

    __slots__ = (
        "client_host",
        "client_id",
        "client_tags",
        "describes",
        "end_offsets",
        "endpoint",
        "endpoint_epoch",
        "instance_id",
        "member_epoch",
        "member_id",
        "offsets",
        "owned",
        "process_id",
        "rack_id",
        "rebalance_timeout_ms",
        "shutdown_application",
        "topology",
    )

    owner = "streams"

    def __init__(
        self,
        group_id: str,
        member_id: str,
        member_epoch: int,
        *,
        instance_id: str | None = None,
        rack_id: str | None = None,
        rebalance_timeout_ms: int = -1,
        topology: Topology | None = None,
        owned: Assignment | None = None,
        process_id: str | None = None,
        endpoint: Endpoint | None = None,
        client_tags: Mapping[str, str] | None = None,
        offsets: Mapping[TaskId, int] | None = None,
        end_offsets: Mapping[TaskId, int] | None = None,
        shutdown_application: bool = False,
        endpoint_epoch: int = 0,
        describes: bool = False,
        client_id: str = "",
        client_host: str = "",
        ticket: Any = None,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.instance_id = instance_id
        self.rack_id = rack_id
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.topology = topology
        self.owned = owned
        self.process_id = process_id
        self.endpoint = endpoint
        self.client_tags = client_tags
        self.offsets = offsets
        self.end_offsets = end_offsets
        self.shutdown_application = shutdown_application
        self.endpoint_epoch = endpoint_epoch
        self.describes = describes
        self.client_id = client_id
        self.client_host = client_host
        self.ticket = ticket

    def refused(self, error_code: int) -> StreamsReply:
        return StreamsReply(error_code)


class TopologyDescription(Event):
    """A member sends the description of its topology: opaque bytes, for those who ask what the application looks like. The reply is a `StreamsReply`."""

    __slots__ = ("description", "member_id", "topology_epoch")

    owner = "streams"

    def __init__(
        self, group_id: str, member_id: str, topology_epoch: int, description: bytes, ticket: Any = None
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.topology_epoch = topology_epoch
        self.description = description
        self.ticket = ticket

    def refused(self, error_code: int) -> StreamsReply:
        return StreamsReply(error_code)


class StreamsReply(Value):
    """`assignment` None: as before. `endpoints` None: the member knows them already. `missing`: internal topics that somebody must create.
    `asks_for_description`: the member shall send a `TopologyDescription`.
    """

    __slots__ = (
        "asks_for_description",
        "assignment",
        "endpoint_epoch",
        "endpoints",
        "error_code",
        "error_message",
        "heartbeat_interval_ms",
        "member_epoch",
        "member_id",
        "missing",
        "status",
        "task_offset_interval_ms",
    )

    def __init__(
        self,
        error_code: int,
        error_message: str | None = None,
        *,
        member_id: str = "",
        member_epoch: int = 0,
        heartbeat_interval_ms: int = 0,
        task_offset_interval_ms: int = 0,
        status: list[Status] | None = None,
        assignment: Assignment | None = None,
        endpoint_epoch: int = 0,
        endpoints: list[EndpointPartitions] | None = None,
        missing: tuple[InternalTopic, ...] = (),
        asks_for_description: bool = False,
    ) -> None:
        self.error_code = error_code
        self.error_message = error_message
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.heartbeat_interval_ms = heartbeat_interval_ms
        self.task_offset_interval_ms = task_offset_interval_ms
        self.status = status or []
        self.assignment = assignment
        self.endpoint_epoch = endpoint_epoch
        self.endpoints = endpoints
        self.missing = missing
        self.asks_for_description = asks_for_description

    def failed(self, error_code: int) -> StreamsReply:
        return self if self.error_code != NONE else StreamsReply(error_code)


class Refused(Exception):
    """The heartbeat is answered with an error and changes nothing."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
