"""ListTransactions 0-2 (KIP-664): transactional ids by state, producer id, duration (1, KIP-994) and a pattern of ids (2, KIP-1152).

Clients ask every broker and put the answers together, so each names those that it is the coordinator of. State names that nobody knows are told
in `unknown_state_filters`; what is no pattern is INVALID_REGULAR_EXPRESSION.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from moldau.broker.api.find_coordinator import transaction_coordinator
from moldau.coordination.transactions.names import KNOWN, NAMES
from moldau.metadata.errors import StoreError
from moldau.metadata.rows_txn import ONGOING, TxnRow
from moldau.protocol import error_codes
from moldau.protocol.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> ListTransactionsResponse:
    message: ListTransactionsRequest = request.message
    try:
        wanted = _filter(message, broker.clock())
    except re.error:
        return ListTransactionsResponse(error_code=error_codes.INVALID_REGULAR_EXPRESSION)
    try:
        rows = await broker.transactions.all()
    except StoreError:
        return ListTransactionsResponse(error_code=error_codes.COORDINATOR_NOT_AVAILABLE)
    return ListTransactionsResponse(
        unknown_state_filters=[name for name in message.state_filters if name not in KNOWN],
        transaction_states=[
            TransactionState(
                transactional_id=row.transactional_id,
                producer_id=row.producer_id,
                transaction_state=NAMES[row.state],
            )
            for row in rows
            if wanted(row) and transaction_coordinator(broker, row.transactional_id) == broker.node_id
        ],
    )


def _filter(message: ListTransactionsRequest, now: int) -> Callable[[TxnRow], bool]:
    """Raises re.error."""
    states, producer_ids = set(message.state_filters), set(message.producer_id_filters)
    longer_than = message.duration_filter
    pattern = re.compile(message.transactional_id_pattern) if message.transactional_id_pattern else None

    def wanted(row: TxnRow) -> bool:
        return (
            (not states or NAMES[row.state] in states)
            and (not producer_ids or row.producer_id in producer_ids)
            and (longer_than < 0 or (row.state == ONGOING and now - row.started_ms > longer_than))
            and (pattern is None or pattern.fullmatch(row.transactional_id) is not None)
        )

    return wanted
