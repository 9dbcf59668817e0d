"""Copies of files that are checked and synced, and folders that hold either all of them or none."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Set
from pathlib import Path

from moldau.records.crc import crc32c

from .checksum import Progress
from .data_dir import DataDir, sync_folder

_CHUNK_BYTES = 1 << 20
_SYNC_BYTES = 32 << 20
"""Synced in pieces: a large sync would hold up those of a broker on the same disk."""

SPARE_BYTES = 32 << 20
"""Room for a log of the metadata while a copy is put in order."""


class BackupError(Exception):
    """A backup or a restore that cannot be; the text says why and what to do."""


def copy_file(source: Path, target: Path, size: int, progress: Progress) -> int:
    """Copy the first `size` bytes into a new file and sync it; returns their CRC-32C. Raises OSError, BackupError: it is shorter."""
    crc = done = unsynced = 0
    with open(source, "rb", buffering=0) as reader, open(target, "xb", buffering=0) as writer:
        while done < size:
            data = reader.read(min(_CHUNK_BYTES, size - done))
            if not data:
                raise BackupError(f"{source} ends at {done}, {size} bytes were expected")
            view = memoryview(data)
            while view:
                view = view[writer.write(view) :]
            crc = crc32c(data, crc)
            done += len(data)
            unsynced += len(data)
            if unsynced >= _SYNC_BYTES:
                os.fsync(writer.fileno())
                unsynced = 0
            progress(len(data))
        os.fsync(writer.fileno())
    return crc


def refuse_used(target: Path, besides: Set[str] = frozenset()) -> None:
    """Raises BackupError unless `target` is an empty folder, but for those names, or is not there."""
    if not target.exists():
        return
    if not target.is_dir():
        raise BackupError(f"{target} is no directory. Name one that is empty or not there yet.")
    names = {file.name for file in target.iterdir()} - besides
    if not names:
        return
    if "backup.json" in names:
        what = "holds a backup"
    elif "format" in names:
        what = "is a data directory"
    elif "metadata.sqlite" in names or "blobs" in names:
        what = "holds what an interrupted backup or restore left"
    else:
        what = "is not empty"
    raise BackupError(f"{target} {what}. Choose a directory that is empty or not there yet; nothing was changed.")


@contextlib.contextmanager
def filled(target: Path, folder: DataDir | None = None) -> Iterator[None]:
    """A folder to fill, with its `blobs`: if the body raises, all that was put there goes again. With `folder` its lock is held meanwhile.

    Raises BackupError, DataDirError, OSError.
    """
    refuse_used(target)
    there = target.exists()
    ours = folder is None
    try:
        if folder is not None:
            folder.claim()
            refuse_used(target, {"lock"})  # now that nobody else can come
            ours = True
        (target / "blobs").mkdir(parents=True)
        yield
    except BaseException:
        for file in list(target.iterdir()) if ours and target.is_dir() else ():
            if file.is_dir():
                shutil.rmtree(file, ignore_errors=True)
            else:
                file.unlink(missing_ok=True)
        if not there:
            with contextlib.suppress(OSError):  # unless somebody else was quicker
                target.rmdir()
        raise
    finally:
        if folder is not None:
            folder.close()


def refuse_full(target: Path, wanted: int) -> None:
    """Raises BackupError where the file system has no room for so many bytes."""
    free = shutil.disk_usage(target).free
    if free < wanted:
        raise BackupError(
            f"{target} has room for {free} bytes, {wanted} are needed. Make room or choose another place."
        )


def sync_file(file: Path) -> None:
    """Make what is in the file durable. Raises OSError."""
    with open(file, "rb+") as there:
        os.fsync(there.fileno())


def sync_names(target: Path) -> None:
    """Make the names of all files durable. Raises OSError."""
    for folder in (target / "blobs", target, target.absolute().parent):
        sync_folder(folder)
