"""Blob ids for a store that writes bytes of its own: it reserves its blocks itself, the first one when it needs the first id."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

COUNTER_BITS: Final = 32
"""Of an id: the number of the block lies above them."""


class OwnBlobIds:
    """`reserve` is `ClusterStore.reserve_blob_block`."""

    def __init__(self, reserve: Callable[[], Awaitable[int]]) -> None:
        self._reserve = reserve
        self._next = self._end = 0
        self._lock = asyncio.Lock()

    async def take(self) -> int:
        """An id that nobody else gets. Raises StoreError."""
        if self._next == self._end:
            async with self._lock:
                if self._next == self._end:  # those who waited find what the first of them has reserved
                    block = await self._reserve()
                    self._next, self._end = (block << COUNTER_BITS) + 1, (block + 1) << COUNTER_BITS
        blob_id = self._next
        self._next += 1
        return blob_id
