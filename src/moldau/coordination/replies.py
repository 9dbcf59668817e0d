"""What a group answers. Error codes are Kafka's, as plain ints."""

from __future__ import annotations

from typing import Any

from moldau.protocol import error_codes

from .events import (
    DeleteGroup,
    Event,
    Heartbeat,
    JoinGroup,
    LeaveGroup,
    OffsetCommit,
    OffsetDelete,
    SyncGroup,
)
from .value import Value


class JoinReply(Value):
    """`members` (leader only): (member id, instance id, metadata of the chosen protocol)."""

    __slots__ = (
        "error_code",
        "generation_id",
        "leader",
        "member_id",
        "members",
        "protocol_name",
        "protocol_type",
        "skip_assignment",
    )

    def __init__(
        self,
        error_code: int,
        member_id: str,
        generation_id: int = -1,
        protocol_type: str | None = None,
        protocol_name: str | None = None,
        leader: str = "",
        members: list[tuple[str, str | None, bytes]] | None = None,
        skip_assignment: bool = False,
    ) -> None:
        self.error_code = error_code
        self.member_id = member_id
        self.generation_id = generation_id
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.leader = leader
        self.members = members or []
        self.skip_assignment = skip_assignment

    def failed(self, error_code: int) -> JoinReply:
        return JoinReply(error_code, self.member_id)


class SyncReply(Value):
    __slots__ = ("assignment", "error_code", "protocol_name", "protocol_type")

    def __init__(
        self,
        error_code: int,
        assignment: bytes = b"",
        protocol_type: str | None = None,
        protocol_name: str | None = None,
    ) -> None:
        self.error_code = error_code
        self.assignment = assignment
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name

    def failed(self, error_code: int) -> SyncReply:
        return SyncReply(error_code)


class LeaveReply(Value):
    """`members`: (member id, instance id, error code) in the order of the request."""

    __slots__ = ("error_code", "members")

    def __init__(self, error_code: int, members: list[tuple[str, str | None, int]]) -> None:
        self.error_code = error_code
        self.members = members

    def failed(self, error_code: int) -> LeaveReply:
        return LeaveReply(error_code, [])


class OffsetDeleteReply(Value):
    """`errors`: one code for each of the request's partitions; empty when `error_code` refuses the whole."""

    __slots__ = ("error_code", "errors")

    def __init__(self, error_code: int, errors: list[int]) -> None:
        self.error_code = error_code
        self.errors = errors

    def failed(self, error_code: int) -> OffsetDeleteReply:
        return OffsetDeleteReply(error_code, [])


def failed(reply: Any, error_code: int) -> Any:
    """The same kind of reply (an object, an error code, or a list of them), saying `error_code` where it had said
    success.

    What a reply has already refused stays refused for the reason it gives.
    """
    if isinstance(reply, int):
        return reply or error_code
    if isinstance(reply, list):
        return [code or error_code for code in reply]
    return reply.failed(error_code) if reply.error_code == error_codes.NONE else reply


def refusal(event: Event, error_code: int) -> Any:
    """The reply to an event that nobody looked at."""
    match event:
        case JoinGroup():
            return JoinReply(error_code, event.member_id)
        case SyncGroup():
            return SyncReply(error_code)
        case Heartbeat() | DeleteGroup():
            return error_code
        case LeaveGroup():
            return LeaveReply(error_code, [])
        case OffsetCommit():
            return [error_code] * len(event.offsets)
        case OffsetDelete():
            return OffsetDeleteReply(error_code, [])
    return event.refused(error_code)
