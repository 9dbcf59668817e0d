"""What transactional requests are answered with: the codes that a version of an API knows."""

from __future__ import annotations

from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreError
from moldau.protocol import error_codes


def code_of(error: TxnRefused | StoreError, *, knows_fenced: bool) -> int:
    """PRODUCER_FENCED came with KIP-588; before it was INVALID_PRODUCER_EPOCH. A store that does not answer is COORDINATOR_NOT_AVAILABLE: ask again."""
    if isinstance(error, StoreError):
        return error_codes.COORDINATOR_NOT_AVAILABLE
    if error.error_code == error_codes.PRODUCER_FENCED and not knows_fenced:
        return error_codes.INVALID_PRODUCER_EPOCH
    return error.error_code
