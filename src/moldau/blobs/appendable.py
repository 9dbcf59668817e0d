"""An open write-ahead file: written at its end, grown ahead, synced, and what remains true when one of these fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence

from moldau import faults

from .pieces import IOV_MAX, pieces
from .ports import BlobError, Buffer

GROW_BYTES = 16 << 20
"""A write-ahead file is grown ahead by this much."""
SMALL_BYTES = 12 << 10
"""A sync of so little is made quick by zeros ahead; of more the bytes themselves are most of it."""
ZERO_BYTES = 256 << 10
"""As many zeros are written ahead at once: they ride in a sync, and spare each of the next ones a commit of the file system's own journal."""
_ZEROS = bytes(ZERO_BYTES)
_ZEROS_VIEW = memoryview(_ZEROS)
CLEAR_BYTES = 64
"""Behind what is written over old bytes there are so many zeros at least: enough for a reader to see that nothing follows."""
_PAGE_BYTES = 4096
WRITE_BYTES = 1 << 20
"""Bytes of one write at most. Linux keeps what comes in one call in pages as large as it, up to 2 MiB, and those are dear: they have to be put together, or
fetched from the host of a virtual machine. Measured on one: writes of 2 MiB and more took 2.5 ms of the kernel for each MiB, those of 32 KiB to 1 MiB 0.4.
"""
_REWRITE_BYTES = 1 << 20
_NO_ROOM = 1 << 62

sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Make a file's bytes durable."""
_allocate: Callable[[int, int, int], None] | None = getattr(os, "posix_fallocate", None)


class Appendable:
    """`synced` <= `end` <= `allocated` in bytes; `end` is the logical end. What lies below `zeroed` has been written once, if only with zeros: room that was
    merely allocated is marked as written when its first bytes are synced, and that took 0.1 ms of 0.25, and of the slowest syncs more than half.

    Below `stale` there are old bytes behind the end, of another blob. What is written there is filled up with zeros to the end of a page, so that the system need not read the rest of the page first.

    `broken`: takes no more appends. `suspect`: a sync failed, the bytes from `synced` on must be written again.
    """

    __slots__ = ("allocated", "broken", "end", "fd", "stale", "suspect", "synced", "syncs", "zeroed")

    def __init__(self, fd: int, *, syncs: bool = True, stale: int = 0) -> None:
        self.fd = fd
        self.syncs = syncs
        self.end = 0
        self.synced = 0
        self.allocated = self.zeroed = self.stale = stale
        self.broken = False
        self.suspect = False

    @property
    def dirty(self) -> bool:
        """Some of it may not survive a power cut."""
        return self.synced < self.end

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Write at the end; returns where. Raises BlobError when it takes no appends, else what went wrong, once."""
        if self.broken:
            raise BlobError("it takes no more appends")
        position = self.end
        length = sum(len(buffer) for buffer in buffers)
        try:
            faults.hit("blobs.local.write")
            self._grow(position + length)
            if position + length < self.stale:
                clear = _clear(position + length, self.stale)
                write_all(self.fd, [*buffers, clear], position, length + len(clear))
            else:
                write_all(self.fd, buffers, position, length)
            faults.hit("blobs.local.written")
        except BaseException:
            self.broken = True
            raise
        self.end = position + length
        return position

    def _grow(self, end: int) -> None:
        if end <= self.allocated or _allocate is None:
            return
        step = max(GROW_BYTES, end - self.allocated)
        try:
            faults.hit("blobs.local.grow")
            _allocate(self.fd, self.allocated, step)
            self.allocated += step
        except OSError:
            self.allocated = _NO_ROOM  # not here, or no room for a whole step: the write itself will tell

    def _zero(self) -> None:
        """See to zeros ahead for the next small append."""
        start = max(self.end, self.zeroed)
        if start - self.end < SMALL_BYTES and start + ZERO_BYTES <= self.allocated < _NO_ROOM:
            try:
                faults.hit("blobs.local.zero")
                self.zeroed = start + os.pwrite(self.fd, _ZEROS, start)
            except OSError:
                self.zeroed = _NO_ROOM  # then it goes without

    def sync(self) -> int:
        """Make everything up to the end durable; returns how many bytes that were. After an OSError it is broken."""
        end = self.end
        try:
            faults.hit("blobs.local.sync")
            if self.suspect:
                _rewrite(self.fd, self.synced, end)
            if self.syncs:
                if end - self.synced <= SMALL_BYTES:
                    self._zero()
                sync_data(self.fd)
        except OSError:
            self.broken = self.suspect = True
            raise
        synced, self.synced = end - self.synced, end
        self.suspect = False
        return synced

    def stop(self) -> None:
        """Take no more appends; sync what is there. Raises OSError."""
        self.broken = True
        faults.hit("blobs.local.seal")
        if self.dirty:
            self.sync()

    def cut(self) -> None:
        """Give back what was grown ahead, and close. After an OSError it is still open."""
        os.ftruncate(self.fd, self.end)
        faults.hit("blobs.local.cut")
        if self.syncs:
            os.fsync(self.fd)
        os.close(self.fd)


def _clear(end: int, stale: int) -> Buffer:
    """The zeros that belong behind it."""
    beyond = end + CLEAR_BYTES
    return _ZEROS_VIEW[: min(beyond + -beyond % _PAGE_BYTES, stale) - end]


def _rewrite(fd: int, start: int, end: int) -> None:
    """Write a range again as it is in the page cache. Raises OSError."""
    while start < end:
        part = os.pread(fd, min(_REWRITE_BYTES, end - start), start)
        if not part:
            raise OSError(errno.EIO, f"the file ends at {start}, expected {end}")
        faults.hit("blobs.local.write")
        os.pwrite(fd, part, start)
        start += len(part)


def write_all(fd: int, buffers: Sequence[Buffer], position: int, length: int) -> None:
    """Write all buffers at `position`, `WRITE_BYTES` at once at most and however short single writes turn out. Raises OSError. The
    caller has the fault point.
    """
    if length <= WRITE_BYTES and len(buffers) <= IOV_MAX and os.pwritev(fd, buffers, position) == length:
        return
    # much, many buffers, or a short write: write all (again) in portions, each until nothing of it is left
    for views, left in pieces(buffers, WRITE_BYTES):
        while left:
            done = os.pwritev(fd, views, position)
            if not done:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            position += done
            left -= done
            while views and done >= len(views[0]):
                done -= len(views.pop(0))
            if views:
                views[0] = views[0][done:]
