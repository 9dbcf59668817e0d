"""CreatePartitions 0-3 (KIP-195): more partitions for a topic, never fewer. Each topic is answered for itself."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.protocol import error_codes
from moldau.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> CreatePartitionsResponse:
    message: CreatePartitionsRequest = request.message
    counts = Counter(topic.name for topic in message.topics)
    results = []
    # a topic that stands twice is answered once: refused
    for topic in {topic.name: topic for topic in message.topics}.values():
        try:
            if counts[topic.name] > 1:
                raise topics.TopicError(error_codes.INVALID_REQUEST, "the topic stands twice in the request")
            await _grow(broker, topic, message.validate_only)
        except topics.TopicError as error:
            results.append(
                CreatePartitionsTopicResult(name=topic.name, error_code=error.error_code, error_message=error.message)
            )
        else:
            results.append(CreatePartitionsTopicResult(name=topic.name))
    return CreatePartitionsResponse(results=results)


async def _grow(broker: Broker, wanted: CreatePartitionsTopic, validate_only: bool) -> None:
    """Raises TopicError."""
    topic = await topics.named(broker, wanted.name)
    have = len(topic.partition_ids)
    if wanted.count <= have:
        raise topics.TopicError(
            error_codes.INVALID_PARTITIONS, f"the topic has {have} partitions; {wanted.count} would not be more"
        )
    if wanted.count > topics.PARTITIONS_MAX:
        raise topics.TopicError(error_codes.INVALID_PARTITIONS, f"at most {topics.PARTITIONS_MAX} are allowed")
    if wanted.assignments is not None:
        if len(wanted.assignments) != wanted.count - have:
            raise topics.TopicError(
                error_codes.INVALID_REPLICA_ASSIGNMENT,
                f"{wanted.count - have} partitions would be added, {len(wanted.assignments)} assignments came",
            )
        for assignment in wanted.assignments:
            topics.check_replicas(broker, assignment.broker_ids, topic.replication_factor)
    if not validate_only:
        assigned = {have + nth: list(each.broker_ids) for nth, each in enumerate(wanted.assignments or ())}
        try:
            await topics.grow(broker, topic, wanted.count, assigned)
        except topics.TopicError:
            if broker.catalog.by_name.get(wanted.name) in (topic, None):
                raise
            await _grow(broker, wanted, validate_only)  # another broker has made it anew
