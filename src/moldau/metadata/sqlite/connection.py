"""How a metadata file is opened: whose it is, its pragmas, its schema, its write-ahead log; and what its errors mean."""

from __future__ import annotations

import errno
import mmap
import os
import sqlite3
from pathlib import Path
from struct import Struct

from moldau import faults

from ..errors import FormatTooNew, StoreCorrupt, StoreError, StoreUnavailable
from ..sql.named import load_migrations

APPLICATION_ID = 0x4D4F4C44
"""In the header of the file (offset 68): "MOLD"."""
WAL_PRIME_BYTES = 4 << 20
"""The WAL is filled with zeros up to here at each start: a commit that overwrites syncs in half the time of one that
extends the file (measured on ext4: 250-300 us against 480-520 us; `posix_fallocate` alone gains nothing here).
"""

_WAL_HEADER_BYTES, _FRAME_BYTES = 32, 24
_UINT32 = Struct("=I")
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOLFS,
    }
)


def is_worlds_fault(error: BaseException) -> bool:
    """Whether the error is of the file or the disk, and so ends the whole transaction; else it is of one operation."""
    if isinstance(error, sqlite3.Error):
        return _code(error) in _CORRUPT | _REFUSED
    return isinstance(error, OSError)


def store_error(error: BaseException, what: str) -> StoreError:
    """The error in the words of the port. Constraints that fail are StoreCorrupt: rows contradict what was to be
    written.
    """
    if isinstance(error, StoreError):
        return error
    what = " ".join(f"{what}: {error}".split())  # one line, whatever a damaged schema has in it
    corrupt = isinstance(error, (sqlite3.IntegrityError, ValueError))  # ValueError: text that is none
    if corrupt or (isinstance(error, sqlite3.Error) and _code(error) in _CORRUPT):
        made: StoreError = StoreCorrupt(what)
    else:
        made = StoreUnavailable(what)
    made.__cause__ = error
    return made


def _code(error: sqlite3.Error) -> int:
    # errors of the Python module itself carry no code
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def connect(path: Path, cache_kib: int = 8192) -> sqlite3.Connection:
    """A connection in WAL mode that syncs each commit and never checkpoints by itself. Refuses what is not ours.

    Raises sqlite3.Error, StoreCorrupt, FormatTooNew; then nothing was changed.
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        recognise(connection, path)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute(f"PRAGMA cache_size=-{cache_kib}")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cell_size_check=ON")  # pages are looked at more closely when they are read
    except BaseException:
        connection.close()
        raise
    return connection


def schema_version(connection: sqlite3.Connection) -> int:
    """The number of the last migration; 0 in a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def recognise(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreCorrupt, FormatTooNew for what is not a metadata file that this release knows; a new file is fine."""
    version = schema_version(connection)
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return
    if application != APPLICATION_ID:
        raise StoreCorrupt(f"{path} is a SQLite file, but not a metadata file of Moldau (application_id={application})")
    newest = load_migrations()[-1][0]
    if version > newest:
        raise FormatTooNew(
            f"{path} has schema {version}, this release knows up to {newest}:"
            " start it with the release that wrote it, or a newer one"
        )


def in_sqlite(script: str) -> str:
    """A migration in SQLite's words."""
    return script.replace("{without_rowid}", "WITHOUT ROWID").replace("{id}", "INTEGER").replace("{text}", "TEXT")


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the schema up to date; returns its version. Each step is one transaction. Raises sqlite3.Error, OSError."""
    version = schema_version(connection)
    for number, script in load_migrations():
        if number > version:
            faults.hit("metadata.sqlite.migrate")
            try:
                connection.executescript(
                    f"BEGIN IMMEDIATE;{in_sqlite(script)};PRAGMA application_id={APPLICATION_ID};"
                    f"PRAGMA user_version={number};COMMIT;"
                )
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            version = number
    return version


def prime_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Lengthen the WAL with zeros, which SQLite takes for the end of it. Raises sqlite3.Error, OSError.

    Under the write lock, lest another process's commit extends the file at the same time. (Opening the WAL beside
    SQLite is safe: its POSIX locks are on the database and the -shm file.)
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        fd = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            if size < WAL_PRIME_BYTES:
                faults.hit("metadata.sqlite.prime")
                try:
                    if os.pwrite(fd, bytes(WAL_PRIME_BYTES - size), size) < WAL_PRIME_BYTES - size:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(fd)
                except OSError:
                    os.ftruncate(fd, size)  # the room is needed for data
                    raise
        finally:
            os.close(fd)
    finally:
        connection.execute("ROLLBACK")


class WalIndex:
    """How much of the WAL waits for a checkpoint, read from the shared memory file as its documented format has it
    (sqlite.org/walformat.html): no statement of SQLite tells this without doing a checkpoint.

    Closing any descriptor of that file drops this process's POSIX locks on it, SQLite's among them: `close` only after
    the connections.
    """

    _MX_FRAME, _SALTS, _N_BACKFILL = 16, 32, 96

    def __init__(self, path: Path) -> None:
        self._fd = os.open(f"{path}-shm", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._map = mmap.mmap(self._fd, 136, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(self._fd)
            raise

    def backlog(self) -> int:
        """Pages in the WAL that are not in the database yet."""
        copied: int = _UINT32.unpack_from(self._map, self._N_BACKFILL)[0]
        return self.frames() - copied

    def frames(self) -> int:
        """Pages in the WAL that are committed."""
        frames: int = _UINT32.unpack_from(self._map, self._MX_FRAME)[0]
        return frames

    def salts(self) -> bytes:
        """What marks the frames of this WAL, as they have it."""
        return self._map[self._SALTS : self._SALTS + 8]

    def close(self) -> None:
        self._map.close()
        os.close(self._fd)


def wipe_wal(connection: sqlite3.Connection, path: Path, index: WalIndex) -> int:
    """Make no frames of what stands behind the end of the WAL that others write, too; returns how many pages that was. Raises sqlite3.Error, OSError.

    A process that died in a commit leaves them. SQLite writes over them, page by page, and what would be left of them when all processes die
    cannot be told from commits behind a damaged page (`wal_check`).
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        fd = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            salts, first = index.salts(), index.frames()
            step = _FRAME_BYTES + int(connection.execute("PRAGMA page_size").fetchone()[0])
            at = _WAL_HEADER_BYTES + first * step
            while any(salts) and os.pread(fd, 8, at + 8) == salts:  # none yet: nothing was ever written
                os.pwrite(fd, bytes(_FRAME_BYTES), at)
                at += step
            return (at - _WAL_HEADER_BYTES) // step - first
        finally:
            os.close(fd)
    finally:
        connection.execute("ROLLBACK")
