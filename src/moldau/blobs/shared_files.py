"""Blobs in a directory that several brokers share: on one host, or mounted from a file server (NFS, CephFS).

As `moldau.blobs.files`, and safe with any number of processes:

- temporary names are random, and what a dead process left under them goes when it is a day old by the file server's clock;
- what is there is not put again: the same size is the same blob, another size is an error;
- a file is opened in a thread, never on the loop's, where a file server that does not answer would stop the broker; `read_now` answers
  for files that are open already, and where the file system can tell what is in the page cache (those of local disks can, NFS cannot);
- a file that was not read for a minute is closed, because another broker may have deleted it, and its space is free only then.

Nothing is locked: file servers without a lock service will do, and nobody holds up a deletion; copies of such a directory are snapshots of
its file system.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moldau.histogram import Histogram

from .files import BlobFiles, sync_names
from .ports import BlobError, BlobMissing, Buffer

THREADS: Final = 8
IDLE_SECONDS: Final = 60.0
"""A file that is not read for so long is closed."""
LEFT_SECONDS: Final = 24 * 3600
"""Temporary files of this age belong to nobody any more."""
_PROBE: Final = b"moldau"


class SharedFiles(BlobFiles):
    """See `moldau.blobs.ports.BlobStore`. Made by `open`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, syncs=True, threads=THREADS)
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._closed = False
        self._used: set[int] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self.bytes_put = 0
        self.bytes_read = 0
        self.put_seconds = Histogram()
        self.read_seconds = Histogram()

    async def open(self) -> None:
        """Make the folder where it is missing, and try in it all that will be needed. Raises BlobError."""
        try:
            await self._in_pool(self._probe)
        except BlobError as error:
            raise BlobError(f"cannot use the folder {self.folder}: {error}") from error

    def _probe(self) -> None:
        self._make_folder()
        first, second = (self.folder / f"probe-{secrets.token_hex(8)}.tmp" for _ in range(2))
        try:
            with first.open("xb") as file:
                file.write(_PROBE)
                file.flush()
                os.fsync(file.fileno())
            now = first.stat().st_mtime
            os.replace(first, second)
            sync_names(self.folder)
            read = second.read_bytes()
            if read != _PROBE:
                raise BlobError(f"it gave back {read[:20]!r} for what was just written")
        finally:
            first.unlink(missing_ok=True)
            second.unlink(missing_ok=True)
        for left in self.folder.glob("*.tmp"):
            with contextlib.suppress(FileNotFoundError):  # by another broker that starts
                if left.stat().st_mtime < now - LEFT_SECONDS:
                    left.unlink()

    # -- puts ---------------------------------------------------------------------------------------------------------

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        started = time.perf_counter_ns()
        size = await super().put(blob_id, buffers)
        self.put_seconds.observe(time.perf_counter_ns() - started)
        self.bytes_put += size
        return size

    def _put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        size = sum(len(buffer) for buffer in buffers)
        try:
            there = self.path(blob_id).stat().st_size
        except FileNotFoundError:
            return super()._put(blob_id, buffers)
        if there != size:
            raise BlobError(f"cannot put blob {blob_id:016x} of {size} bytes: another one of {there} bytes is there")
        self._sync_folder()  # whoever renamed it may have died before
        return size

    def _temporary(self, blob_id: int) -> Path:
        return self.folder / f"{blob_id:016x}-{secrets.token_hex(8)}.tmp"

    # -- reads --------------------------------------------------------------------------------------------------------

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        if blob_id not in self._readable:
            return False
        self._used.add(blob_id)
        try:
            return super().read_into_now(blob_id, position, into)
        except BlobError as error:
            self._forget(blob_id)
            if _is_stale(error.__cause__):
                raise BlobMissing(f"blob {blob_id:016x} was deleted on another host") from error
            raise

    def _read(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        started = time.perf_counter_ns()
        try:
            read = super()._read(blob_id, ranges)
        except OSError as error:
            if _is_stale(error):
                raise BlobMissing(f"blob {blob_id:016x} was deleted on another host") from error
            raise
        with self._lock:
            self.read_seconds.observe(time.perf_counter_ns() - started)
            self.bytes_read += sum(map(len, read))
        return read

    def _done_with(self, blob_id: int, fd: int) -> None:
        try:
            self._loop.call_soon_threadsafe(self._adopt, blob_id, fd)
        except RuntimeError:  # the loop has ended
            os.close(fd)

    def _adopt(self, blob_id: int, fd: int) -> None:
        """Keep it open for `read_now`."""
        if self._closed or blob_id in self._readable:
            os.close(fd)
            return
        self._keep_open(blob_id, fd)
        self._used.add(blob_id)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        for blob_id in self._readable.keys() - self._used:
            self._forget(blob_id)
        self._used.clear()
        self._sweep = self._loop.call_later(IDLE_SECONDS, self._close_idle) if self._readable else None

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        await super().close()
        await asyncio.sleep(0)  # what the threads handed over is closed


def _is_stale(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ESTALE
