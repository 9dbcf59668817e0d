"""DeleteGroups 0-3 (KIP-229; messages from 3): groups without members, and all their offsets, also those that transactions have not committed yet.

NON_EMPTY_GROUP while there are members, GROUP_ID_NOT_FOUND for an unknown one. Each group fails alone; one named twice is deleted once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DeleteGroupsResponse:
    message: DeleteGroupsRequest = request.message
    results = await broker.groups.delete_groups(dict.fromkeys(message.groups_names))
    for group_id, code in results:
        if not code:
            await broker.shares.delete_group(group_id)
    return DeleteGroupsResponse(
        results=[DeletableGroupResult(group_id=group_id, error_code=code) for group_id, code in results]
    )
