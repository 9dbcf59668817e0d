"""DescribeCluster 0-2 (KIP-700): the brokers, the controller, the cluster id. Controllers have no endpoints of their own here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol import error_codes
from moldau.protocol.messages.describe_cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
)

from .metadata import CLUSTER_OPERATIONS, NO_OPERATIONS

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


BROKERS, CONTROLLERS = 1, 2


async def handle(broker: Broker, request: Request) -> DescribeClusterResponse:
    message: DescribeClusterRequest = request.message
    if request.version >= 1 and message.endpoint_type != BROKERS:
        known = message.endpoint_type == CONTROLLERS
        return DescribeClusterResponse(
            error_code=error_codes.MISMATCHED_ENDPOINT_TYPE if known else error_codes.UNSUPPORTED_ENDPOINT_TYPE,
            error_message=f"endpoint type {message.endpoint_type} came; this is a broker and knows brokers (1) only",
        )
    told = broker.told_of(request.peer.endpoint)
    return DescribeClusterResponse(
        cluster_id=broker.cluster.cluster_id,
        controller_id=broker.controller(told),
        brokers=[
            DescribeClusterBroker(broker_id=node_id, host=host, port=port, rack=rack)
            for node_id, host, port, rack in told
        ],
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if message.include_cluster_authorized_operations
        else NO_OPERATIONS,
    )
