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

NONE = -1
"""No producer id, no epoch. A request has both (KIP-360) or neither."""


async def handle(broker: Broker, request: Request) -> InitProducerIdResponse:
    message: InitProducerIdRequest = request.message
    half = request.version >= 3 and (message.producer_id == NONE) != (message.producer_epoch == NONE)
    if half or message.transactional_id is not None:
        return InitProducerIdResponse(error_code=error_codes.INVALID_REQUEST, producer_epoch=NONE)
    try:
        return InitProducerIdResponse(producer_id=await broker.producer_ids.take(), producer_epoch=0)
    except StoreError:
        return InitProducerIdResponse(error_code=error_codes.COORDINATOR_NOT_AVAILABLE, producer_epoch=NONE)
