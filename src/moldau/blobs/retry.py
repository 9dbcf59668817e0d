"""When a request to an object store is sent again: how long after, and how often all requests together may be.

Pure but for the dice. Waits are drawn evenly from 0 to a bound that doubles (full jitter: clients that failed together do not come back
together). All requests share a budget: each one that succeeds earns a tenth of a retry, so a store in trouble gets at most a tenth more
requests, not several times as many; some may always be spent, so that a lone failure is mended at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

EARNED: Final = 0.1
"""Retries that a success earns."""
SAVED_MAX: Final = 20.0
"""... as long as fewer than this are saved; so many are there at the start."""
FIRST_SECONDS: Final = 0.05
WAIT_SECONDS_MAX: Final = 2.0


class RetryBudget:
    """Requests that may be sent once more: `saved` of them now, `earned` by each success, `most` in all."""

    __slots__ = ("_earned", "_most", "saved")

    def __init__(self, earned: float = EARNED, most: float = SAVED_MAX, saved: float = SAVED_MAX) -> None:
        self._earned = earned
        self._most = most
        self.saved = saved

    def earn(self) -> None:
        """A request succeeded."""
        self.saved = min(self._most, self.saved + self._earned)

    def spend(self) -> bool:
        """Whether one more may be."""
        if self.saved < 1:
            return False
        self.saved -= 1
        return True


def wait_seconds(attempt: int, dice: Callable[[], float] = random.random) -> float:
    """How long to wait after the failure of that attempt (1, 2, ...); `dice` is in [0, 1)."""
    return dice() * min(WAIT_SECONDS_MAX, FIRST_SECONDS * 2.0 ** min(attempt, 16))
