"""Whose turn it is to write a metadata file that several processes of one host write: a queue of two locks.

SQLite alone lets writers try again after pauses, so whoever has just committed, and asks again at once, wins nearly always, and the others sleep
although the file is free. Here a writer first takes the door, then the room, then gives the door back: at most one waits for the room, and it has
the door, so nobody who comes later gets in before it. Two busy writers take turns strictly; of more, those before the door
are woken together and one of them gets it.

A lock is a `flock` of a file of its own: it waits in the kernel, and it is free when its process dies, however that dies. A turn that nobody contends
costs four calls, a few microseconds beside a commit of at least fifty.

The files hold nothing and may be deleted while nobody serves.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

DOOR: Final = "turn.door"
ROOM: Final = "turn.room"


class Turns:
    """`take` and `give`, by one thread of the process at a time. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._door = _open(folder / DOOR)
        try:
            self._room = _open(folder / ROOM)
        except OSError:
            os.close(self._door)
            raise

    def take(self) -> None:
        """Wait for the turn."""
        fcntl.flock(self._door, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)

    def try_take(self) -> bool:
        """Take it if nobody has it and nobody waits for it."""
        try:
            fcntl.flock(self._door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            fcntl.flock(self._door, fcntl.LOCK_UN)
        return True

    def give(self) -> None:
        """To whoever is next."""
        fcntl.flock(self._room, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """A turn for a `with` block."""
        self.take()
        try:
            yield
        finally:
            self.give()

    def close(self) -> None:
        os.close(self._door)
        os.close(self._room)


class NoTurns:
    """For a process that is alone with its file."""

    def take(self) -> None:
        pass

    def try_take(self) -> bool:
        return True

    def give(self) -> None:
        pass

    def taken(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def close(self) -> None:
        pass


def remove(folder: Path) -> None:
    """The files, once nobody uses them any more. Raises OSError."""
    for name in (DOOR, ROOM):
        (folder / name).unlink(missing_ok=True)


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
