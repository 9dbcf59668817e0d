"""InitProducerId 0-5, the idempotent part (KIP-98): a producer id that nobody else has, epoch 0.

Transactional ids come with transactions; until then one is INVALID_REQUEST, which clients take as final.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes
from moldau.protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> InitProducerIdResponse:
    message: InitProducerIdRequest = request.message
    if message.transactional_id is not None:
        return InitProducerIdResponse(error_code=error_codes.INVALID_REQUEST)
    try:
        return InitProducerIdResponse(producer_id=await broker.producer_ids.take(), producer_epoch=0)
    except StoreError:
        return InitProducerIdResponse(error_code=error_codes.COORDINATOR_NOT_AVAILABLE)
