"""What members of share groups ask, and what they are answered."""

from __future__ import annotations

from typing import Any

from moldau.coordination.events import Event
from moldau.coordination.value import Value

Partitions = dict[bytes, tuple[int, ...]]
"""Topic id to partitions, in order."""


class ShareHeartbeat(Event):
    """ShareGroupHeartbeat: `member_epoch` 0 joins, -1 leaves. `topics` None: as before."""

    __slots__ = ("client_host", "client_id", "member_epoch", "member_id", "rack_id", "topics")

    owner = "share"

    def __init__(
        self,
        group_id: str,
        member_id: str,
        member_epoch: int,
        rack_id: str | None,
        topics: tuple[str, ...] | None,
        client_id: str,
        client_host: str,
        ticket: Any = None,
    ) -> None:
        super().__init__(group_id, ticket)
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.rack_id = rack_id
        self.topics = topics
        self.client_id = client_id
        self.client_host = client_host

    def refused(self, error_code: int) -> ShareReply:
        return ShareReply(error_code)


class ShareReset(Event):
    """An administrator is about to say where the group goes on, which makes one that there is not: it must have no members."""

    __slots__ = ()

    owner = "share"

    def refused(self, error_code: int) -> ShareReply:
        return ShareReply(error_code)


class ShareAssigned(Event):
    """An assignment was computed beside the loop: for the group's epoch `epoch`; None if that failed."""

    __slots__ = ("epoch", "targets")

    owner = "share"

    def __init__(self, group_id: str, epoch: int, targets: dict[str, Partitions] | None) -> None:
        super().__init__(group_id)
        self.epoch = epoch
        self.targets = targets


class ShareReply(Value):
    """`assignment` None: as before."""

    __slots__ = ("assignment", "error_code", "error_message", "heartbeat_interval_ms", "member_epoch", "member_id")

    def __init__(
        self,
        error_code: int,
        error_message: str | None = None,
        member_id: str | None = None,
        member_epoch: int = 0,
        heartbeat_interval_ms: int = 0,
        assignment: Partitions | None = None,
    ) -> None:
        self.error_code = error_code
        self.error_message = error_message
        self.member_id = member_id
        self.member_epoch = member_epoch
        self.heartbeat_interval_ms = heartbeat_interval_ms
        self.assignment = assignment

    def failed(self, error_code: int) -> ShareReply:
        return ShareReply(error_code)


class DescribedShareMember(Value):
    __slots__ = ("assigned", "client_host", "client_id", "member_epoch", "member_id", "rack_id", "topics")

    def __init__(
        self,
        member_id: str,
        rack_id: str | None,
        member_epoch: int,
        client_id: str,
        client_host: str,
        topics: tuple[str, ...],
        assigned: Partitions,
    ) -> None:
        self.member_id = member_id
        self.rack_id = rack_id
        self.member_epoch = member_epoch
        self.client_id = client_id
        self.client_host = client_host
        self.topics = topics
        self.assigned = assigned


class DescribedShareGroup(Value):
    __slots__ = ("assignment_epoch", "assignor", "epoch", "members", "state")

    def __init__(
        self, state: str, epoch: int, assignment_epoch: int, assignor: str, members: list[DescribedShareMember]
    ) -> None:
        self.state = state
        self.epoch = epoch
        self.assignment_epoch = assignment_epoch
        self.assignor = assignor
        self.members = members
