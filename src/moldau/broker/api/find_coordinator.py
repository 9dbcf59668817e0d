"""FindCoordinator 0-6: which broker coordinates a group, this one where there is no other (KIP-699 batches from 4; KIP-890 5; KIP-932 share keys in 6).

Key types: 0 group, 1 transactional id, 2 share group's partition. A group is at the broker that is named for its shard. The other two have no
coordinator here: INVALID_REQUEST, which clients take as final, as Kafka says for a key type that it does not serve; the retriable
COORDINATOR_NOT_AVAILABLE would make them wait for something that does not come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.shard_store import shard_of
from moldau.protocol import error_codes
from moldau.protocol.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

GROUP, TRANSACTION = 0, 1


async def handle(broker: Broker, request: Request) -> FindCoordinatorResponse:
    message: FindCoordinatorRequest = request.message
    keys = message.coordinator_keys if request.version >= 4 else [message.key]
    there = {node_id: (host, port) for node_id, host, port, _ in broker.told_of(request.peer.endpoint)}
    found = [_coordinator(broker, there, key, message.key_type) for key in keys]
    if request.version >= 4:
        return FindCoordinatorResponse(coordinators=found)
    return FindCoordinatorResponse(
        error_code=found[0].error_code,
        error_message=found[0].error_message or "NONE",
        node_id=found[0].node_id,
        host=found[0].host,
        port=found[0].port,
    )


def _coordinator(broker: Broker, there: dict[int, tuple[str, int]], key: str, key_type: int) -> Coordinator:
    """`there`: where the client reaches each broker."""
    if key_type != GROUP:
        what = "transactions are" if key_type == TRANSACTION else f"key type {key_type} is"
        return Coordinator(
            key=key,
            node_id=-1,
            port=-1,
            error_code=error_codes.INVALID_REQUEST,
            error_message=f"{what} not served by this broker",
        )
    named = broker.members.leader_of(shard_of(key))
    if named not in there:
        return Coordinator(key=key, node_id=-1, port=-1, error_code=error_codes.COORDINATOR_NOT_AVAILABLE)
    host, port = there[named]
    return Coordinator(key=key, node_id=named, host=host, port=port)
