"""How many bytes of large requests may be in the broker at once (`queued.max.request.bytes`), whole or half-read.

A large frame is paid for before its buffer is made; a connection that finds the budget spent is not read until there is room, first
come, first served. As in Kafka's memory pool, the last one let in may exceed the budget, so one request larger than it still passes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable


class FrameBudget:
    """Shared by all connections."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.held_bytes = 0
        self._waiting: OrderedDict[object, tuple[int, Callable[[int], None]]] = OrderedDict()

    def take(self, size: int) -> bool:
        """Whether `size` bytes may be taken now."""
        if self.held_bytes >= self.limit_bytes:
            return False
        self.held_bytes += size
        return True

    def wait(self, who: object, size: int, then: Callable[[int], None]) -> None:
        """Take `size` bytes as soon as there is room, and call `then(size)`."""
        self._waiting[who] = (size, then)

    def forget(self, who: object) -> None:
        """It does not wait any more."""
        self._waiting.pop(who, None)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def give(self, size: int) -> None:
        """Bytes are free again."""
        self.held_bytes -= size
        while self._waiting and self.held_bytes < self.limit_bytes:
            _, (wanted, then) = self._waiting.popitem(last=False)
            self.held_bytes += wanted
            then(wanted)
