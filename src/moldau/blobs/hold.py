"""A hold on the files of a blob store: as long as somebody has one, no file is deleted.

Theory: whoever copies the files of a store that is in use first takes a hold, then a snapshot of the rows, then the files that the
snapshot names. A hold is a shared `flock` on `FOLDER/hold`, so it ends with the process that has it, however that ends. A deletion takes the
lock exclusively for as long as one `unlink`, and gives up at once where somebody has a hold: garbage is collected later.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from .ports import BlobHeld


def _open(folder: Path) -> int:
    return os.open(folder / "hold", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have a hold. Waits for a deletion under way. Raises OSError."""
    fd = _open(folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        yield
    finally:
        os.close(fd)


class Deletions:
    """The other side: `with deletions.allowed(): unlink`. Used on any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Raises BlobHeld, OSError."""
        fd = _open(self._folder)  # each its own: a lock hangs on the open file, and there are several threads
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BlobHeld(f"the files in {self._folder} are being copied") from None
            yield
        finally:
            os.close(fd)
