"""StreamsGroupTopologyDescriptionUpdate 0 (KIP-1331): a member describes the topology of its application, because a heartbeat asked for it.

In Kafka a plug-in keeps descriptions, and without one the request is UNSUPPORTED_VERSION. Here they are kept with the group, and
StreamsGroupDescribe 1 gives them out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from moldau.coordination.streams.events import StreamsReply, TopologyDescription
from moldau.protocol import error_codes
from moldau.protocol.messages import streams_group_topology_description_update as wire

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

SOURCE, PROCESSOR, SINK = 1, 2, 3
"""Types of nodes."""


async def handle(broker: Broker, request: Request) -> wire.StreamsGroupTopologyDescriptionUpdateResponse:
    message: wire.StreamsGroupTopologyDescriptionUpdateRequest = request.message
    problem = _problem(message)
    if problem is not None:
        told = StreamsReply(error_codes.INVALID_REQUEST, problem)
    else:
        packed = wire.StreamsGroupTopologyDescriptionUpdateRequest(topology_description=message.topology_description)
        told = await broker.groups.ask(
            TopologyDescription(message.group_id, message.member_id, message.topology_epoch, bytes(packed.encode(0)))
        )
    return wire.StreamsGroupTopologyDescriptionUpdateResponse(
        error_code=told.error_code, error_message=told.error_message
    )


def unpacked(description: bytes) -> wire.TopologyDescription:
    """What `handle` has packed."""
    message = wire.StreamsGroupTopologyDescriptionUpdateRequest.decode(description, 0, 0)
    return message.topology_description


def _problem(message: wire.StreamsGroupTopologyDescriptionUpdateRequest) -> str | None:
    """What is wrong with the request; None if nothing."""
    if not message.member_id.strip():
        return "MemberId can't be empty."
    if not message.group_id.strip():
        return "GroupId can't be empty."
    for node in _nodes(message.topology_description):
        if node.node_type not in (SOURCE, PROCESSOR, SINK):
            return f"Unknown topology node type: {node.node_type}"
    for store in message.topology_description.global_stores:
        if store.source.node_type != SOURCE or store.processor.node_type != PROCESSOR:
            return "Global store must be composed of a source and a processor node."
    return None


def _nodes(description: wire.TopologyDescription) -> Iterator[wire.TopologyDescriptionNode]:
    for part in description.subtopologies:
        yield from part.nodes
    for store in description.global_stores:
        yield store.source
        yield store.processor
