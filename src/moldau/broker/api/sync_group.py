"""SyncGroup 0-5: the leader brings the assignment, everybody gets their part of it (KIP-345 static members from 3).

The reply of followers waits for the leader's request. From 5 both protocol type and name have to be there and must be the group's
own: INCONSISTENT_GROUP_PROTOCOL (KIP-559).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.events import SyncGroup
from moldau.protocol import error_codes
from moldau.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

WAITS = True


async def handle(broker: Broker, request: Request) -> SyncGroupResponse:
    message: SyncGroupRequest = request.message
    if request.version >= 5 and (message.protocol_type is None or message.protocol_name is None):
        return SyncGroupResponse(error_code=error_codes.INCONSISTENT_GROUP_PROTOCOL)
    reply = await broker.groups.sync(
        SyncGroup(
            message.group_id,
            message.member_id,
            message.generation_id,
            {each.member_id: bytes(each.assignment) for each in message.assignments},
            instance_id=message.group_instance_id,
            protocol_type=message.protocol_type,
            protocol_name=message.protocol_name,
        )
    )
    return SyncGroupResponse(
        error_code=reply.error_code,
        protocol_type=reply.protocol_type,
        protocol_name=reply.protocol_name,
        assignment=reply.assignment,
    )
