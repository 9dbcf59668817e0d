"""How late the event loop is: a timer that says when it rang. Whatever blocks the loop makes every connection wait that long."""

from __future__ import annotations

import asyncio

from moldau.histogram import Histogram

INTERVAL_SECONDS = 0.25


class LoopLag:
    """Four samples a second from `start` to `stop`."""

    def __init__(self) -> None:
        self.seconds = Histogram()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._due(loop, loop.time() + INTERVAL_SECONDS)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()

    def _due(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._timer = loop.call_at(at, self._rang, loop, at)

    def _rang(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        now = loop.time()
        self.seconds.observe(max(0, int((now - at) * 1e9)))
        self._due(loop, now + INTERVAL_SECONDS)
