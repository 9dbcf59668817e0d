"""DescribeGroups 0-6: state, protocol and members of classic groups (KIP-430 authorized operations from 3, KIP-345 instance ids from 4).

An unknown group, and one that is not classic, is `Dead`: without an error below 6, with GROUP_ID_NOT_FOUND from 6 (KIP-1043). Host is "/address", as Java writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination import listing
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

GROUP_OPERATIONS = sum(1 << operation for operation in (3, 6, 8, 10, 11))
"""Read, delete, describe, and both kinds of configs (AclOperation codes)."""
NOT_ASKED = -(1 << 31)


async def handle(broker: Broker, request: Request) -> DescribeGroupsResponse:
    message: DescribeGroupsRequest = request.message
    operations = GROUP_OPERATIONS if message.include_authorized_operations else NOT_ASKED
    return DescribeGroupsResponse(
        groups=[_group(group, request.version, operations) for group in broker.groups.describe_groups(message.groups)]
    )


def _group(group: listing.DescribedGroup, version: int, operations: int) -> DescribedGroup:
    error_code, error_message = group.error_code, None
    if error_code == error_codes.GROUP_ID_NOT_FOUND:
        if version < 6:
            error_code = error_codes.NONE
        else:
            error_message = group.error_message
    return DescribedGroup(
        error_code=error_code,
        error_message=error_message,
        group_id=group.group_id,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol_name,
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.metadata,
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
        authorized_operations=operations if error_code == error_codes.NONE else NOT_ASKED,
    )
