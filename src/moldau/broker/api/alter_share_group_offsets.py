"""AlterShareGroupOffsets 0: a share group without members goes on elsewhere (KIP-932): nothing before `start_offset` is delivered, all from there on is.

A group that there is not is made. GROUP_ID_NOT_FOUND for one of another type, NON_EMPTY_GROUP; UNKNOWN_TOPIC_OR_PARTITION for a partition. Whoever serves the share-partition is fenced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.share.events import ShareReply, ShareReset
from moldau.coordination.share.packed import pack
from moldau.coordination.share.partition import SharePartition
from moldau.metadata.errors import StoreError
from moldau.metadata.rows_share import ShareRow
from moldau.protocol import error_codes
from moldau.protocol.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsResponse,
    AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

_OFFSET_MOST = (1 << 63) - 1


async def handle(broker: Broker, request: Request) -> AlterShareGroupOffsetsResponse:
    message: AlterShareGroupOffsetsRequest = request.message
    if not message.group_id:
        return AlterShareGroupOffsetsResponse(error_code=error_codes.INVALID_GROUP_ID)
    said: ShareReply = await broker.groups.ask(ShareReset(message.group_id))
    if said.error_code:
        return AlterShareGroupOffsetsResponse(error_code=said.error_code, error_message=said.error_message)
    rows: dict[tuple[bytes, int], ShareRow] = {}
    responses = []
    try:
        await broker.catalog.look_for((topic.topic_name, -1) for topic in message.topics)
        for asked in message.topics:
            topic = broker.catalog.by_name.get(asked.topic_name)
            partitions = []
            for each in asked.partitions:
                code, index, offset = error_codes.NONE, each.partition_index, each.start_offset
                if topic is None or not 0 <= index < len(topic.partition_ids):
                    code = error_codes.UNKNOWN_TOPIC_OR_PARTITION
                elif not 0 <= offset <= _OFFSET_MOST:
                    code = error_codes.INVALID_REQUEST
                else:
                    epoch = broker.leader_epoch_of(topic.partition_ids[index])
                    state = pack(SharePartition(offset))
                    rows[topic.topic_id, index] = ShareRow(
                        message.group_id, topic.topic_id, index, 0, 0, epoch, offset, 0, state
                    )
                why = error_codes.name(code) if code else None
                partitions.append(
                    AlterShareGroupOffsetsResponsePartition(partition_index=index, error_code=code, error_message=why)
                )
            responses.append(
                AlterShareGroupOffsetsResponseTopic(
                    topic_name=asked.topic_name,
                    topic_id=topic.topic_id if topic is not None else bytes(16),
                    partitions=partitions,
                )
            )
        await broker.shares.store.reset(list(rows.values()))
    except StoreError as error:
        return AlterShareGroupOffsetsResponse(
            error_code=error_codes.COORDINATOR_NOT_AVAILABLE, error_message=str(error)
        )
    broker.shares.forget_group(message.group_id)
    return AlterShareGroupOffsetsResponse(responses=responses)
