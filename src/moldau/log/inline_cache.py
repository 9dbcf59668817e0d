"""Inline bytes that other brokers wrote, read once from the metadata store for all consumers that want them.

A flush that rode in its commit is read whole, whichever partition's part of it is asked for: readers that come together share one query
(a failure reaches all of them, and is not kept), and those that come soon after find it here. The bytes of a flush never change; when
maintenance moves them elsewhere the rows name the new place, so nothing here goes stale.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from moldau.metadata.ports import LogStore

CAPACITY_BYTES: Final = 8 << 20
_OVERHEAD_BYTES = 200
"""Counted for each flush beyond its bytes."""


class InlineCache:
    """`capacity_bytes` bounds what is kept; what is larger than a quarter of that is not."""

    def __init__(self, store: LogStore, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.capacity_bytes = capacity_bytes
        self.held_bytes = 0
        self.hits = 0
        self.misses = 0
        self._store = store
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._flights: dict[int, asyncio.Task[bytes | None]] = {}

    def read_now(self, blob_id: int) -> bytes | None:
        """The bytes of that flush, if they are here."""
        data = self._kept.get(blob_id)
        if data is not None:
            self._kept.move_to_end(blob_id)
            self.hits += 1
        return data

    async def read_inline(self, blob_id: int) -> bytes | None:
        """The bytes of that flush; None when maintenance has moved them. Raises StoreError."""
        data = self.read_now(blob_id)
        if data is not None:
            return data
        self.misses += 1
        task = self._flights.get(blob_id)
        if task is None:
            task = self._flights[blob_id] = asyncio.get_running_loop().create_task(self._store.read_inline(blob_id))
            task.add_done_callback(lambda task: self._landed(blob_id, task))
        return await asyncio.shield(task)  # who gives up leaves the query to the others

    def _landed(self, blob_id: int, task: asyncio.Task[bytes | None]) -> None:
        del self._flights[blob_id]
        if task.cancelled() or task.exception() is not None:
            return
        data = task.result()
        if data is None or (len(data) + _OVERHEAD_BYTES) * 4 > self.capacity_bytes:
            return
        self._kept[blob_id] = data
        self.held_bytes += len(data) + _OVERHEAD_BYTES
        while self.held_bytes > self.capacity_bytes:
            self.held_bytes -= len(self._kept.popitem(last=False)[1]) + _OVERHEAD_BYTES
