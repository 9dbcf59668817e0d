"""What may happen to a group: requests of its members and of administrators, and the passing of time.

Domain terms, not wire classes: the API handlers translate, and turn request versions into the flags that matter here.
Each event carries a `ticket`, whatever the runtime wants back beside the reply (a future; in tests a name). Every
ticket is answered once: at once, or later when the event is parked, as JoinGroup and SyncGroup are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from moldau.metadata.rows_groups import OffsetKey

from .value import Value


class Event(Value):
    """`repeat`, of those that have it, is set by the runtime when the event has changed nothing: a call takes the very same event once more, or says
    False, and then it has to be asked.
    """

    __slots__ = ("group_id", "repeat", "ticket")
    repeat: Callable[[], bool] | None

    owner: ClassVar[str] = ""
    """The type of group that alone understands it, as `moldau.coordination.types` names it."""

    def __init__(self, group_id: str, ticket: Any = None) -> None:
        self.group_id = group_id
        self.ticket = ticket
        self.repeat = None

    def refused(self, error_code: int) -> Any:
        """The reply when nobody looked at the event. Those of `moldau.coordination.replies.refusal` need none."""
        raise TypeError(f"{type(self).__name__} has no reply")


class JoinGroup(Event):
    """A member wants to be part of the next generation.

    `member_id` is "" for one that has none yet; `new_member_id` is the id it gets in that case (unguessable, made by
    the caller). `protocols` are (name, metadata) in order of preference. `rebalance_timeout_ms` -1 (JoinGroup 0): same
    as the session timeout. `requires_known_member_id`: JoinGroup 4+ (KIP-394). `supports_skip_assignment`: JoinGroup 9
    (KIP-814).
    """

    __slots__ = (
        "client_host",
        "client_id",
        "instance_id",
        "member_id",
        "new_member_id",
        "protocol_type",
        "protocols",
        "reason",
        "rebalance_timeout_ms",
        "requires_known_member_id",
        "session_timeout_ms",
        "supports_skip_assignment",
    )

    def __init__(
        self,
        group_id: str,
        member_id: str,
        new_member_id: str,
        protocol_type: str,
        protocols: tuple[tuple[str, bytes], ...],
        *,
        session_timeout_ms: int,
        rebalance_timeout_ms: int = -1,
        instance_id: str | None = None,
        client_id: str = "",
        client_host: str = "",
        reason: str | None = None,
        requires_known_member_id: bool = True,
        supports_skip_assignment: bool = True,
        ticket: Any = None,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.new_member_id = new_member_id
        self.protocol_type = protocol_type
        self.protocols = protocols
        self.session_timeout_ms = session_timeout_ms
        self.rebalance_timeout_ms = rebalance_timeout_ms if rebalance_timeout_ms >= 0 else session_timeout_ms
        self.instance_id = instance_id
        self.client_id = client_id
        self.client_host = client_host
        self.reason = reason
        self.requires_known_member_id = requires_known_member_id
        self.supports_skip_assignment = supports_skip_assignment
        self.ticket = ticket


class SyncGroup(Event):
    """A member asks for its assignment; the leader brings everybody's in `assignments` (member id to bytes).

    `protocol_type` and `protocol_name` are None below SyncGroup 5.
    """

    __slots__ = ("assignments", "generation_id", "instance_id", "member_id", "protocol_name", "protocol_type")

    def __init__(
        self,
        group_id: str,
        member_id: str,
        generation_id: int,
        assignments: dict[str, bytes] | None = None,
        *,
        instance_id: str | None = None,
        protocol_type: str | None = None,
        protocol_name: str | None = None,
        ticket: Any = None,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.generation_id = generation_id
        self.assignments = assignments or {}
        self.instance_id = instance_id
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.ticket = ticket


class Heartbeat(Event):
    """A member is alive. The reply is an error code."""

    __slots__ = ("generation_id", "instance_id", "member_id")

    def __init__(
        self, group_id: str, member_id: str, generation_id: int, instance_id: str | None = None, ticket: Any = None
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.generation_id = generation_id
        self.instance_id = instance_id
        self.ticket = ticket


class LeavingMember(Value):
    """One member of a LeaveGroup:

    by `member_id`, or ("" and) by `instance_id` when an administrator removes a static member.
    """

    __slots__ = ("instance_id", "member_id", "reason")

    def __init__(self, member_id: str, instance_id: str | None = None, reason: str | None = None) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.reason = reason


class LeaveGroup(Event):
    """Members go. Below LeaveGroup 3 there is one, and the handler answers its error as the request's."""

    __slots__ = ("members",)

    def __init__(self, group_id: str, members: list[LeavingMember], ticket: Any = None) -> None:
        self.group_id = group_id
        self.members = members
        self.ticket = ticket


class OffsetCommit(Event):
    """Offsets of a member (or, with generation -1 and no member id, of anybody while the group is empty).

    `offsets`: (topic_id, partition, offset, leader_epoch, metadata or None). `retention_ms` -1: the broker's (an own
    one exists in OffsetCommit 2-4). `knows_group_id_not_found`: OffsetCommit 9+. `transactional`: they wait for the end of a transaction
    (TxnOffsetCommit). The reply is a list of error codes, one for each of `offsets`.
    """

    __slots__ = (
        "commit_timestamp",
        "generation_id",
        "instance_id",
        "knows_group_id_not_found",
        "member_id",
        "offsets",
        "retention_ms",
        "transactional",
    )

    def __init__(
        self,
        group_id: str,
        member_id: str,
        generation_id: int,
        offsets: list[tuple[bytes, int, int, int, str | None]],
        *,
        commit_timestamp: int,
        instance_id: str | None = None,
        retention_ms: int = -1,
        knows_group_id_not_found: bool = True,
        transactional: bool = False,
        ticket: Any = None,
    ) -> None:
        self.group_id = group_id
        self.member_id = member_id
        self.generation_id = generation_id
        self.offsets = offsets
        self.commit_timestamp = commit_timestamp
        self.instance_id = instance_id
        self.retention_ms = retention_ms
        self.knows_group_id_not_found = knows_group_id_not_found
        self.transactional = transactional
        self.ticket = ticket


class OffsetDelete(Event):
    """An administrator deletes committed offsets:

    (topic name, topic_id, partition) each. Subscribed topics are refused.
    """

    __slots__ = ("partitions",)

    def __init__(self, group_id: str, partitions: list[tuple[str, bytes, int]], ticket: Any = None) -> None:
        self.group_id = group_id
        self.partitions = partitions
        self.ticket = ticket


class DeleteGroup(Event):
    """An administrator deletes an empty group with `offsets`, all that it has committed. The reply is an error code."""

    __slots__ = ("offsets",)

    def __init__(self, group_id: str, offsets: list[OffsetKey], ticket: Any = None) -> None:
        self.group_id = group_id
        self.offsets = offsets
        self.ticket = ticket


class ExpireOffsets(Event):
    """The periodic clean-up found `offsets` too old; `rest` says whether the group has others that stay.

    Without a rest an empty group goes too. No ticket, no reply.
    """

    __slots__ = ("offsets", "rest")

    def __init__(self, group_id: str, offsets: list[OffsetKey], rest: bool) -> None:
        self.group_id = group_id
        self.offsets = offsets
        self.rest = rest
        self.ticket = None


class Tick(Event):
    """The deadline that the group had asked for has come. No ticket, no reply."""

    __slots__ = ()
