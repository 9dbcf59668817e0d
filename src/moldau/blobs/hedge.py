"""When a read that takes long is asked a second time, beside the first: the slowest reads of an object store are bad luck, not load.

A second request is sent when the first has taken longer than 95 of 100 recent ones of its size; the first answer counts. That would be one
in twenty; a budget keeps it so when the store slows down as a whole and every read seems late.

Prior art: J. Dean, L. A. Barroso, "The Tail at Scale", 2013.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .retry import RetryBudget

RECENT: Final = 128
"""Durations remembered of each class of sizes."""
KNOWN_MIN: Final = 20
"""Before so many are known nothing is late."""
DELAY_SECONDS_MIN: Final = 0.005
"""Quicker reads than this are not worth a second request."""
SHARE: Final = 0.05
SAVED_MAX: Final = 10.0
_SIZES: Final = (64 << 10, 512 << 10)
_REFRESH = 8


class Hedges:
    """`delay` for a read that begins, `spend` when that has passed, `took` when it is done."""

    __slots__ = ("_budget", "_delays", "_fresh", "_recent")

    def __init__(self) -> None:
        self._recent: tuple[deque[float], ...] = tuple(deque(maxlen=RECENT) for _ in range(len(_SIZES) + 1))
        self._delays: list[float | None] = [None] * len(self._recent)
        self._fresh = [0] * len(self._recent)
        self._budget = RetryBudget(SHARE, SAVED_MAX, saved=1.0)

    def delay(self, length: int) -> float | None:
        """Seconds after which a read of that length is late; None: not known yet."""
        return self._delays[_size_class(length)]

    def took(self, length: int, seconds: float) -> None:
        """A read was answered after that time."""
        at = _size_class(length)
        recent = self._recent[at]
        recent.append(seconds)
        self._budget.earn()
        self._fresh[at] += 1
        if len(recent) >= KNOWN_MIN and self._fresh[at] >= _REFRESH:
            self._fresh[at] = 0
            self._delays[at] = max(DELAY_SECONDS_MIN, sorted(recent)[len(recent) * 95 // 100])

    def spend(self) -> bool:
        """Whether one more second request may be sent."""
        return self._budget.spend()


def _size_class(length: int) -> int:
    for at, limit in enumerate(_SIZES):
        if length <= limit:
            return at
    return len(_SIZES)
