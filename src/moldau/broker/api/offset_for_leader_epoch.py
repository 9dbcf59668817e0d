"""OffsetForLeaderEpoch 2-4 (KIP-101, KIP-320): where an epoch of a partition ended.

An epoch begins only when the store went back, so a partition nearly always has one: the current one, which ends at the high watermark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.partitions import PartitionError, view_of
from moldau.protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


UNDEFINED = -1


async def handle(broker: Broker, request: Request) -> OffsetForLeaderEpochResponse:
    message: OffsetForLeaderEpochRequest = request.message
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic, partitions=[await _end(broker, topic.topic, each) for each in topic.partitions]
            )
            for topic in message.topics
        ]
    )


async def _end(broker: Broker, name: str, asked: OffsetForLeaderPartition) -> EpochEndOffset:
    try:
        view = await view_of(broker, name, asked.partition, asked.current_leader_epoch)
    except PartitionError as error:
        return EpochEndOffset(
            error_code=error.error_code, partition=asked.partition, leader_epoch=UNDEFINED, end_offset=UNDEFINED
        )
    if asked.leader_epoch == view.leader_epoch:
        return EpochEndOffset(partition=asked.partition, leader_epoch=view.leader_epoch, end_offset=view.high_watermark)
    return EpochEndOffset(partition=asked.partition, leader_epoch=UNDEFINED, end_offset=UNDEFINED)
