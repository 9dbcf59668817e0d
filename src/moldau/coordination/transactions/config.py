"""What the coordination of transactions goes by; names follow the keys they come from."""

from __future__ import annotations


class TransactionConfig:
    """Times in ms."""

    __slots__ = (
        "transaction_abort_interval_ms",
        "transaction_max_timeout_ms",
        "transaction_remove_interval_ms",
        "transactional_id_expiration_ms",
    )

    def __init__(
        self,
        transaction_max_timeout_ms: int = 900_000,
        transactional_id_expiration_ms: int = 604_800_000,
        transaction_abort_interval_ms: int = 10_000,
        transaction_remove_interval_ms: int = 3_600_000,
    ) -> None:
        self.transaction_max_timeout_ms = transaction_max_timeout_ms
        self.transactional_id_expiration_ms = transactional_id_expiration_ms
        self.transaction_abort_interval_ms = transaction_abort_interval_ms
        self.transaction_remove_interval_ms = transaction_remove_interval_ms
