"""The active write-ahead blob: where large flushes put their bytes before the commit that gives them their order.

One blob at a time takes appends. When it is full the next one is made ready in the background, and takes over as soon as nothing is
under way in the one before. When it failed, it is sealed for good before the next one takes over; while there is none, appends fail at
once (producers retry) and each of them tries again to make one, so a disk that was full recovers by itself. So at no time are appends
under way in two blobs, and nothing of a blob that failed can become valid later (`moldau.log.journal` relies on both).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TypeVar

from moldau.blobs.ports import AppendableBlobs, BlobError, Buffer
from moldau.clock import Clock
from moldau.metadata.errors import StoreError
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import KIND_WAL, BlobRow

from .blob_ids import BlobIds

T = TypeVar("T")

log = logging.getLogger(__name__)

ROLL_BYTES = 256 << 20
"""A write-ahead blob beyond this size is sealed and the next one begun."""
RETRY_SECONDS = 0.5
"""After a disk refused something: not again for each append."""
CLOSE_SECONDS = 5.0
"""A broker that stops waits this long for a seal under way."""

Done = Callable[[int, int, Exception | None], None]
"""(blob id, position, error); may be called on a thread of the blob store."""


async def _nothing() -> None:
    pass


class WriteAhead:
    """See the module's text."""

    def __init__(
        self, blobs: AppendableBlobs, store: LogStore, maintenance: MaintenanceStore, ids: BlobIds, clock: Clock
    ) -> None:
        self._blobs = blobs
        self._store = store
        self._maintenance = maintenance
        self._ids = ids
        self._clock = clock
        self._active = -1
        self._next = -1
        self._appended = 0
        self._under_way = 0
        self._replacing = False
        self._job: asyncio.Task[None] | None = None
        self.drained: Callable[[], Awaitable[None]] = _nothing
        """Returns when every row that names bytes of a blob is in the metadata store: awaited before the blob is sealed."""

    def active(self) -> int:
        """The blob that an append right after this goes to, or -1."""
        if self._next >= 0 and not self._under_way and not self._replacing:
            self._switch()
        return self._active

    async def open(self) -> None:
        """Make the first blob. Raises BlobError or StoreError."""
        self._active = await self._begin()

    def append(self, buffers: Sequence[Buffer], length: int, durable: bool, done: Done) -> None:
        """Append to the active blob; `settled` must be called, on the loop's thread, when `done` was."""
        try:
            blob_id = self._take(length)
        except BlobError as error:
            self._under_way += 1
            done(-1, -1, error)
            return

        def appended(position: int, error: Exception | None) -> None:
            done(blob_id, position, error)

        self._under_way += 1
        self._blobs.append(blob_id, buffers, durable, appended)

    def append_now(self, buffers: Sequence[Buffer], length: int, durable: bool) -> tuple[int, int] | None:
        """(blob id, position) after doing it right here, or None if that might take long: then use `append`.

        Raises BlobError.
        """
        blob_id = self._take(length)
        try:
            position = self._blobs.append_now(blob_id, buffers, durable)
        except BlobError:
            self._failed(blob_id)
            raise
        if position is None:
            self._appended -= length  # `append` will count it
            return None
        return blob_id, position

    def settled(self, blob_id: int, error: Exception | None) -> None:
        """An append has ended, well or not."""
        self._under_way -= 1
        if error is not None:
            self._failed(blob_id)

    def _take(self, length: int) -> int:
        """The blob to append to. Raises BlobError when there is none."""
        if self.active() < 0:
            self._roll()
            raise BlobError("there is no write-ahead blob to append to; one is being made")
        self._appended += length
        if self._appended > ROLL_BYTES and self._next < 0:
            self._roll()
        return self._active

    def _switch(self) -> None:
        previous, self._active, self._next = self._active, self._next, -1
        self._appended = 0
        if previous >= 0:
            self._start(self._seal(previous), "wal_seal")

    def _failed(self, blob_id: int) -> None:
        """An append to that blob failed: no other may follow there, nor anywhere else until it is sealed."""
        if blob_id >= 0 and blob_id == self._active:
            self._active = -1
            self._replacing = True
            self._start(self._replace(blob_id), "wal_replace")

    def _roll(self) -> None:
        if self._job is None:
            self._start(self._make_next(), "wal_roll")

    def _start(self, job: Coroutine[None, None, None], name: str) -> None:
        """Run it after the job under way: one at a time."""
        before = self._job

        async def run() -> None:
            if before is not None:
                await asyncio.wait([before])
            await job

        task = asyncio.get_running_loop().create_task(run(), name=name)
        self._job = task

        def ended(task: asyncio.Task[None]) -> None:
            if self._job is task:
                self._job = None
            if not task.cancelled() and task.exception() is not None:
                log.warning("event=%s_failed error=%s", name, task.exception())

        task.add_done_callback(ended)

    async def _begin(self) -> int:
        blob_id = self._ids.take()
        await self._blobs.create(blob_id)
        await self._store.register_blob(BlobRow(blob_id, KIND_WAL, -1, self._clock()))
        return blob_id

    async def _make_next(self) -> None:
        try:
            self._next = await self._begin()
        except (BlobError, StoreError):
            await asyncio.sleep(RETRY_SECONDS)
            raise

    async def _replace(self, failed: int) -> None:
        """Seal the blob that failed, durably, and only then let another one take over. Goes on until it can."""
        size = await self._until_done(failed, lambda: self._seal_bytes(failed))
        await self._until_done(failed, lambda: self._maintenance.seal_blob(failed, size))
        self._replacing = False
        if self._next < 0:
            await self._make_next()

    async def _until_done(self, blob_id: int, step: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await step()
            except (BlobError, StoreError) as error:
                log.warning("event=wal_seal_failed blob=%016x error=%s", blob_id, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _seal(self, blob_id: int) -> None:
        size = await self._seal_bytes(blob_id)
        await self._maintenance.seal_blob(blob_id, size)

    async def _seal_bytes(self, blob_id: int) -> int:
        """Called when no further append can come: first those on their way must have passed, and their rows."""
        loop = asyncio.get_running_loop()
        passed = loop.create_future()

        def told(position: int, error: Exception | None) -> None:
            loop.call_soon_threadsafe(passed.set_result, None)

        self._blobs.append(blob_id, (), False, told)
        await passed
        await self.drained()
        return await self._blobs.seal(blob_id)

    async def close(self) -> None:
        """Seal the active blob. What cannot be sealed now is sealed by the next start."""
        if self._job is not None:
            await asyncio.wait([self._job], timeout=CLOSE_SECONDS)
        if self._job is not None:
            self._job.cancel()
            await asyncio.wait([self._job])
        for blob_id in (self._active, self._next):
            if blob_id >= 0:
                with contextlib.suppress(BlobError, StoreError):
                    await self._seal(blob_id)
        self._active = self._next = -1
