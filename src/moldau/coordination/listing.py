"""Answers to ListGroups and DescribeGroups."""

from __future__ import annotations

from moldau.protocol import error_codes

from .value import Value

DEAD = "Dead"


class ListedGroup(Value):
    """`group_type` is "classic", "consumer", "share" or "streams"; `state` and `protocol_type` as Kafka spells them ("Stable", "consumer")."""

    __slots__ = ("group_id", "group_type", "protocol_type", "state")

    def __init__(self, group_id: str, group_type: str, protocol_type: str, state: str) -> None:
        self.group_id = group_id
        self.group_type = group_type
        self.protocol_type = protocol_type
        self.state = state


class DescribedMember(Value):
    __slots__ = ("assignment", "client_host", "client_id", "instance_id", "member_id", "metadata")

    def __init__(
        self,
        member_id: str,
        instance_id: str | None,
        client_id: str,
        client_host: str,
        metadata: bytes,
        assignment: bytes,
    ) -> None:
        self.member_id = member_id
        self.instance_id = instance_id
        self.client_id = client_id
        self.client_host = client_host
        self.metadata = metadata
        self.assignment = assignment


class DescribedGroup(Value):
    """An unknown group is `Dead` with GROUP_ID_NOT_FOUND, which DescribeGroups below version 6 answers as NONE
    (KIP-1043).
    """

    __slots__ = ("error_code", "error_message", "group_id", "members", "protocol_name", "protocol_type", "state")

    def __init__(
        self,
        group_id: str,
        error_code: int,
        state: str,
        protocol_type: str = "",
        protocol_name: str = "",
        members: list[DescribedMember] | None = None,
        error_message: str | None = None,
    ) -> None:
        self.group_id = group_id
        self.error_code = error_code
        self.state = state
        self.protocol_type = protocol_type
        self.protocol_name = protocol_name
        self.members = members or []
        self.error_message = error_message


def unknown_group(group_id: str) -> DescribedGroup:
    return DescribedGroup(group_id, error_codes.GROUP_ID_NOT_FOUND, DEAD, error_message=f"Group {group_id} not found.")


def not_classic(group_id: str) -> DescribedGroup:
    """Of a group that has a describe API of its own."""
    return DescribedGroup(
        group_id, error_codes.GROUP_ID_NOT_FOUND, DEAD, error_message=f"Group {group_id} is not a classic group."
    )
