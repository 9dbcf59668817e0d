"""Producer ids, in blocks from the metadata store so that most InitProducerId requests need no commit."""

from __future__ import annotations

import asyncio

from moldau.metadata.ports import ClusterStore

BLOCK = 1000


class ProducerIds:
    """Hands out each id once; ids left in a block when the broker stops are never used."""

    def __init__(self, store: ClusterStore) -> None:
        self._store = store
        self._next = 0
        self._end = 0
        self._lock = asyncio.Lock()

    async def take(self) -> int:
        """The next id. Raises StoreUnavailable."""
        async with self._lock:
            if self._next == self._end:
                self._next = await self._store.reserve_producer_ids(BLOCK)
                self._end = self._next + BLOCK
            producer_id = self._next
            self._next += 1
            return producer_id
