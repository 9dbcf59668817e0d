"""DescribeProducers 0 (KIP-664): the producers a partition remembers, and where their open transactions begin.

The epoch of the transaction coordinator is -1 before a producer's first marker, and 0 from then on: nothing here has a coordinator that could be fenced.
"""

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
    is_open = view.producers.transactions.open
    return PartitionResponse(
        partition_index=index,
        active_producers=[
            ProducerState(
                producer_id=producer.producer_id,
                producer_epoch=producer.epoch,
                last_sequence=producer.batches[-1].last_sequence if producer.batches else -1,
                last_timestamp=producer.timestamp,
                coordinator_epoch=0 if producer.marked else -1,
                current_txn_start_offset=is_open.get(producer.producer_id, -1),
            )
            for producer in view.producers.by_id.values()
        ],
    )
