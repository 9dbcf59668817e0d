"""Why a request of a member is refused, as handlers raise it among themselves."""

from __future__ import annotations


class Refused(Exception):
    """`error_code` is Kafka's; `message` is for whoever reads the client's log."""

    def __init__(self, error_code: int, message: str) -> None:
        self.error_code = error_code
        self.message = message
        super().__init__(message)
