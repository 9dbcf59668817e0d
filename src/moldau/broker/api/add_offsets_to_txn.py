"""AddOffsetsToTxn 0-4: offsets of a group will come into the transaction (KIP-98), which begins if it had not.

Nothing is noted of the group: its offsets themselves say that they take part (TxnOffsetCommit). PRODUCER_FENCED from 2; 4 is that of KIP-890.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.txn_errors import code_of
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> AddOffsetsToTxnResponse:
    message: AddOffsetsToTxnRequest = request.message
    try:
        await broker.transactions.add_offsets(message.transactional_id, (message.producer_id, message.producer_epoch))
    except (TxnRefused, StoreError) as error:
        return AddOffsetsToTxnResponse(error_code=code_of(error, knows_fenced=request.version >= 2))
    return AddOffsetsToTxnResponse()
