"""DescribeTopicPartitions 0 (KIP-966): topics in order of name, a page at a time. Null topics are not a thing: none asked for means all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
)

from .metadata import NO_OPERATIONS, TOPIC_OPERATIONS

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


def _is_place(cursor: Cursor, asked: set[str]) -> bool:
    """Whether a reply can go on there: at a topic that is asked for, or at any if all are."""
    return cursor.partition_index >= 0 and (not asked or cursor.topic_name in asked)


def _error(name: str | None, code: int, operations: int = NO_OPERATIONS) -> DescribeTopicPartitionsResponseTopic:
    return DescribeTopicPartitionsResponseTopic(error_code=code, name=name, topic_authorized_operations=operations)


async def handle(broker: Broker, request: Request) -> DescribeTopicPartitionsResponse:
    message: DescribeTopicPartitionsRequest = request.message
    cursor = message.cursor
    if cursor is not None and not _is_place(cursor, {topic.name for topic in message.topics}):
        return DescribeTopicPartitionsResponse(
            topics=[_error(topic.name, error_codes.INVALID_REQUEST) for topic in message.topics]
        )
    stale = False
    try:
        if message.topics:
            await broker.catalog.look_for((topic.name, -1) for topic in message.topics)
        else:
            await broker.catalog.fresh()
    except StoreError:
        stale = True
    names = sorted({topic.name for topic in message.topics} or broker.catalog.by_name)
    start = 0
    if cursor is not None:
        names = [name for name in names if name >= cursor.topic_name]
        start = cursor.partition_index if names and names[0] == cursor.topic_name else 0
    room = max(1, min(message.response_partition_limit, broker.options.partition_page_max))
    answers: list[DescribeTopicPartitionsResponseTopic] = []
    for name in names:
        if not room:
            return DescribeTopicPartitionsResponse(
                topics=answers, next_cursor=Cursor(topic_name=name, partition_index=0)
            )
        topic = broker.catalog.by_name.get(name)
        if topic is None:
            invalid = topics.name_error(name) is not None
            unknown = error_codes.LEADER_NOT_AVAILABLE if stale else error_codes.UNKNOWN_TOPIC_OR_PARTITION
            code = error_codes.INVALID_TOPIC_EXCEPTION if invalid else unknown
            answers.append(_error(name, code, TOPIC_OPERATIONS))
            continue
        indexes = range(start, min(len(topic.partition_ids), start + room))
        answers.append(
            DescribeTopicPartitionsResponseTopic(
                name=name,
                topic_id=topic.topic_id,
                partitions=[
                    DescribeTopicPartitionsResponsePartition(
                        partition_index=index,
                        leader_id=replicas[0],
                        leader_epoch=broker.leader_epoch_of(topic.partition_ids[index]),
                        replica_nodes=replicas,
                        isr_nodes=replicas,
                        eligible_leader_replicas=[],
                        last_known_elr=[],
                    )
                    for index in indexes
                    for replicas in (broker.replicas_of(topic, topic.partition_ids[index]),)
                ],
                topic_authorized_operations=TOPIC_OPERATIONS,
            )
        )
        room -= len(indexes)
        if indexes.stop < len(topic.partition_ids):
            return DescribeTopicPartitionsResponse(
                topics=answers, next_cursor=Cursor(topic_name=name, partition_index=indexes.stop)
            )
        start = 0
    return DescribeTopicPartitionsResponse(topics=answers)
