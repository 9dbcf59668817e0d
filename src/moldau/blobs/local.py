"""Blobs as local files: write-ahead files appended by one thread with grouped syncs, immutable files put whole.

Layout: `DIR/<16 hex digits of the id>.blob`. What is inside is the writer's business (`moldau.log.sections`,
`moldau.log.segment`); here a file is bytes. An append is `writev` then `fdatasync`; appends that arrive while a sync runs share the
next one. A put is written to `<name>.tmp`, synced, renamed, and the directory synced.

The file is grown ahead in steps with zeros allocated by the file system, so that a sync need not write the inode's size each time;
the logical end is known to this process and, after a crash, to the metadata store. `seal` cuts the file to its logical end.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from moldau import faults

from .ports import AppendDone, BlobError, BlobMissing, Buffer

T = TypeVar("T")

_OPEN_MAX = 128
"""Files open for reading at most."""
_IOV_MAX = 1024
"""Buffers per writev: the limit of POSIX systems."""
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Make a file's bytes durable."""


class _Appendable:
    """An open write-ahead file; `end` is the logical end."""

    __slots__ = ("broken", "dirty", "end", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.end = 0
        self.dirty = False
        self.broken = False


class LocalBlobs:
    """See `moldau.blobs.ports.BlobStore`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.synced_bytes = 0
        self.syncs = 0
        self._appendable: dict[int, _Appendable] = {}
        self._readable: OrderedDict[int, int] = OrderedDict()
        self._lock = threading.Lock()
        self._queue: deque[tuple[int, Sequence[Buffer], bool, AppendDone]] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="moldau-blob")
        self._thread = threading.Thread(target=self._run, name="moldau-wal", daemon=True)
        self._thread.start()

    def path(self, blob_id: int) -> Path:
        """Where the blob lies."""
        return self.folder / f"{blob_id:016x}.blob"

    # -- appends ------------------------------------------------------------------------------------------------------

    async def create(self, blob_id: int) -> None:
        await self._in_pool(lambda: self._create(blob_id))

    def _create(self, blob_id: int) -> None:
        faults.hit("blobs.local.create")
        fd = os.open(self.path(blob_id), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._sync_folder()
        faults.hit("blobs.local.created")
        self._appendable[blob_id] = _Appendable(fd)

    def append(self, blob_id: int, buffers: Sequence[Buffer], durable: bool, done: AppendDone) -> None:
        self._queue.append((blob_id, buffers, durable, done))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                self._write_group()
            if self._closing:
                return

    def _write_group(self) -> None:
        written: list[tuple[AppendDone, int]] = []
        failed: list[tuple[AppendDone, Exception]] = []
        durable = False
        with self._lock:
            while self._queue:
                blob_id, buffers, sync, done = self._queue.popleft()
                try:
                    written.append((done, self._write(blob_id, buffers)))
                    durable = durable or sync
                except (OSError, BlobError) as error:
                    failed.append((done, BlobError(f"cannot append to {self.path(blob_id).name}: {error}")))
            if durable:
                try:
                    self._sync_dirty()
                except OSError as error:
                    # what a failed sync wrote or lost is unknown: these files take no more appends
                    for file in self._appendable.values():
                        file.broken = file.broken or file.dirty
                    failed += [(done, BlobError(f"sync failed: {error}")) for done, _ in written]
                    written = []
        for done, position in written:
            done(position, None)
        for done, reason in failed:
            done(-1, reason)

    def _write(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        file = self._appendable.get(blob_id)
        if file is None or file.broken:
            raise BlobError("it is not open for appends")
        faults.hit("blobs.local.write")
        position = file.end
        length = sum(len(buffer) for buffer in buffers)
        try:
            write_all(file.fd, buffers, position, length)
        except OSError:
            file.broken = True
            raise
        file.end = position + length
        file.dirty = True
        faults.hit("blobs.local.written")
        return position

    def _sync_dirty(self) -> None:
        for file in list(self._appendable.values()):
            if file.dirty:
                sync_data(file.fd)
                self.syncs += 1
                file.dirty = False
        faults.hit("blobs.local.synced")

    def sync(self) -> None:
        with self._lock:
            self._sync_dirty()

    async def seal(self, blob_id: int) -> int:
        def work() -> int:
            with self._lock:
                file = self._appendable.pop(blob_id, None)
                if file is None:
                    raise BlobMissing(f"blob {blob_id:016x} is not open for appends")
                try:
                    os.ftruncate(file.fd, file.end)
                    os.fsync(file.fd)
                finally:
                    os.close(file.fd)
                return file.end

        return await self._in_pool(work)

    # -- whole blobs --------------------------------------------------------------------------------------------------

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        def work() -> int:
            faults.hit("blobs.local.put")
            final, temporary = self.path(blob_id), self.folder / f"{blob_id:016x}.tmp"
            length = sum(len(buffer) for buffer in buffers)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                write_all(fd, buffers, 0, length)
                sync_data(fd)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)
            os.replace(temporary, final)
            self._sync_folder()
            faults.hit("blobs.local.put_synced")
            return length

        return await self._in_pool(work)

    def _sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    # -- reads --------------------------------------------------------------------------------------------------------

    def read_now(self, blob_id: int, position: int, length: int) -> bytes | None:
        if not _RWF_NOWAIT:
            return None
        fd = self._readable.get(blob_id)
        if fd is None:
            fd = self._open(blob_id)
        buffer = bytearray(length)
        try:
            got = os.preadv(fd, [buffer], position, _RWF_NOWAIT)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return None
            raise BlobError(f"cannot read {self.path(blob_id).name}: {error}") from error
        # a short answer: part of it is not in the page cache, or the file ends; `read` finds out which
        return buffer if got == length else None  # type: ignore[return-value]

    async def read(self, blob_id: int, position: int, length: int) -> bytes:
        return await self._in_pool(lambda: self._read(blob_id, position, length))

    def _read(self, blob_id: int, position: int, length: int) -> bytes:
        fd = os.open(self.path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while length:
                part = os.pread(fd, length, position)
                if not part:
                    raise BlobMissing(f"blob {blob_id:016x} ends at {position}, {length} more bytes were expected")
                parts.append(part)
                position += len(part)
                length -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            os.close(fd)

    def _open(self, blob_id: int) -> int:
        try:
            fd = os.open(self.path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {blob_id:016x} is not there") from error
        except OSError as error:
            raise BlobError(f"cannot open {self.path(blob_id).name}: {error}") from error
        self._readable[blob_id] = fd
        if len(self._readable) > _OPEN_MAX:
            os.close(self._readable.popitem(last=False)[1])
        return fd

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def delete(self, blob_id: int) -> None:
        fd = self._readable.pop(blob_id, None)
        if fd is not None:
            os.close(fd)

        def work() -> None:
            faults.hit("blobs.local.delete")
            self.path(blob_id).unlink(missing_ok=True)

        await self._in_pool(work)

    async def sizes(self) -> dict[int, int]:
        def work() -> dict[int, int]:
            return {int(file.stem, 16): file.stat().st_size for file in self.folder.glob("*.blob")}

        return await self._in_pool(work)

    async def close(self) -> None:
        def work() -> None:
            self._closing = True
            self._wake.set()
            self._thread.join()
            for file in self._appendable.values():
                os.ftruncate(file.fd, file.end)
                os.fsync(file.fd)
                os.close(file.fd)
            self._appendable.clear()

        await self._in_pool(work)
        self._pool.shutdown()
        while self._readable:
            os.close(self._readable.popitem()[1])

    async def _in_pool(self, work: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return work()
            except FileNotFoundError as error:
                raise BlobMissing(str(error)) from error
            except OSError as error:
                raise BlobError(str(error)) from error

        return await asyncio.get_running_loop().run_in_executor(self._pool, guarded)


def write_all(fd: int, buffers: Sequence[Buffer], position: int, length: int) -> None:
    """Write all buffers at `position`, however short single writes turn out. Raises OSError."""
    if len(buffers) <= _IOV_MAX:
        written = os.pwritev(fd, buffers, position)
        if written == length:
            return
        if written < 0:
            raise OSError(errno.EIO, "pwritev wrote nothing")
    else:
        written = 0
    # the slow way: find where it stopped and go on from there
    for buffer in buffers:
        view = memoryview(buffer)
        if written >= len(view):
            written -= len(view)
            position += len(view)
            continue
        position += written
        view = view[written:]
        written = 0
        while view:
            done = os.pwrite(fd, view, position)
            if not done:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            position += done
            view = view[done:]
