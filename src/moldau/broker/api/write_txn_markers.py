"""WriteTxnMarkers 1-2: tools abort a transaction that hangs (KIP-664, `abortTransaction` of the admin client).

Kafka writes a marker into the partitions that are named. Here no marker stands alone: the producer's whole transaction is aborted, and
the producer fenced, as when its time is over. Nothing open of that producer and epoch: INVALID_PRODUCER_EPOCH. A marker that commits is
INVALID_REQUEST: whether to commit is the producer's to say. Version 2 carries the version of the transaction, which is known here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerPartitionResult,
    WritableTxnMarkerResult,
    WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest,
    WriteTxnMarkersResponse,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> WriteTxnMarkersResponse:
    message: WriteTxnMarkersRequest = request.message
    return WriteTxnMarkersResponse(markers=[await _write(broker, marker) for marker in message.markers])


async def _write(broker: Broker, marker: WritableTxnMarker) -> WritableTxnMarkerResult:
    code = await _abort(broker, marker)
    topics = []
    for asked in marker.topics:
        topic = broker.catalog.by_name.get(asked.name)
        known = 0 if topic is None else len(topic.partition_ids)
        results = [
            WritableTxnMarkerPartitionResult(
                partition_index=index,
                error_code=code if 0 <= index < known else error_codes.UNKNOWN_TOPIC_OR_PARTITION,
            )
            for index in asked.partition_indexes
        ]
        topics.append(WritableTxnMarkerTopicResult(name=asked.name, partitions=results))
    return WritableTxnMarkerResult(producer_id=marker.producer_id, topics=topics)


async def _abort(broker: Broker, marker: WritableTxnMarker) -> int:
    if marker.transaction_result:
        return error_codes.INVALID_REQUEST
    try:
        await broker.catalog.look_for((topic.name, max(topic.partition_indexes, default=-1)) for topic in marker.topics)
        done = await broker.transactions.abort((marker.producer_id, marker.producer_epoch))
    except (StoreError, TxnRefused):
        return error_codes.COORDINATOR_NOT_AVAILABLE
    return error_codes.NONE if done else error_codes.INVALID_PRODUCER_EPOCH
