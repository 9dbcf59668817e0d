"""The directory of `--ephemeral`: it goes with the broker, so nothing in it is ever synced (docs/decisions/0004).

A broker that was killed cannot take its directory away; the next ephemeral one does, once nobody holds the lock in it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

PREFIX = "moldau-ephemeral-"
_AGE_SECONDS = 60.0
"""A lock file younger than this may be one that is about to be locked."""


def make() -> Path:
    """A new empty directory where temporary files go ($TMPDIR)."""
    import tempfile

    sweep(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def remove(folder: Path) -> None:
    """Take it away; what cannot be removed is left."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def sweep(where: Path) -> list[Path]:
    """Remove what killed brokers of this user left behind; returns what went."""
    gone = []
    for folder in where.glob(f"{PREFIX}*"):
        try:
            fd = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # not ours, or not locked yet
        try:
            status = os.fstat(fd)
            if status.st_uid == os.getuid() and time.time() - status.st_mtime > _AGE_SECONDS:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(folder)
                gone.append(folder)
        except OSError:
            pass  # its broker lives
        finally:
            os.close(fd)
    return gone
