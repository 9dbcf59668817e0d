"""OffsetCommit 2-10: offsets of a group, written in one durable transaction and answered after it.

2-4 carry a retention of their own; 6 leader epochs (KIP-320); 7 static members (KIP-345); 9 the errors of new groups (KIP-848); 10
names topics by id (KIP-516). Unknown topics and partitions fail alone: UNKNOWN_TOPIC_OR_PARTITION, an unknown id UNKNOWN_TOPIC_ID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.events import OffsetCommit
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> OffsetCommitResponse:
    message: OffsetCommitRequest = request.message
    by_id = request.version >= 10
    offsets: list[tuple[bytes, int, int, int, str | None]] = []
    committed: list[OffsetCommitResponsePartition] = []
    answers: list[OffsetCommitResponseTopic] = []
    unknown = error_codes.UNKNOWN_TOPIC_ID if by_id else error_codes.UNKNOWN_TOPIC_OR_PARTITION
    unknown_partition = error_codes.UNKNOWN_TOPIC_OR_PARTITION
    try:
        await broker.catalog.look_for(
            (
                asked.topic_id if by_id else asked.name,
                max((each.partition_index for each in asked.partitions), default=-1),
            )
            for asked in message.topics
        )
    except StoreError:
        unknown = unknown_partition = error_codes.COORDINATOR_NOT_AVAILABLE
    for asked in message.topics:
        topic = broker.catalog.by_id.get(asked.topic_id) if by_id else broker.catalog.by_name.get(asked.name)
        partitions: list[OffsetCommitResponsePartition] = []
        answers.append(OffsetCommitResponseTopic(name=asked.name, topic_id=asked.topic_id, partitions=partitions))
        for each in asked.partitions:
            answer = OffsetCommitResponsePartition(partition_index=each.partition_index)
            partitions.append(answer)
            if topic is None:
                answer.error_code = unknown
            elif not 0 <= each.partition_index < len(topic.partition_ids):
                answer.error_code = unknown_partition
            else:
                offsets.append(
                    (
                        topic.topic_id,
                        each.partition_index,
                        each.committed_offset,
                        each.committed_leader_epoch,
                        each.committed_metadata,
                    )
                )
                committed.append(answer)
    if offsets:
        codes = await broker.groups.commit_offsets(
            OffsetCommit(
                message.group_id,
                message.member_id,
                message.generation_id_or_member_epoch,
                offsets,
                commit_timestamp=broker.steady_clock(),
                instance_id=message.group_instance_id,
                retention_ms=message.retention_time_ms,
                knows_group_id_not_found=request.version >= 9,
            )
        )
        for answer, code in zip(committed, codes, strict=True):
            answer.error_code = code
    return OffsetCommitResponse(topics=answers)
