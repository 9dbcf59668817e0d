"""FindCoordinator 0-6: which broker coordinates a group or a transactional id (KIP-699 batches from 4; KIP-890 5; KIP-932 share keys in 6).

Key types: 0 group, 1 transactional id, 2 share group's partition. A group is at the broker that is named for its shard. A transactional id
has no home: any broker does for any of them, and one is named, always the same, because it remembers what it has done. The state of
share-partitions is rows, which nobody asks a coordinator for: INVALID_REQUEST, which clients take as final, as Kafka says for a key type that it does not serve; the retriable
COORDINATOR_NOT_AVAILABLE would make them wait for something that does not come.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from moldau.coordination.shard_store import SHARDS, shard_of
from moldau.protocol import error_codes
from moldau.protocol.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

GROUP, TRANSACTION = 0, 1


_FIRST_KEY = -1000
"""Transactional ids are hashed to this number and those below, which are no shard and no partition."""


def transaction_coordinator(broker: Broker, transactional_id: str) -> int:
    """The node id of the broker that clients are sent to."""
    return broker.members.leader_of(_FIRST_KEY - zlib.crc32(transactional_id.encode()) % SHARDS)


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
    if key_type not in (GROUP, TRANSACTION):
        return Coordinator(
            key=key,
            node_id=-1,
            port=-1,
            error_code=error_codes.INVALID_REQUEST,
            error_message=f"key type {key_type} is not served by this broker",
        )
    named = broker.members.leader_of(shard_of(key)) if key_type == GROUP else transaction_coordinator(broker, key)
    if named not in there:
        return Coordinator(key=key, node_id=-1, port=-1, error_code=error_codes.COORDINATOR_NOT_AVAILABLE)
    host, port = there[named]
    return Coordinator(key=key, node_id=named, host=host, port=port)
