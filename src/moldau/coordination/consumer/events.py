"""What happens to consumer groups alone, and what they answer."""

from __future__ import annotations

from typing import Any

from moldau.coordination.events import Event
from moldau.coordination.value import Value

Partitions = dict[bytes, frozenset[int]]
"""Topic id to partitions."""


class ConsumerHeartbeat(Event):
    """A member joins (epoch 0), is alive, leaves (-1) or, a static one, leaves for a while (-2).

    None (and -1 of the rebalance timeout) stands for what has not changed since the member's last heartbeat. `new_member_id` is the id that
    a member of version 0 gets when it comes without one. `owned` are the partitions that the member has now.
    """

    __slots__ = (
        "assignor",
        "client_host",
        "client_id",
        "instance_id",
        "member_epoch",
        "member_id",
        "new_member_id",
        "owned",
        "rack_id",
        "rebalance_timeout_ms",
        "regex",
        "topics",
        "version",
    )

    owner = "consumer"

    def __init__(
        self,
        group_id: str,
        member_id: str,
        member_epoch: int,
        *,
        instance_id: str | None = None,
        rack_id: str | None = None,
        rebalance_timeout_ms: int = -1,
        topics: list[str] | None = None,
        regex: str | None = None,
        assignor: str | None = None,
        owned: Partitions | None = None,
        client_id: str = "",
        client_host: str = "",
        new_member_id: str = "",
        version: int = 1,
        ticket: Any = None,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.instance_id = instance_id
        self.rack_id = rack_id
        self.rebalance_timeout_ms = rebalance_timeout_ms
        self.topics = topics
        self.regex = regex
        self.assignor = assignor
        self.owned = owned
        self.client_id = client_id
        self.client_host = client_host
        self.new_member_id = new_member_id
        self.version = version
        self.ticket = ticket
        self.repeat = None

    def refused(self, error_code: int) -> ConsumerHeartbeatReply:
        return ConsumerHeartbeatReply(error_code)


class ConsumerHeartbeatReply(Value):
    """`assigned` is None when nothing is said of it: it is what it was."""

    __slots__ = ("assigned", "error_code", "error_message", "heartbeat_interval_ms", "member_epoch", "member_id")

    def __init__(
        self,
        error_code: int,
        member_id: str | None = None,
        member_epoch: int = 0,
        heartbeat_interval_ms: int = 0,
        assigned: Partitions | None = None,
        error_message: str | None = None,
    ) -> None:
        self.error_code = error_code
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.heartbeat_interval_ms = heartbeat_interval_ms
        self.assigned = assigned
        self.error_message = error_message

    def failed(self, error_code: int) -> ConsumerHeartbeatReply:
        return ConsumerHeartbeatReply(error_code)


class AssignmentComputed(Event):
    """A thread has computed the target of the members that there were in `epoch`; or it could not. No ticket, no reply."""

    __slots__ = ("epoch", "problem", "targets")

    owner = "consumer"

    def __init__(
        self, group_id: str, epoch: int, targets: dict[str, Partitions] | None, problem: Exception | None
    ) -> None:
        self.group_id = group_id
        self.epoch = epoch
        self.targets = targets
        self.problem = problem
        self.ticket = None
