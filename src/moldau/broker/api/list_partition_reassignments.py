"""ListPartitionReassignments 0 (KIP-455): those that are under way. There are none: see AlterPartitionReassignments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.protocol.messages.list_partition_reassignments import ListPartitionReassignmentsResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> ListPartitionReassignmentsResponse:
    return ListPartitionReassignmentsResponse(error_message=None)
