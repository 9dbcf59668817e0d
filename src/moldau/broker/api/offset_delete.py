"""OffsetDelete 0 (KIP-496): an administrator deletes committed offsets.

Topics that a member subscribes to are GROUP_SUBSCRIBED_TO_TOPIC, unknown ones UNKNOWN_TOPIC_OR_PARTITION; deleting what was never
committed succeeds. An offset that a transaction has not committed yet is deleted as well. When the group refuses as a whole, its error stands alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.events import OffsetDelete
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> OffsetDeleteResponse:
    message: OffsetDeleteRequest = request.message
    answers: list[OffsetDeleteResponseTopic] = []
    known: list[OffsetDeleteResponsePartition] = []
    keys: list[tuple[str, bytes, int]] = []
    unknown = error_codes.UNKNOWN_TOPIC_OR_PARTITION
    try:
        await broker.catalog.look_for(
            (asked.name, max((each.partition_index for each in asked.partitions), default=-1))
            for asked in message.topics
        )
    except StoreError:
        unknown = error_codes.COORDINATOR_NOT_AVAILABLE
    for asked in message.topics:
        topic = broker.catalog.by_name.get(asked.name)
        partitions: list[OffsetDeleteResponsePartition] = []
        answers.append(OffsetDeleteResponseTopic(name=asked.name, partitions=partitions))
        for each in asked.partitions:
            answer = OffsetDeleteResponsePartition(partition_index=each.partition_index)
            partitions.append(answer)
            if topic is None or not 0 <= each.partition_index < len(topic.partition_ids):
                answer.error_code = unknown
            else:
                known.append(answer)
                keys.append((topic.name, topic.topic_id, each.partition_index))
    reply = await broker.groups.delete_offsets(OffsetDelete(message.group_id, keys))
    if reply.error_code:
        return OffsetDeleteResponse(error_code=reply.error_code, topics=[])
    for answer, code in zip(known, reply.errors, strict=True):
        answer.error_code = code
    return OffsetDeleteResponse(topics=answers)
