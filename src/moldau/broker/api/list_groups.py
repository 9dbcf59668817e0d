"""ListGroups 0-5: all groups (KIP-518 states from 4, KIP-848 types from 5), in one of the states and of one of the types asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> ListGroupsResponse:
    message: ListGroupsRequest = request.message
    return ListGroupsResponse(
        groups=[
            ListedGroup(
                group_id=group.group_id,
                protocol_type=group.protocol_type,
                group_state=group.state,
                group_type=group.group_type,
            )
            for group in broker.groups.list_groups(message.states_filter, message.types_filter)
        ]
    )
