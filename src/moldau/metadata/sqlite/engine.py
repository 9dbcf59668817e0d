"""SQLite as an engine: one writer with group commit, one reader, and the switch between durable and fast commits.

Theory of operation
-------------------
The database runs in WAL mode. All writes go through `submit`: while one transaction commits, the next operations queue up and
then share one `BEGIN IMMEDIATE ... COMMIT`, so one sync serves them all; there is no timer. A cheap operation that finds the
writer idle runs at once on the caller's thread, which saves two thread switches where a sync is quick (measured, see `_INLINE_NS`).

Durability is `synchronous=FULL`; an operation with `durable=False` may share a commit with `synchronous=NORMAL`, which leaves the
WAL unsynced. The next durable commit syncs the whole WAL and so everything before it. Checkpoints sync too, so before one the
engine calls `before_sync` hooks: whoever holds unsynced record bytes makes them durable first (invariant 2: a power cut must never
leave rows without bytes).

Checkpoints are ours (`checkpoint()`, called by maintenance), never SQLite's automatic ones, which would fall on a commit.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from moldau import faults

from ..errors import FormatTooNew, StoreError, StoreUnavailable
from ..sql.named import load_migrations, load_queries

T = TypeVar("T")
Operation = Callable[[sqlite3.Cursor], Any]
Done = Callable[[Any, Exception | None], None]

_GROUP_MAX = 512
"""Operations in one transaction at most."""
_INLINE_NS = 1_500_000
"""A cheap operation runs on the caller's thread while commits take less than this (a moving average)."""
WAL_PRIME_BYTES = 4 << 20
"""The WAL is grown to this size once: commits that overwrite it sync faster than commits that extend it."""


class _Job:
    __slots__ = ("done", "durable", "error", "operation", "result", "savepoint")

    def __init__(self, operation: Operation, done: Done, durable: bool, savepoint: bool) -> None:
        self.operation = operation
        self.done = done
        self.durable = durable
        self.savepoint = savepoint
        self.result: Any = None
        self.error: Exception | None = None


