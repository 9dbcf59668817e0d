"""DescribeProducers 0 (KIP-664): the producers a partition remembers. None has a transaction open: transactions are not served yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import topics
from moldau.broker.partitions import PartitionError, view_of
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DescribeProducersResponse:
    message: DescribeProducersRequest = request.message
    return DescribeProducersResponse(
        topics=[
            TopicResponse(
                name=topic.name,
                partitions=[await _describe(broker, topic.name, index) for index in topic.partition_indexes],
            )
            for topic in message.topics
        ]
    )


async def _describe(broker: Broker, name: str, index: int) -> PartitionResponse:
    problem = topics.name_error(name)
    if problem is not None:
        return PartitionResponse(
            partition_index=index, error_code=error_codes.INVALID_TOPIC_EXCEPTION, error_message=problem
        )
    try:
        view = await view_of(broker, name, index)
    except PartitionError as error:
        text = None if name in broker.catalog.by_name else f"there is no topic {name!r}"
        return PartitionResponse(partition_index=index, error_code=error.error_code, error_message=text)
    return PartitionResponse(
        partition_index=index,
        active_producers=[
            ProducerState(
                producer_id=producer.producer_id,
                producer_epoch=producer.epoch,
                last_sequence=producer.batches[-1].last_sequence if producer.batches else -1,
                last_timestamp=producer.batches[-1].timestamp if producer.batches else -1,
                coordinator_epoch=-1,
                current_txn_start_offset=-1,
            )
            for producer in view.producers.by_id.values()
        ],
    )
