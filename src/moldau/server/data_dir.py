"""The data directory: who may use it, and which format it has.

DIR/lock               held by the process that serves (flock); says its process id
DIR/format             version of everything in here, and the release that wrote it
DIR/metadata.sqlite    rows (SQLite, WAL mode)
DIR/blobs/             record bytes
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from moldau.broker.assembly import FORMAT_VERSION
from moldau.version import VERSION


class DataDirError(Exception):
    """The directory cannot be used; the text says why and what to do. Nothing in it was changed."""


class DataDir:
    """An open, locked data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_fd = -1

    def open(self) -> None:
        """Make it if need be, lock it, check its format. Raises DataDirError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._check_format()
        except OSError as error:
            raise DataDirError(
                f"cannot use the data directory {self.path}: {error.strerror or error}. Choose another with --data DIR."
            ) from error

    def _lock(self) -> None:
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(fd, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise DataDirError(
                f"the data directory {self.path} is in use by process {owner}. Stop that broker or choose another with --data DIR."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = fd

    def _check_format(self) -> None:
        file = self.path / "format"
        if not file.exists():
            if (self.path / "metadata.sqlite").exists():
                raise DataDirError(
                    f"{self.path} holds metadata.sqlite but no format file: it is no whole data directory."
                )
            temporary = self.path / "format.tmp"
            temporary.write_text(f"{FORMAT_VERSION} moldau-{VERSION}\n", "ascii")
            os.replace(temporary, file)
            return
        words = file.read_text("ascii", "replace").split()
        if not words or not words[0].isdigit():
            raise DataDirError(f"{file} says {' '.join(words)[:40]!r}, expected a format version: it is damaged.")
        if int(words[0]) > FORMAT_VERSION:
            raise DataDirError(
                f"{self.path} has format {words[0]} (written by {' '.join(words[1:]) or 'a newer release'}); this release"
                f" ({VERSION}) knows up to format {FORMAT_VERSION}. Use the newer release. Nothing was changed."
            )

    def close(self) -> None:
        """Give the lock back."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1
