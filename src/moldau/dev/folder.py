"""Where a cluster of `moldau dev` keeps its data: a directory that is found again, or a temporary one that goes with it.

DIR/lock        held while the cluster runs
DIR/postgres/   the metadata: data, log, password
DIR/blobs/      the record bytes
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from .errors import DevError


class Folder:
    """`open` before anything is put in, `close` at the end. `path` None is a temporary one."""

    def __init__(self, path: Path | None) -> None:
        self.temporary = path is None
        self.path = path if path is not None else Path(tempfile.mkdtemp(prefix="moldau-dev-"))
        self._lock = -1

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def blobs_url(self) -> str:
        return (self.path / "blobs").resolve().as_uri()

    def open(self) -> None:
        """Raises DevError when another cluster has it, or it cannot be had."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if self.temporary:
                self.path.chmod(0o711)  # PostgreSQL may run as another user
            if any(self.path.iterdir()) and not (self.path / "lock").exists():
                raise DevError(f"{self.path} has other files: give a directory that is empty, or not there yet")
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (self.path / "format").exists():
                raise DevError(f"{self.path} is the data directory of one broker: give another one")
            (self.path / "blobs").mkdir(exist_ok=True)
        except BlockingIOError as error:
            raise DevError(f"{self.path} is in use: a cluster serves it already ('moldau dev status')") from error
        except OSError as error:
            raise DevError(f"cannot use {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let others have it; a temporary one is gone."""
        if self.temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
