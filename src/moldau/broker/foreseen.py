"""Views of partitions that will come to this broker, built before the clients are here.

A broker that joins is named as leader at once, and clients are sent to it a second later (`SETTLE_MS`), all of them at the same time. A view costs a
query, and a millisecond of CPU for every hundred extents since its snapshot: for all partitions together that is what a client would wait for.
Peers tell where the partitions end that they write (`moldau.cluster.notes`), so what is in use and will be ours is known by then. Nothing depends on it: a view
that is not there is built when it is asked for.

Sketch: two at a time, so that whoever is here already waits for two at most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from moldau.log.views import Views
from moldau.metadata.errors import StoreError

log = logging.getLogger(__name__)

AT_ONCE = 2
WAITING_MAX = 1_000


class Foreseen:
    """`expect` what a peer has written and this broker leads; `close` ends it."""

    def __init__(self, views: Views, leads: Callable[[int], bool]) -> None:
        self._views = views
        self._leads = leads
        self._waiting: dict[int, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def expect(self, partition_id: int) -> None:
        """It is in use elsewhere."""
        if self._views.get(partition_id) is not None or partition_id in self._waiting or not self._leads(partition_id):
            return
        if len(self._waiting) >= WAITING_MAX:
            return
        self._waiting[partition_id] = None
        if len(self._tasks) < AT_ONCE:
            task = asyncio.get_running_loop().create_task(self._build(), name="moldau-foreseen")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _build(self) -> None:
        while self._waiting:
            partition_id = next(iter(self._waiting))
            del self._waiting[partition_id]
            try:
                await self._views.load(partition_id)
            except StoreError as error:
                log.debug("event=view_not_foreseen partition_id=%d error='%s'", partition_id, error)
                self._waiting.clear()

    def close(self) -> None:
        """Build no more."""
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
