"""Deadlines of waiting fetches: one timer for thousands of them.

Deadlines are kept in buckets of a few milliseconds; the loop's timer is set for the earliest bucket only. A wait that ends early is
taken out of its bucket; nothing is ever searched.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

_BUCKET_MS = 5


class Purgatory:
    """Calls back at deadlines, at most one bucket late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._buckets: dict[int, set[Callable[[], None]]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def wait(self, wait_ms: int, expired: Callable[[], None]) -> int:
        """Call `expired` after `wait_ms`; returns the bucket for `cancel`."""
        bucket = (int(self._loop.time() * 1000) + wait_ms) // _BUCKET_MS + 1
        members = self._buckets.get(bucket)
        if members is None:
            members = self._buckets[bucket] = set()
            heapq.heappush(self._order, bucket)
            if self._timer is None or bucket < self._timer_at:
                self._arm(bucket)
        members.add(expired)
        return bucket

    def cancel(self, bucket: int, expired: Callable[[], None]) -> None:
        """It need not be called any more."""
        members = self._buckets.get(bucket)
        if members is not None:
            members.discard(expired)

    def wake_all(self) -> None:
        """All of them are over now."""
        buckets, self._buckets, self._order = self._buckets, {}, []
        for members in buckets.values():
            for expired in tuple(members):
                expired()

    def _arm(self, bucket: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = bucket
        self._timer = self._loop.call_at(bucket * _BUCKET_MS / 1000, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = int(self._loop.time() * 1000) // _BUCKET_MS
        while self._order and self._order[0] <= now:
            for expired in self._buckets.pop(heapq.heappop(self._order)):
                expired()
        if self._order:
            self._arm(self._order[0])
