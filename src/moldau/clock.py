"""The wall clock, in one place: pure code gets `now` from its caller."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Milliseconds since the epoch."""


def now_ms() -> int:
    """The time of this machine."""
    return time.time_ns() // 1_000_000


def steady_ms() -> Clock:
    """A clock that begins at the wall's time and never jumps, whatever is done to the wall clock. Sessions count by it."""
    base = time.time_ns() - time.monotonic_ns()
    return lambda: (base + time.monotonic_ns()) // 1_000_000
