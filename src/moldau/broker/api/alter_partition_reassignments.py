"""AlterPartitionReassignments 0-1 (KIP-455; KIP-860 forbids another replication factor from 1): partitions go to other brokers.

A partition is where it was sent when the answer leaves, because the stores keep its records and nothing is copied. So there is never a
reassignment to cancel: null replicas are NO_REASSIGNMENT_IN_PROGRESS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.protocol import error_codes
from moldau.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopic,
    ReassignableTopicResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.catalog import Topic
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> AlterPartitionReassignmentsResponse:
    message: AlterPartitionReassignmentsRequest = request.message
    any_factor = message.allow_replication_factor_change
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=any_factor,
        error_message=None,
        responses=[
            ReassignableTopicResponse(name=topic.name, partitions=await _reassign(broker, topic, any_factor))
            for topic in message.topics
        ],
    )


async def _reassign(broker: Broker, wanted: ReassignableTopic, any_factor: bool) -> list[ReassignablePartitionResponse]:
    try:
        topic = await topics.named(broker, wanted.name)
    except topics.TopicError as error:
        return [_refused(each, error) for each in wanted.partitions]
    assigned: dict[int, list[int]] = {}
    refused: dict[int, topics.TopicError] = {}
    for each in wanted.partitions:
        try:
            assigned[each.partition_index] = _checked(broker, topic, each, any_factor)
        except topics.TopicError as error:
            refused[each.partition_index] = error
    try:
        if assigned:
            await topics.assign(broker, topic, assigned)
    except topics.TopicError as error:
        refused |= dict.fromkeys(assigned, error)
    return [
        _refused(each, refused[each.partition_index])
        if each.partition_index in refused
        else ReassignablePartitionResponse(partition_index=each.partition_index, error_message=None)
        for each in wanted.partitions
    ]


def _checked(broker: Broker, topic: Topic, wanted: ReassignablePartition, any_factor: bool) -> list[int]:
    """Where the partition goes. Raises TopicError."""
    if not 0 <= wanted.partition_index < len(topic.partition_ids):
        raise topics.TopicError(error_codes.UNKNOWN_TOPIC_OR_PARTITION, "no such partition")
    if wanted.replicas is None:
        raise topics.TopicError(
            error_codes.NO_REASSIGNMENT_IN_PROGRESS, "a reassignment is over as soon as it is answered"
        )
    topics.check_replicas(broker, wanted.replicas, None)
    have = len(broker.catalog.assigned.get(topic.partition_ids[wanted.partition_index], ())) or topic.replication_factor
    if not any_factor and len(wanted.replicas) != have:
        raise topics.TopicError(
            error_codes.INVALID_REPLICATION_FACTOR,
            f"the partition has {have} replicas, {len(wanted.replicas)} came, and a change of their number is not allowed",
        )
    return list(wanted.replicas)


def _refused(wanted: ReassignablePartition, error: topics.TopicError) -> ReassignablePartitionResponse:
    return ReassignablePartitionResponse(
        partition_index=wanted.partition_index, error_code=error.error_code, error_message=error.message
    )
