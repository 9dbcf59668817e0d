"""How many bytes of answers wait for clients that read slowly, over all connections; and what that means for further fetches.

Back of the envelope: a fetch may be answered with 55 MiB, and Python's clients ask for 50: a hundred of them that stop reading would
hold 5 GiB. While more than the limit is held, a fetch is answered with little (the first batch whole, as always): readers that do read
go on, at smaller steps; those that do not hold little more.
"""

from __future__ import annotations

LIMIT_BYTES = 128 << 20
NARROW_BYTES = 64 << 10


class Outbox:
    """`held_bytes` is kept by the connections."""

    __slots__ = ("held_bytes", "limit_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0

    @property
    def full(self) -> bool:
        """Above the limit."""
        return self.held_bytes >= self.limit_bytes

    def room(self, asked: int) -> int:
        """How many bytes of records a fetch may be answered with that asks for so many."""
        return asked if self.held_bytes < self.limit_bytes or asked < NARROW_BYTES else NARROW_BYTES
