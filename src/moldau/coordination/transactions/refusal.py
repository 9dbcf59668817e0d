"""Why a transactional request is not done."""

from __future__ import annotations

from moldau.protocol import error_codes


class TxnRefused(Exception):
    """`error_code` is Kafka's, as the newest version of the request says it: handlers of old versions say what those know."""

    def __init__(self, error_code: int, message: str) -> None:
        super().__init__(message)
        self.error_code = error_code


class NeedsProducerId(Exception):
    """Epochs are used up: the decision is to be made again with a fresh producer id."""


def unknown(transactional_id: str) -> TxnRefused:
    """There is no such row, or another producer id has it."""
    return TxnRefused(
        error_codes.INVALID_PRODUCER_ID_MAPPING, f"the producer id is not that of transactional id {transactional_id!r}"
    )


def fenced(came: int, epoch: int) -> TxnRefused:
    """Somebody else goes on with that transactional id, or its transaction ran out of time."""
    return TxnRefused(error_codes.PRODUCER_FENCED, f"epoch {came} came, the producer's is {epoch}")


def wrong_state(message: str) -> TxnRefused:
    """What the producer does does not fit to what it did before."""
    return TxnRefused(error_codes.INVALID_TXN_STATE, message)
