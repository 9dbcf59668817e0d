"""OffsetForLeaderEpoch 2-4 (KIP-101, KIP-320): where an epoch of a partition ended.

Epochs rise at a start after an unclean stop, and when a copy is brought back: whenever the log may have gone back. The answer is the
greatest epoch that is not above the one asked for, and where the next one begins. Java's consumer asks for all its partitions that have another leader, and
fetches from none of them before it is answered; so they are looked at side by side, which is one query for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.at_once import gather
from moldau.broker.partitions import PartitionError, view_of
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
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
    from moldau.log.view import PartitionView


UNDEFINED = -1


async def handle(broker: Broker, request: Request) -> OffsetForLeaderEpochResponse:
    message: OffsetForLeaderEpochRequest = request.message
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic, partitions=await gather(_end(broker, topic.topic, each) for each in topic.partitions)
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
    epoch, end_offset = asked.leader_epoch, view.high_watermark
    if epoch == UNDEFINED or epoch > view.leader_epoch:
        epoch, end_offset = UNDEFINED, UNDEFINED
    elif epoch < view.leader_epoch:
        try:
            epoch, end_offset = await _ended(broker, view, epoch)
        except StoreError:
            return EpochEndOffset(
                error_code=error_codes.KAFKA_STORAGE_ERROR,
                partition=asked.partition,
                leader_epoch=UNDEFINED,
                end_offset=UNDEFINED,
            )
    return EpochEndOffset(partition=asked.partition, leader_epoch=epoch, end_offset=end_offset)


async def _ended(broker: Broker, view: PartitionView, epoch: int) -> tuple[int, int]:
    """The epoch that was the latest when `epoch` was, and where the log of it ends."""
    later = await broker.log_store.extent_after_epoch(view.partition_id, epoch)
    end_offset = view.high_watermark if later is None else later.base_offset
    before = await broker.log_store.extents_before(view.partition_id, end_offset, 1)
    return (before[-1].leader_epoch if before else epoch), max(end_offset, view.log_start_offset)
