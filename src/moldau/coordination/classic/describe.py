"""How a group looks from outside: ListGroups and DescribeGroups."""

from __future__ import annotations

from moldau.coordination.listing import DescribedGroup, DescribedMember, ListedGroup
from moldau.protocol.error_codes import NONE

from .group import ClassicGroup
from .states import STABLE


def listed(group: ClassicGroup) -> ListedGroup:
    return ListedGroup(group.group_id, group.type_name, group.protocol_type or "", group.state)


def described(group: ClassicGroup) -> DescribedGroup:
    """Protocol and metadata only of a stable group: during a rebalance they are in the making."""
    stable = group.state is STABLE
    members = [
        DescribedMember(
            member.member_id,
            member.instance_id,
            member.client_id,
            member.client_host,
            member.metadata(group.protocol_name) if stable else b"",
            member.assignment,
        )
        for member in group.members.values()
    ]
    protocol_name = (group.protocol_name or "") if stable else ""
    return DescribedGroup(group.group_id, NONE, group.state, group.protocol_type or "", protocol_name, members)
