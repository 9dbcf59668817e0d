"""EndTxn 0-5: commit or abort (KIP-98). When it is answered everything has happened: markers, offsets of groups, the next epoch.

PRODUCER_FENCED from 2. 5 is that of transactions version 2 (KIP-890): the epoch rises at each end, and the answer has the producer id and epoch
to go on with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.txn_errors import code_of
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol.messages.end_txn import EndTxnRequest, EndTxnResponse

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> EndTxnResponse:
    message: EndTxnRequest = request.message
    version = 2 if request.version >= 5 else 1
    try:
        producer_id, epoch = await broker.transactions.end(
            message.transactional_id, (message.producer_id, message.producer_epoch), message.committed, version
        )
    except (TxnRefused, StoreError) as error:
        return EndTxnResponse(error_code=code_of(error, knows_fenced=request.version >= 2))
    return EndTxnResponse(producer_id=producer_id, producer_epoch=epoch)
