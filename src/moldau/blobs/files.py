"""Whole blobs as files in one folder: what files of one broker and those of a shared folder have in common.

Layout: `DIR/<16 hex digits of the id>.blob`. A put is written to a temporary file, synced, renamed, and the directory synced, so that a blob is
there whole or not at all. Reads are `pread`: on the loop's thread where the page cache has the bytes (`preadv2` with `RWF_NOWAIT`), else in a
pool. Without `syncs` (data that go with the broker) nothing is ever synced.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from moldau import faults

from .appendable import sync_data, write_all
from .pieces import pieces, push
from .ports import BlobError, BlobMissing, Buffer

T = TypeVar("T")

OPEN_MAX = 128
"""Files open for reading at most."""
_RWF_NOWAIT = getattr(os, "RWF_NOWAIT", 0)


class BlobFiles:
    """See `moldau.blobs.ports.BlobStore`. `read_now` and `delete` are called on one thread, that of the loop."""

    pushes = False
    """Whether puts are the business of maintenance alone, and others sync small appends on the same device (`moldau.blobs.pieces`)."""

    def __init__(self, folder: Path, *, syncs: bool, threads: int = 4) -> None:
        self.folder = folder
        self._may_sync = syncs
        self._readable: OrderedDict[int, int] = OrderedDict()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="moldau-blob")

    def path(self, blob_id: int) -> Path:
        """Where the blob lies."""
        return self.folder / f"{blob_id:016x}.blob"

    def _make_folder(self) -> None:
        """Raises OSError."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            if self._may_sync:
                sync_names(self.folder.parent)

    def _end(self, blob_id: int) -> int | None:
        """Where a blob that grows ends, if it is one."""
        return None

    # -- puts ---------------------------------------------------------------------------------------------------------

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        return await self._in_pool(lambda: self._put(blob_id, buffers))

    def _put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        faults.hit("blobs.local.put")
        final, temporary = self.path(blob_id), self._temporary(blob_id)
        length = sum(len(buffer) for buffer in buffers)
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            try:
                position = 0
                for piece, size in pieces(buffers):
                    write_all(fd, piece, position, size)
                    if self.pushes and self._may_sync and length > size:
                        push(fd, position, size)
                    position += size
                if self._may_sync:
                    sync_data(fd)
            finally:
                os.close(fd)
            faults.hit("blobs.local.put_written")
            os.replace(temporary, final)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._sync_folder()
        faults.hit("blobs.local.put_synced")
        return length

    def _temporary(self, blob_id: int) -> Path:
        return self.folder / f"{blob_id:016x}.tmp"

    def _sync_folder(self) -> None:
        if not self._may_sync:
            return
        faults.hit("blobs.local.sync_folder")
        sync_names(self.folder)

    # -- reads --------------------------------------------------------------------------------------------------------

    def read_now(self, blob_id: int, position: int, length: int) -> bytes | bytearray | None:
        buffer = bytearray(length)
        return buffer if self.read_into_now(blob_id, position, memoryview(buffer)) else None

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        if not _RWF_NOWAIT:
            return False
        end = self._end(blob_id)
        if end is not None and position + len(into) > end:
            raise too_short(blob_id, end, position, len(into))
        fd = self._readable.get(blob_id)
        if fd is None:
            fd = self._open(blob_id)
        else:
            self._readable.move_to_end(blob_id)
        try:
            got = os.preadv(fd, [into], position, _RWF_NOWAIT)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return False
            raise BlobError(f"cannot read {self.path(blob_id).name}: {error}") from error
        # a short answer: part of it is not in the page cache, or the file ends; `read` finds out which
        return got == len(into)

    async def read(self, blob_id: int, position: int, length: int) -> bytes:
        return (await self.read_many(blob_id, [(position, length)]))[0]

    async def read_some(self, blob_id: int, position: int, length: int) -> bytes:
        def work() -> bytes:
            end = self._end(blob_id)
            if end is None:
                end = os.stat(self.path(blob_id)).st_size
            return self._read(blob_id, [(position, min(length, end - position) if end > position else length)])[0]

        return await self._in_pool(work)

    async def read_many(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return await self._in_pool(lambda: self._read(blob_id, ranges))

    def _read(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        end = self._end(blob_id)
        fd = os.open(self.path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        try:
            read = []
            for position, length in ranges:
                if end is not None and position + length > end:
                    raise too_short(blob_id, end, position, length)
                read.append(read_range(fd, blob_id, position, length))
            return read
        finally:
            self._done_with(blob_id, fd)

    def _done_with(self, blob_id: int, fd: int) -> None:
        """A thread of the pool has read from it."""
        os.close(fd)

    def _open(self, blob_id: int) -> int:
        try:
            fd = os.open(self.path(blob_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {blob_id:016x} is not there") from error
        except OSError as error:
            raise BlobError(f"cannot open {self.path(blob_id).name}: {error}") from error
        self._keep_open(blob_id, fd)
        return fd

    def _keep_open(self, blob_id: int, fd: int) -> None:
        self._readable[blob_id] = fd
        if len(self._readable) > OPEN_MAX:
            os.close(self._readable.popitem(last=False)[1])

    # -- the rest -----------------------------------------------------------------------------------------------------

    async def delete(self, blob_id: int) -> None:
        try:
            await self._in_pool(lambda: self._delete(blob_id))
        finally:
            # after the unlink: a `read_now` meanwhile would have opened it again and kept its space taken
            self._forget(blob_id)

    def _delete(self, blob_id: int) -> None:
        faults.hit("blobs.local.delete")
        self.path(blob_id).unlink(missing_ok=True)

    def _forget(self, blob_id: int) -> None:
        fd = self._readable.pop(blob_id, None)
        if fd is not None:
            os.close(fd)

    async def sizes(self) -> dict[int, int]:
        return await self._in_pool(self._sizes)

    def _sizes(self) -> dict[int, int]:
        sizes: dict[int, int] = {}
        for file in self.folder.glob("*.blob"):
            try:
                blob_id, size = int(file.stem, 16), file.stat().st_size
            except (ValueError, FileNotFoundError):
                continue  # not ours, or deleted meanwhile
            end = self._end(blob_id)
            sizes[blob_id] = size if end is None else end
        return sizes

    async def close(self) -> None:
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

        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, guarded)
        except RuntimeError as error:  # shut down
            raise BlobError("the blob store is closed") from error
        return await future


def read_range(fd: int, blob_id: int, position: int, length: int) -> bytes:
    """Exactly that range. Raises BlobMissing, OSError."""
    parts = []
    while length:
        part = os.pread(fd, length, position)
        if not part:
            raise too_short(blob_id, os.fstat(fd).st_size, position, length)
        parts.append(part)
        position += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sync_names(folder: Path) -> None:
    """Make a folder's entries durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def too_short(blob_id: int, end: int, position: int, length: int) -> BlobMissing:
    """The blob ends before the range does."""
    return BlobMissing(f"blob {blob_id:016x} ends at {end}; asked for {length} bytes at {position}")
