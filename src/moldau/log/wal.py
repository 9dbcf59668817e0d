"""The active write-ahead blob: where large flushes put their bytes before the commit that gives them their order.

One blob at a time takes appends. When it is full, or when it failed, the next one is made ready in the background; while there is
none, appends fail at once (producers retry) and each of them tries again to make one, so a disk that was full recovers by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence

from moldau.blobs.ports import BlobError, BlobStore, Buffer
from moldau.clock import Clock
from moldau.metadata.errors import StoreError
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import KIND_WAL, BlobRow

from .blob_ids import BlobIds

log = logging.getLogger(__name__)

ROLL_BYTES = 256 << 20
"""A write-ahead blob beyond this size is sealed and the next one begun."""

Done = Callable[[int, int, Exception | None], None]
"""(blob id, position, error); may be called on a thread of the blob store."""


class WriteAhead:
    """See the module's text."""

    def __init__(
        self, blobs: BlobStore, store: LogStore, maintenance: MaintenanceStore, ids: BlobIds, clock: Clock
    ) -> None:
        self._blobs = blobs
        self._store = store
        self._maintenance = maintenance
        self._ids = ids
        self._clock = clock
        self._active = -1
        self._appended = 0
        self._rolling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Make the first blob. Raises BlobError or StoreError."""
        self._active = await self._begin()

    def append(self, buffers: Sequence[Buffer], length: int, durable: bool, done: Done) -> None:
        """Append to the active blob; called on the loop's thread."""
        blob_id = self._active
        if blob_id < 0:
            done(-1, -1, BlobError("there is no write-ahead blob to append to; one is being made"))
            self.roll()
            return

        def appended(position: int, error: Exception | None) -> None:
            done(blob_id, position, error)

        self._blobs.append(blob_id, buffers, durable, appended)
        self._appended += length
        if self._appended > ROLL_BYTES:
            self.roll()

    def failed(self, blob_id: int) -> None:
        """An append to that blob failed: go on in another one."""
        if blob_id == self._active:
            self._active = -1
        self.roll()

    def roll(self) -> None:
        """Begin the next blob, seal the one before. In the background, one at a time."""
        if self._rolling is None:
            self._rolling = asyncio.get_running_loop().create_task(self._roll(self._active))
            self._rolling.add_done_callback(self._rolled)

    def _rolled(self, task: asyncio.Task[None]) -> None:
        self._rolling = None
        if not task.cancelled() and task.exception() is not None:
            log.warning("event=wal_roll_failed error=%s", task.exception())

    async def _begin(self) -> int:
        blob_id = self._ids.take()
        await self._blobs.create(blob_id)
        await self._store.register_blob(BlobRow(blob_id, KIND_WAL, -1, self._clock()))
        return blob_id

    async def _roll(self, previous: int) -> None:
        try:
            fresh = await self._begin()
        except (BlobError, StoreError):
            await asyncio.sleep(0.5)  # a full disk: do not try again for each append
            raise
        self._active, self._appended = fresh, 0
        if previous >= 0:
            await self._seal(previous)

    async def _seal(self, blob_id: int) -> None:
        """Called when no further append can come: first those on their way must have passed.

        Their commits may still be in flight, and the row that says "sealed" must come after them: else the collector could see a
        sealed blob that no row names yet. It does: each append's callback submits its commit on the blob store's thread before
        ours is called there, and the metadata store takes its queue in order. A commit that is decided again writes its bytes again.
        """
        loop = asyncio.get_running_loop()
        passed = loop.create_future()

        def told(position: int, error: Exception | None) -> None:
            loop.call_soon_threadsafe(passed.set_result, None)

        self._blobs.append(blob_id, (), False, told)
        await passed
        size = await self._blobs.seal(blob_id)
        await self._maintenance.seal_blob(blob_id, size)

    async def close(self) -> None:
        """Seal the active blob. What cannot be sealed now is sealed by the next start."""
        if self._rolling is not None:
            await asyncio.wait([self._rolling])
        if self._active >= 0:
            active, self._active = self._active, -1
            with contextlib.suppress(BlobError, StoreError):
                await self._seal(active)
