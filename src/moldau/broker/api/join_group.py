"""JoinGroup 0-9: become part of the next generation of a classic group.

The reply waits until all members have joined, or the longest rebalance timeout is over; the leader's names all members.
From 4 a member without an id is sent away with one (MEMBER_ID_REQUIRED, KIP-394); 5 static members (KIP-345); 7 protocol type
(KIP-559); 8 reasons (KIP-800); 9 SkipAssignment (KIP-814). A client that goes away leaves its place to the session timeout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.coordinator import new_member_id
from moldau.coordination.events import JoinGroup
from moldau.protocol.messages.join_group import JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

WAITS = True


async def handle(broker: Broker, request: Request) -> JoinGroupResponse:
    message: JoinGroupRequest = request.message
    version = request.version
    client_id = request.client_id or ""
    reply = await broker.groups.join(
        JoinGroup(
            message.group_id,
            message.member_id,
            new_member_id(client_id, message.group_instance_id),
            message.protocol_type,
            tuple((protocol.name, bytes(protocol.metadata)) for protocol in message.protocols),
            session_timeout_ms=message.session_timeout_ms,
            rebalance_timeout_ms=message.rebalance_timeout_ms,
            instance_id=message.group_instance_id,
            client_id=client_id,
            client_host=f"/{request.peer.host}",
            reason=message.reason,
            requires_known_member_id=version >= 4,
            supports_skip_assignment=version >= 9,
        )
    )
    protocol_name = reply.protocol_name
    if protocol_name is None and version < 7:
        protocol_name = ""
    return JoinGroupResponse(
        error_code=reply.error_code,
        generation_id=reply.generation_id,
        protocol_type=reply.protocol_type,
        protocol_name=protocol_name,
        leader=reply.leader,
        skip_assignment=reply.skip_assignment,
        member_id=reply.member_id,
        members=[
            JoinGroupResponseMember(member_id=member_id, group_instance_id=instance_id, metadata=metadata)
            for member_id, instance_id, metadata in reply.members
        ],
    )
