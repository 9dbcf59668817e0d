"""DeleteRecords 0-2 (KIP-107): the log of a partition begins later from now on. -1 means the high watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.partitions import PartitionError, view_of
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DeleteRecordsResponse:
    message: DeleteRecordsRequest = request.message
    return DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[await _delete(broker, topic.name, partition) for partition in topic.partitions],
            )
            for topic in message.topics
            if topic.partitions
        ]
    )


async def _delete(broker: Broker, name: str, partition: DeleteRecordsPartition) -> DeleteRecordsPartitionResult:
    index = partition.partition_index
    try:
        view = await view_of(broker, name, index)
        offset = view.high_watermark if partition.offset == -1 else partition.offset
        if not 0 <= offset <= view.high_watermark:
            raise PartitionError(error_codes.OFFSET_OUT_OF_RANGE)
        moved = await broker.log_store.raise_log_start(view.partition_id, offset)
        if moved is None:
            raise PartitionError(error_codes.UNKNOWN_TOPIC_OR_PARTITION)
        view.raise_log_start(moved[0])
        return DeleteRecordsPartitionResult(partition_index=index, low_watermark=moved[0])
    except PartitionError as error:
        code = error.error_code
    except StoreError:
        code = error_codes.KAFKA_STORAGE_ERROR
    return DeleteRecordsPartitionResult(partition_index=index, low_watermark=-1, error_code=code)
