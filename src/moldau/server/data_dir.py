"""The data directory: who may use it, and which format it has.

DIR/lock               held by the process that serves (flock); its process id, the boot of the machine it serves in, and
                       "workers" where it has some
DIR/format             version of everything in here, and the release that wrote it
DIR/metadata.sqlite    rows (SQLite, WAL mode)
DIR/turn.*             whose turn it is to write the rows, while workers serve (`moldau.metadata.sqlite.turns`)
DIR/metadata.sum       checksum of it while no broker serves (`moldau.server.at_rest`)
DIR/blobs/             record bytes
DIR/blobs/hold         locked by who copies them (`moldau.blobs.hold`)
DIR/migrating.json     while a cluster is migrated into it (`moldau.server.migration`)
DIR/migrated.json      after it was migrated to a cluster

The lock hangs on the open file, not on the process: it is free when the last process that has the file open is gone. One process takes
it; its workers get the open file from it, and do nothing with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path

from moldau import faults
from moldau.broker.assembly import FORMAT_VERSION
from moldau.version import VERSION

MIGRATING = "migrating.json"
"""With it the directory is half of one."""
MIGRATED = "migrated.json"
"""With it the directory is not served: what follows it is elsewhere."""
_WORKERS = "workers"
_ENDING_SECONDS = 3.0
"""How long a start waits for the workers of a process that is gone."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DataDirError(Exception):
    """The directory cannot be used; the text says why and what to do. Nothing in it was changed."""


class DataDirInUse(DataDirError):
    """Another process has the lock."""


class DataDir:
    """An open, locked data directory. `power_kept`: the machine has been running since it was last served from, `by_workers` if so."""

    def __init__(self, path: Path, *, workers: bool = False) -> None:
        self.path = path
        self.power_kept = False
        self.by_workers = False
        self._workers = workers
        self._lock_fd = -1

    def open(self) -> None:
        """Make it if need be, lock it, check its format. Raises DataDirError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._check_format()
        except OSError as error:
            self.close()
            raise DataDirError(
                f"cannot use the data directory {self.path}: {error.strerror or error}. Choose another with --data DIR."
            ) from error
        except DataDirError:
            self.close()
            raise

    def claim(self) -> None:
        """Make and lock a directory that is about to be filled: it is none before `write_format`. Raises DataDirError, OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock()
        except OSError:
            if self._lock_fd >= 0:
                (self.path / "lock").unlink()
            raise

    def _lock(self) -> None:
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        words = os.pread(fd, 256, 0).decode("ascii", "replace").split()
        owner = words[0] if words else "unknown"
        if not _flock(fd, owner):
            os.close(fd)
            raise DataDirInUse(
                f"the data directory {self.path} is in use by process {owner}. Stop that broker or choose another with --data DIR."
            )
        self._lock_fd = fd
        last_boot = words[1] if len(words) > 1 else ""
        self.power_kept = last_boot != "" and last_boot == boot_id()
        self.by_workers = words[2:3] == [_WORKERS]
        self._write_lock(last_boot, self.by_workers)

    def _write_lock(self, boot: str, by_workers: bool) -> None:
        content = f"{os.getpid()}\n{boot}\n{_WORKERS if by_workers else ''}\n".encode("ascii", "replace")
        faults.hit("server.data_dir.lock")
        os.pwrite(self._lock_fd, content, 0)
        os.ftruncate(self._lock_fd, len(content))

    def recovered(self) -> None:
        """What the last run left is put right: from now on only the next loss of power matters. Raises OSError."""
        self._write_lock(boot_id(), self._workers)

    @property
    def descriptor(self) -> int:
        """Of the locked file: whoever inherits it has the lock, too."""
        return self._lock_fd

    def _check_format(self) -> None:
        file = self.path / "format"
        if (self.path / MIGRATING).exists():
            raise DataDirError(
                f"{self.path} holds a half of a migration. Finish it: run the same 'moldau migrate --to {self.path}' again. Nothing was changed."
            )
        if not file.exists():
            if (self.path / "backup.json").exists():
                raise DataDirError(
                    f"{self.path} is a backup. Check it: moldau restore {self.path} --check. Make a data directory of it: moldau"
                    f" restore {self.path} --data DIR"
                )
            if (self.path / "metadata.sqlite").exists():
                raise DataDirError(
                    f"{self.path} holds metadata.sqlite but no format file: it is no whole data directory, maybe of a backup or a"
                    " restore that was interrupted. Nothing was changed."
                )
            self.write_format()
            return
        check_format(self.path)

    def write_format(self) -> None:
        """Say which format is in here, so that it is there after a power cut. Raises OSError."""
        faults.hit("server.data_dir.format")
        put_whole(self.path / "format", f"{FORMAT_VERSION} moldau-{VERSION}\n")
        faults.hit("server.data_dir.formatted")
        sync_folder(self.path)
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Give the lock back."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1


def _flock(fd: int, owner: str) -> bool:
    """Whether the lock is ours. Waits a little for the workers of a process that is gone: they end with it."""
    until = time.monotonic() + _ENDING_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until or not owner.isdigit() or _lives(int(owner)):
                return False
            time.sleep(0.02)
        else:
            return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def check_format(folder: Path) -> None:
    """Whether this release knows the directory's format. Raises DataDirError, OSError."""
    file = folder / "format"
    words = file.read_text("ascii", "replace").split()
    if not words or not words[0].isdigit() or int(words[0]) < 1:
        raise DataDirError(
            f"{file} says {' '.join(words)[:40]!r}, expected a format version from 1 to {FORMAT_VERSION}: it is damaged."
            " Nothing was changed."
        )
    if int(words[0]) > FORMAT_VERSION:
        raise DataDirError(
            f"{folder} has format {words[0][:20]} (written by {' '.join(words[1:])[:40] or 'a newer release'}); this release"
            f" ({VERSION}) knows up to format {FORMAT_VERSION}. Use the newer release. Nothing was changed."
        )


def refuse_migrated(folder: Path) -> None:
    """Whether the cluster goes on elsewhere. Raises DataDirError, OSError."""
    file = folder / MIGRATED
    if not file.exists():
        return
    try:
        note = json.loads(file.read_bytes())
        where = f"to {note['metadata']} and {note['blobs']} at {note['at']}"
    except (ValueError, KeyError, TypeError):
        where = "away"
    raise DataDirError(
        f"{folder} was migrated {where}: brokers that serve those stores go on from here. To serve the directory as it was then,"
        f" without what was written there since, delete {file}. Nothing was changed."
    )


def boot_id() -> str:
    """Names the time since the machine was started; empty where that cannot be known."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""


def put_whole(file: Path, text: str) -> None:
    """All of the text or nothing of it stands under that name, which is durable after `sync_folder`. Raises OSError."""
    temporary = file.with_name(f"{file.name}.tmp")
    with open(temporary, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, file)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
