"""The wall clock, in one place: pure code gets `now` from its caller."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Milliseconds since the epoch."""


def now_ms() -> int:
    """The time of this machine."""
    return time.time_ns() // 1_000_000
