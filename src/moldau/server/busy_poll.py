"""Look for the next request a moment longer before the loop sleeps, where requests follow one another closely.

A client that sends one request after the other lets the broker sleep between them, and waking a core that has gone idle takes longer than the
request itself: here 50 us of 110, and more CPU than looking at the sockets meanwhile would take. So after an answer the loop goes on turning for
`moldau.busy.poll.us`, as `SO_BUSY_POLL` does in the kernel, if that has been worth it: if nearly always the next request came in this time.

`score` counts up with each request that was near. A look in vain takes back `_IN_VAIN` of them, and below `_ENOUGH` the loop sleeps at once; so at most
one look in nine is in vain, and a broker at rest, or one whose clients poll now and then, never looks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_ENOUGH = 8
_MOST = 16
_IN_VAIN = 8


class BusyPoll:
    """One for each loop. `seconds`: how long it looks; 0 for never."""

    __slots__ = ("_answered_at", "_clock", "_looks", "_loop", "score", "seconds")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, seconds: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._loop = loop
        self._clock = clock
        self.seconds = seconds
        self.score = 0
        self._answered_at = 0.0
        self._looks = False

    def asked(self) -> None:
        """Bytes have come from a client."""
        if self._looks or self.score >= _ENOUGH:
            near, far = self.seconds, _IN_VAIN
        else:
            near, far = 2 * self.seconds, 1  # part of it is the waking, which looking would spare
        if self._clock() - self._answered_at <= near:
            if self.score < _MOST:
                self.score += 1
        elif self.score:
            self.score = max(0, self.score - far)

    def answered(self) -> None:
        """Bytes are on their way to a client."""
        if self.seconds:
            self._answered_at = self._clock()
            if self.score >= _ENOUGH and not self._looks:
                self._looks = True
                self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Each turn of the loop with something to run polls the sockets without waiting."""
        if self._clock() - self._answered_at <= self.seconds:
            self._loop.call_soon(self._look)
        else:
            self._looks = False
