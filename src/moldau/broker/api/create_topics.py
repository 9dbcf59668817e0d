"""CreateTopics 2-7 (KIP-4; KIP-525 configs in the answer from 5; KIP-516 topic id from 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.broker.config.describe import describe_topic
from moldau.protocol import error_codes
from moldau.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from moldau.protocol.primitives import ZERO_UUID

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> CreateTopicsResponse:
    message: CreateTopicsRequest = request.message
    counts: dict[str, int] = {}
    for topic in message.topics:
        counts[topic.name] = counts.get(topic.name, 0) + 1
    results = []
    for name, count in counts.items():
        if count > 1:
            results.append(
                CreatableTopicResult(
                    name=name,
                    error_code=error_codes.INVALID_REQUEST,
                    error_message=f"Duplicate topic name: {name}",
                    configs=[],
                )
            )
    results += [
        await _create(broker, topic, message.validate_only) for topic in message.topics if counts[topic.name] == 1
    ]
    return CreateTopicsResponse(topics=results)


async def _create(broker: Broker, topic: CreatableTopic, validate_only: bool) -> CreatableTopicResult:
    try:
        topics.check_name(topic.name)
        partitions, factor = _partitions(broker, topic)
        assigned = {each.partition_index: list(each.broker_ids) for each in topic.assignments}
        configs = {config.name: config.value for config in topic.configs}
        created = await topics.create(
            broker,
            topic.name,
            partitions,
            configs,
            replication_factor=factor,
            validate_only=validate_only,
            assigned=assigned,
        )
    except topics.TopicError as error:
        return CreatableTopicResult(
            name=topic.name, error_code=error.error_code, error_message=error.message, configs=[]
        )
    return CreatableTopicResult(
        name=topic.name,
        topic_id=created.topic_id if created else ZERO_UUID,
        num_partitions=partitions,
        replication_factor=factor,
        configs=[
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=entry.source,
                is_sensitive=entry.is_sensitive,
            )
            for entry in describe_topic({name: value or "" for name, value in configs.items()}, broker.configs.broker)
        ],
    )


def _partitions(broker: Broker, topic: CreatableTopic) -> tuple[int, int]:
    """The number of partitions asked for, and that of their replicas. Raises TopicError."""
    if topic.assignments:
        if topic.num_partitions != -1 or topic.replication_factor != -1:
            raise topics.TopicError(
                error_codes.INVALID_REQUEST,
                "number of partitions and replication factor must be -1 where assignments are given",
            )
        indexes = sorted(assignment.partition_index for assignment in topic.assignments)
        if indexes != list(range(len(indexes))):
            raise topics.TopicError(
                error_codes.INVALID_REPLICA_ASSIGNMENT, f"partitions must be 0 to {len(indexes) - 1}, {indexes} came"
            )
        factor = len(topic.assignments[0].broker_ids)
        for assignment in topic.assignments:
            topics.check_replicas(broker, assignment.broker_ids, factor)
        return len(indexes), factor
    factor = broker.options.default_replication_factor if topic.replication_factor == -1 else topic.replication_factor
    topics.check_replication_factor(broker, factor)
    return broker.num_partitions if topic.num_partitions == -1 else topic.num_partitions, factor