class SqliteTx:
    """The transaction handle of the portable aggregates: named queries, awaited, though nothing here ever suspends."""

    __slots__ = ("_cursor", "_queries")

    def __init__(self, cursor: sqlite3.Cursor, queries: dict[str, str]) -> None:
        self._cursor = cursor
        self._queries = queries

    async def run(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of the named query."""
        return self._cursor.execute(self._queries[query], parameters).fetchall()

    async def run_many(self, query: str, parameters: list[dict[str, Any]]) -> None:
        """The named query once for each set of parameters; no rows are returned."""
        self._cursor.executemany(self._queries[query], parameters)


def _drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError("a transaction on SQLite must not wait for anything but its queries")


class SqliteEngine:
    """See the module's text. `open` may block and is called before serving; the rest never blocks the loop for long."""

    def __init__(self, path: Path, loop: AbstractEventLoop) -> None:
        self.path = path
        self.queries = load_queries()
        self.before_sync: Callable[[], None] = lambda: None
        self.commits = 0
        self.commit_ns_total = 0
        self._commit_ns = 0.0
        self._loop = loop
        self._lock = threading.Lock()
        self._queue: deque[_Job] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._full = True
        self._unsynced = False
        self._thread = threading.Thread(target=self._run, name="moldau-commit", daemon=True)
        self._read_pool = ThreadPoolExecutor(1, thread_name_prefix="moldau-read")

    # -- life ---------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open or create, migrate, prime the WAL. Raises StoreUnavailable, StoreCorrupt (as StoreError) or FormatTooNew."""
        fresh = not self.path.exists()
        try:
            self._writer = self._connect()
            migrate(self._writer)
            self._reader = self._connect()
            if fresh:
                self._prime()
        except sqlite3.DatabaseError as error:
            raise StoreUnavailable(f"cannot open the metadata file {self.path}: {error}") from error
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=256)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("PRAGMA cache_size=-8192")
        connection.execute("PRAGMA temp_store=MEMORY")
        return connection

    def _prime(self) -> None:
        assert self._writer is not None
        with contextlib.suppress(sqlite3.OperationalError):  # a full disk is told when something is written
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.execute("CREATE TABLE prime (filler BLOB)")
            self._writer.execute("INSERT INTO prime VALUES (zeroblob(?))", (WAL_PRIME_BYTES,))
            self._writer.execute("DROP TABLE prime")
            self._writer.execute("COMMIT")
            self._writer.execute("PRAGMA wal_checkpoint(RESTART)")

    def close(self) -> None:
        """Commit what is queued, checkpoint, close. Blocks."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._read_pool.shutdown()
        for connection in (self._reader, self._writer):
            if connection is not None:
                if connection is self._writer:
                    with contextlib.suppress(sqlite3.OperationalError, OSError):
                        self.before_sync()
                        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.close()
        self._reader = self._writer = None

    # -- writes -------------------------------------------------------------------------------------------------------

    def submit(
        self, operation: Operation, done: Done, *, durable: bool = True, cheap: bool = False, savepoint: bool = True
    ) -> None:
        """Run `operation` in a transaction and tell `done` on the loop's thread, after the commit.

        An operation that raises is rolled back alone (if it has a savepoint). `cheap` allows it to run right here.
        """
        job = _Job(operation, done, durable, savepoint)
        if cheap and not self._queue and self._commit_ns < _INLINE_NS and self._lock.acquire(blocking=False):
            try:
                self._commit([job])
            finally:
                self._lock.release()
            done(job.result, job.error)
            return
        self._queue.append(job)
        self._wake.set()

    async def write(self, body: Callable[[SqliteTx], Coroutine[Any, Any, T]]) -> T:
        """A durable transaction of a portable aggregate."""
        future: Future[T] = self._loop.create_future()

        def done(result: Any, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.submit(lambda cursor: _drive(body(SqliteTx(cursor, self.queries))), done)
        return await future

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                jobs: list[_Job] = []
                with self._lock:
                    while self._queue and len(jobs) < _GROUP_MAX:
                        jobs.append(self._queue.popleft())
                    self._commit(jobs)
                self._loop.call_soon_threadsafe(_tell, jobs)
            if self._closing:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all jobs. On failure of the commit itself every job gets the error."""
        started = time.perf_counter_ns()
        assert self._writer is not None
        cursor = self._writer.cursor()
        try:
            faults.hit("metadata.sqlite.begin")
            self._set_durable(cursor, any(job.durable for job in jobs))
            cursor.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._apply(cursor, job)
            faults.hit("metadata.sqlite.commit")
            cursor.execute("COMMIT")
            faults.hit("metadata.sqlite.committed")
        except (sqlite3.Error, OSError) as error:
            self._rollback(cursor)
            refused = StoreUnavailable(f"the metadata store refused a commit: {error}")
            for job in jobs:
                job.error = refused
        took = time.perf_counter_ns() - started
        self.commits += 1
        self.commit_ns_total += took
        self._commit_ns += (took - self._commit_ns) * 0.1

    def _apply(self, cursor: sqlite3.Cursor, job: _Job) -> None:
        if not job.savepoint:
            job.result = job.operation(cursor)
            return
        cursor.execute("SAVEPOINT job")
        try:
            job.result = job.operation(cursor)
        except StoreError as error:
            cursor.execute("ROLLBACK TO job")
            job.error = error
        cursor.execute("RELEASE job")

    def _rollback(self, cursor: sqlite3.Cursor) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer is not None and self._writer.in_transaction:
                cursor.execute("ROLLBACK")

    def _set_durable(self, cursor: sqlite3.Cursor, durable: bool) -> None:
        if durable and self._unsynced:
            self.before_sync()
            self._unsynced = False
        if durable != self._full:
            cursor.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._full = durable
        if not durable:
            self._unsynced = True

    # -- reads --------------------------------------------------------------------------------------------------------

    async def read(self, body: Callable[[SqliteTx], Coroutine[Any, Any, T]]) -> T:
        """A read transaction on the reader's connection, in its thread: one snapshot, no waiting for writers."""
        return await self._loop.run_in_executor(self._read_pool, self._read, body)

    def _read(self, body: Callable[[SqliteTx], Coroutine[Any, Any, T]]) -> T:
        assert self._reader is not None
        cursor = self._reader.cursor()
        try:
            cursor.execute("BEGIN")
            try:
                return _drive(body(SqliteTx(cursor, self.queries)))
            finally:
                cursor.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the metadata store refused a read: {error}") from error

    async def checkpoint(self) -> int:
        """Copy the WAL into the database so that it does not grow; returns the WAL's size in pages before."""

        def work() -> int:
            assert self._reader is not None
            faults.hit("metadata.sqlite.checkpoint")
            self.before_sync()
            row = self._reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            return int(row[1])

        return await self._loop.run_in_executor(self._read_pool, work)


def _tell(jobs: list[_Job]) -> None:
    for job in jobs:
        job.done(job.result, job.error)


def migrate(connection: sqlite3.Connection) -> int:
    """Bring the schema up to date; returns its version. Each step is one transaction; a newer schema is refused."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    steps = load_migrations()
    newest = steps[-1][0]
    if version > newest:
        raise FormatTooNew(
            f"the metadata file has schema {version}, this release knows up to {newest}: start it with the release that wrote it, or a newer one"
        )
    for number, script in steps:
        if number > version:
            statements = script.replace("{without_rowid}", "WITHOUT ROWID")
            connection.executescript(f"BEGIN IMMEDIATE;{statements};PRAGMA user_version={number};COMMIT;")
    return newest
