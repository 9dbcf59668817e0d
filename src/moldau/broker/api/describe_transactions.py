"""DescribeTransactions 0 (KIP-664): state, producer and partitions of transactional ids. An unknown one is TRANSACTIONAL_ID_NOT_FOUND, an empty one
INVALID_REQUEST. Every broker knows all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.coordination.transactions.names import NAMES
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> DescribeTransactionsResponse:
    message: DescribeTransactionsRequest = request.message
    return DescribeTransactionsResponse(
        transaction_states=[await _describe(broker, each) for each in message.transactional_ids]
    )


async def _describe(broker: Broker, transactional_id: str) -> TransactionState:
    if not transactional_id:
        return TransactionState(error_code=error_codes.INVALID_REQUEST, transactional_id=transactional_id)
    try:
        found = await broker.transactions.describe(transactional_id)
        if found is not None:
            await broker.catalog.look_for((topic_id, -1) for topic_id, _ in found.partitions)
    except StoreError:
        code = error_codes.COORDINATOR_NOT_AVAILABLE
        return TransactionState(error_code=code, transactional_id=transactional_id)
    if found is None:
        code = error_codes.TRANSACTIONAL_ID_NOT_FOUND
        return TransactionState(error_code=code, transactional_id=transactional_id)
    topics: dict[str, list[int]] = {}
    for topic_id, index in found.partitions:
        name = broker.catalog.name_of(topic_id)
        if name is not None:
            topics.setdefault(name, []).append(index)
    row = found.row
    return TransactionState(
        transactional_id=transactional_id,
        transaction_state=NAMES[row.state],
        transaction_timeout_ms=row.timeout_ms,
        transaction_start_time_ms=row.started_ms,
        producer_id=row.producer_id,
        producer_epoch=row.epoch,
        topics=[TopicData(topic=name, partitions=sorted(indexes)) for name, indexes in sorted(topics.items())],
    )
