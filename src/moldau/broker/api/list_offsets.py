"""ListOffsets 1-11: offsets by time, exactly, and the special timestamps.

-1 latest (the last stable offset for read_committed), -2 earliest, -3 greatest timestamp (KIP-734), -4 earliest local (KIP-405), -5
latest tiered (KIP-1005), -6 earliest pending upload (KIP-1023). Nothing is tiered here: local earliest is earliest, the other two
answer offset -1.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from moldau.blobs.ports import BlobError
from moldau.broker.at_once import gather
from moldau.broker.partitions import NO_EPOCH, PartitionError, view_of
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
        counts = Counter(partition.partition_index for partition in asked.partitions)
        # a partition that stands twice is answered once: refused
        refused = {index for index, count in counts.items() if count > 1}
        once = {each.partition_index: each for each in asked.partitions}.values()
        if unknown_isolation:
            answers = [_error(partition, error_codes.UNKNOWN_SERVER_ERROR) for partition in once]
        else:
            answers = await gather(
                _partition(
                    broker, asked.name, partition, read_committed, request.version, partition.partition_index in refused
                )
                for partition in once
            )
        topics.append(ListOffsetsTopicResponse(name=asked.name, partitions=answers))
    return ListOffsetsResponse(topics=topics)


def _error(partition: ListOffsetsPartition, code: int) -> ListOffsetsPartitionResponse:
    return ListOffsetsPartitionResponse(partition_index=partition.partition_index, error_code=code)


async def _partition(
    broker: Broker,
    name: str,
    partition: ListOffsetsPartition,
    read_committed: bool,
    version: int,
    refused: bool,
) -> ListOffsetsPartitionResponse:
    index, timestamp = partition.partition_index, partition.timestamp
    if refused:
        return _error(partition, error_codes.INVALID_REQUEST)
    unserved = timestamp < EARLIEST_PENDING_UPLOAD or version < _SINCE_VERSION.get(timestamp, 0)
    try:
        view = await view_of(broker, name, index, NO_EPOCH if unserved else partition.current_leader_epoch)
        if unserved:
            return _error(partition, error_codes.UNSUPPORTED_VERSION)
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
        if timestamp not in (LATEST, EARLIEST, EARLIEST_LOCAL) and offset >= end:
            offset, at = -1, -1
        epoch = view.leader_epoch if offset >= 0 and version >= 4 else -1
        return ListOffsetsPartitionResponse(partition_index=index, offset=offset, timestamp=at, leader_epoch=epoch)
    except PartitionError as error:
        return _error(partition, error.error_code)
    except DamagedLog as error:
        broker.report_damage(view, view.log_start_offset, error)
        return _error(partition, error_codes.KAFKA_STORAGE_ERROR)
    except BlobError as error:
        broker.report_unavailable(view, view.log_start_offset, error)
        return _error(partition, error_codes.KAFKA_STORAGE_ERROR)
    except StoreError:
        return _error(partition, error_codes.KAFKA_STORAGE_ERROR)
