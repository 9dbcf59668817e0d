"""ListOffsets 1-11: offsets by time, exactly, and the special timestamps.

-1 latest (the last stable offset for read_committed), -2 earliest, -3 greatest timestamp (KIP-734), -4 earliest local (KIP-405), -5
latest tiered (KIP-1005), -6 earliest pending upload (KIP-1023). Nothing is tiered here: local earliest is earliest, the other two
answer offset -1.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from moldau.broker.at_once import gather
from moldau.broker.partitions import NO_EPOCH
from moldau.log.damage import DamagedLog
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.catalog import Topic
    from moldau.broker.dispatch import Request

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED, EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
_SINCE_VERSION = {MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9, EARLIEST_PENDING_UPLOAD: 11}


async def handle(broker: Broker, request: Request) -> ListOffsetsResponse:
    message: ListOffsetsRequest = request.message
    read_committed = message.isolation_level == 1
    topics = []
    unknown_isolation = request.version >= 2 and message.isolation_level not in (0, 1)
    for asked in message.topics:
        if not asked.partitions:
            continue
        topic = broker.catalog.by_name.get(asked.name)
        counts = Counter(partition.partition_index for partition in asked.partitions)
        # a partition that stands twice is answered once: refused
        refused = {index for index, count in counts.items() if count > 1}
        once = {each.partition_index: each for each in asked.partitions}.values()
        if unknown_isolation:
            answers = [_error(partition, error_codes.UNKNOWN_SERVER_ERROR) for partition in once]
        else:
            answers = await gather(
                _partition(
                    broker, topic, partition, read_committed, request.version, partition.partition_index in refused
                )
                for partition in once
            )
        topics.append(ListOffsetsTopicResponse(name=asked.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _error(partition: ListOffsetsPartition, code: int) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(partition_index=partition.partition_index, error_code=code)


async def _partition(
    broker: Broker,
    topic: Topic | None,
    partition: ListOffsetsPartition,
    read_committed: bool,
    version: int,
    refused: bool,
) -> ListOffsetsPartitionResponse:
    index, timestamp = partition.partition_index, partition.timestamp
    if refused:
        return _error(partition, error_codes.INVALID_REQUEST)
    if topic is None or not 0 <= index < len(topic.partition_ids):
        return _error(partition, error_codes.UNKNOWN_TOPIC_OR_PARTITION)
    if timestamp < EARLIEST_PENDING_UPLOAD or version < _SINCE_VERSION.get(timestamp, 0):
        return _error(partition, error_codes.UNSUPPORTED_VERSION)
    try:
        view = await broker.refresher.refresh(topic.partition_ids[index])
        if view is None:
            return _error(partition, error_codes.UNKNOWN_TOPIC_OR_PARTITION)
        if partition.current_leader_epoch != NO_EPOCH and partition.current_leader_epoch != view.leader_epoch:
            newer = partition.current_leader_epoch > view.leader_epoch
            return _error(partition, error_codes.UNKNOWN_LEADER_EPOCH if newer else error_codes.FENCED_LEADER_EPOCH)
        offset, at = -1, -1
        end = view.last_stable_offset if read_committed else view.high_watermark
        if timestamp == LATEST:
            offset = end
        elif timestamp in (EARLIEST, EARLIEST_LOCAL):
            offset = view.log_start_offset
        elif timestamp == MAX_TIMESTAMP:
            offset, at = await broker.lookup.max_timestamp(view) or (-1, -1)
        elif timestamp >= 0:
            offset, at = await broker.lookup.by_timestamp(view, timestamp) or (-1, -1)
            if offset >= end:
                offset, at = -1, -1
        epoch = view.leader_epoch if offset >= 0 and version >= 4 else -1
        return ListOffsetsPartitionResponse(partition_index=index, offset=offset, timestamp=at, leader_epoch=epoch)
    except DamagedLog as error:
        assert view is not None
        broker.report_damage(view, view.log_start_offset, error)
        return _error(partition, error_codes.KAFKA_STORAGE_ERROR)
    except StoreError:
        return _error(partition, error_codes.KAFKA_STORAGE_ERROR)
