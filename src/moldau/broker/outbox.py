"""How many bytes of answers wait for clients that read slowly, over all connections; and what that means for further fetches.

Back of the envelope: a fetch may be answered with 55 MiB, and Python's clients ask for 50: a hundred of them that stop reading would
hold 5 GiB. While more than the limit is held, a fetch is answered with little (the first batch whole, as always): readers that do read
go on, at smaller steps; those that do not hold little more.
"""

from __future__ import annotations

LIMIT_BYTES = 128 << 20
NARROW_BYTES = 64 << 10


class Outbox:
    """`held_bytes` is kept by the connections; `reading_bytes` is what fetches under way may come to hold."""

    __slots__ = ("held_bytes", "limit_bytes", "reading_bytes")

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self.reading_bytes = 0

    @property
    def full(self) -> bool:
        """Above the limit."""
        return self.held_bytes >= self.limit_bytes

    def room(self, asked: int) -> int:
        """How many bytes of records a fetch may be answered with that asks for so many."""
        free = self.held_bytes + self.reading_bytes < self.limit_bytes
        return asked if free or asked < NARROW_BYTES else NARROW_BYTES

    def begin(self, size: int) -> None:
        """An answer of that size is being made: many fetches may begin before the first answer is seen to wait."""
        self.reading_bytes += size

    def end(self, size: int) -> None:
        """It was given to its connection, which counts from now on what does not leave."""
        self.reading_bytes -= size
