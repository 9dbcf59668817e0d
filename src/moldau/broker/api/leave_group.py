"""LeaveGroup 0-5: members go at once, without waiting for their session (KIP-345 several of them, static ones by instance id,
from 3; KIP-800 reasons from 5). Below 3 there is one member, and its error is the answer's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.events import LeaveGroup, LeavingMember
from moldau.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> LeaveGroupResponse:
    message: LeaveGroupRequest = request.message
    if request.version < 3:
        reply = await broker.groups.leave(LeaveGroup(message.group_id, [LeavingMember(message.member_id)]))
        return LeaveGroupResponse(error_code=reply.error_code or next((code for _, _, code in reply.members), 0))
    leaving = [LeavingMember(each.member_id, each.group_instance_id, each.reason) for each in message.members]
    reply = await broker.groups.leave(LeaveGroup(message.group_id, leaving))
    return LeaveGroupResponse(
        error_code=reply.error_code,
        members=[
            MemberResponse(member_id=member_id, group_instance_id=instance_id, error_code=code)
            for member_id, instance_id, code in reply.members
        ],
    )
