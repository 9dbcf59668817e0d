"""InitProducerId 0-5 (KIP-98): a producer id that nobody else has, or with a transactional id the producer's next epoch (KIP-360 from 3).

PRODUCER_FENCED from 4 (KIP-588), before INVALID_PRODUCER_EPOCH. 5 is that of transactions version 2 (KIP-890). Version 6 (KIP-939, two-phase
commit) is unstable in Kafka 4.4 and not served.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.txn_errors import code_of
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

NONE = -1
"""No producer id, no epoch. A request has both (KIP-360) or neither."""


async def handle(broker: Broker, request: Request) -> InitProducerIdResponse:
    message: InitProducerIdRequest = request.message
    expected = None
    if request.version >= 3:
        if (message.producer_id == NONE) != (message.producer_epoch == NONE):
            return InitProducerIdResponse(error_code=error_codes.INVALID_REQUEST, producer_epoch=NONE)
        if message.producer_id != NONE:
            expected = message.producer_id, message.producer_epoch
    try:
        if message.transactional_id is None:
            return InitProducerIdResponse(producer_id=await broker.producer_ids.take(), producer_epoch=0)
        producer_id, epoch = await broker.transactions.init_producer(
            message.transactional_id, message.transaction_timeout_ms, expected
        )
    except (TxnRefused, StoreError) as error:
        return InitProducerIdResponse(error_code=code_of(error, knows_fenced=request.version >= 4), producer_epoch=NONE)
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=epoch)
