"""The one error of this layer: bytes that are not the records they claim to be."""

from collections.abc import Sequence

from moldau.protocol import error_codes


class InvalidBatch(Exception):
    """A record batch was refused, and why, in the terms a client understands.

    `error_code` is the Kafka error of the partition's answer. `message` is for `error_message` of the answer
    (Produce 8+). `record_errors` names the offending records as (index in the batch, message) pairs for the field of
    the same name; it is empty when the batch as a whole is at fault.
    """

    def __init__(self, error_code: int, message: str, record_errors: Sequence[tuple[int, str]] = ()) -> None:
        super().__init__(error_code, message, record_errors)
        self.error_code = error_code
        self.message = message
        self.record_errors = tuple(record_errors)

    def __str__(self) -> str:
        shown = "".join(f"; record {index}: {text}" for index, text in self.record_errors[:3])
        return f"{error_codes.name(self.error_code)}: {self.message}{shown}"


def corrupt(message: str) -> InvalidBatch:
    """CORRUPT_MESSAGE: the bytes changed on their way. Clients send them again."""
    return InvalidBatch(error_codes.CORRUPT_MESSAGE, message)


def invalid(message: str) -> InvalidBatch:
    """INVALID_RECORD: the bytes arrived as they were sent, and what was sent is wrong. Clients give up."""
    return InvalidBatch(error_codes.INVALID_RECORD, message)
