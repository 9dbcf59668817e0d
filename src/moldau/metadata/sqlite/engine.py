"""SQLite as an engine: one writer with group commit, one reader, and the switch between durable and fast commits.

Theory of operation
-------------------
The database runs in WAL mode. All writes go through `submit`: while one transaction commits, the next operations queue
up and then share one `BEGIN IMMEDIATE ... COMMIT`, so one sync serves them all; there is no timer. A cheap operation
that finds the writer idle runs at once on the caller's thread, which saves two thread switches where a sync is quick
(measured, see `_INLINE_NS`).

Operations take effect, and are told, in the order in which they were submitted. One that raises is rolled back alone:
then the transaction is rolled back and all of its operations run again, each under a savepoint (so an operation may run
twice and must have no effect but its statements). What the world refuses (disk full, I/O error) fails all of them.

Durability is `synchronous=FULL`. A transaction whose operations all have `durable=False` commits with
`synchronous=NORMAL`, which leaves the WAL unsynced. The next durable commit syncs the whole WAL and so everything
before it; so does a checkpoint. Before either of them the engine calls `before_sync`: whoever holds unsynced record
bytes makes them durable first (invariant 2: a power cut must never leave rows without bytes). While a checkpoint runs,
every commit is a durable one, because the checkpoint's sync may come after it. Without `syncs` (data that go with the
broker) nothing is ever synced.

Checkpoints are ours, never SQLite's automatic ones, which would fall on a commit. They run on a thread of their own:
one pass beside the commits, then a short one that holds them up, without which a busy writer would never let the WAL
begin anew. One is started after about `CHECKPOINT_BYTES` of WAL, or by `checkpoint()`.

Several processes
-----------------
With `shared` other processes of the host have the file open in the same way (`moldau serve --workers`). Then

- each transaction waits for its turn (`moldau.metadata.sqlite.turns`) before it takes what is queued, so a process that waits gathers a larger group;
  whoever finds that it is not its turn at once never runs on the loop's thread;
- a synced commit syncs what all processes wrote, so there is no `before_sync` that could be right: record bytes must be durable before their
  rows are committed, whatever the producer asked for;
- whoever's commit finds the WAL long makes the checkpoint; SQLite lets one in at a time, the others do not wait for it;
- the WAL is looked at by the process that starts the others, before them (`wal_check`: it cannot be told from damage what somebody is just writing);
  what one that died left behind its end is wiped out by the next one that opens the file;
- the last one that closes the file takes the WAL in; SQLite does that by itself.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from moldau import faults
from moldau.clock import Clock, now_ms
from moldau.histogram import Histogram

from ..errors import StoreError, StoreUnavailable
from ..sql.named import load_queries
from .connection import WalIndex, connect, is_worlds_fault, migrate, prime_wal, store_error, wipe_wal
from .integrity import problems
from .reads import Body, Reads
from .turns import NoTurns, Turns
from .tx import SqliteTx, drive
from .wal_check import refuse_damaged_wal

log = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[[sqlite3.Cursor], Any]
Done = Callable[[Any, Exception | None], None]

_GROUP_MAX = 512
"""Operations in one transaction at most."""
_INLINE_NS = 1_500_000
"""A cheap operation runs on the caller's thread while commits take less than this (a moving average)."""
CHECKPOINT_BYTES = 8 << 20
"""A checkpoint is due when the WAL holds about this much."""
_CHECKPOINT_PAGES = CHECKPOINT_BYTES // 4120
_CHECKPOINT_PAUSE_SECONDS = 0.05
"""Before a look at the WAL that another process is just taking in."""


class _Job:
    __slots__ = ("done", "durable", "error", "measured", "operation", "result")

    def __init__(self, operation: Operation, done: Done, durable: bool, measured: bool = True) -> None:
        self.operation = operation
        self.done = done
        self.durable = durable
        self.measured = measured
        self.result: Any = None
        self.error: Exception | None = None


class SqliteEngine:
    """See the module's text. `open` and `close` may block; the rest never blocks the loop for long."""

    def __init__(
        self,
        path: Path,
        loop: AbstractEventLoop,
        *,
        syncs: bool = True,
        power_kept: bool = False,
        shared: bool = False,
        was_shared: bool = False,
        clock: Clock = now_ms,
    ) -> None:
        """`power_kept`: the machine has been running since the file was last open; `was_shared`: several processes had it open then."""
        self.path = path
        self.clock = clock
        self.syncs = syncs
        self._power_kept = power_kept
        self._shared = shared
        self._was_shared = was_shared
        self._turns: Turns | NoTurns = NoTurns()
        self.queries = load_queries()
        self.before_sync: Callable[[], None] = lambda: None
        self.commits = 0
        self.failures = 0
        self.last_refusal: StoreError | None = None
        """Why the last transaction failed; None after one that did not."""
        self.commit_seconds = Histogram()
        self.sync_seconds = Histogram()
        self.checkpoints = 0
        self._commit_ns = 0.0
        self._loop = loop
        self._lock = threading.Lock()  # the writer's connection, and everything below up to _queue
        self._full = True
        self._unsynced = False
        self._checkpointing = False
        self._taken = 0
        self._told = 0  # changed on the loop's thread only
        self._queue: deque[_Job] = deque()
        self._wake = threading.Event()
        self._waking = False  # used on the loop's thread only
        self._closing = False
        self._checkpoint_asked = False
        self._ask_above = _CHECKPOINT_PAGES
        self._checkpointed = 0  # commits at the last checkpoint
        self._wal: WalIndex | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader = Reads("moldau-read", loop, self.queries, clock)
        self._aside = Reads("moldau-aside", loop, self.queries, clock)
        self._thread = threading.Thread(target=self._run, name="moldau-commit", daemon=True)

    # -- life ---------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open or create, migrate, prime the WAL. Raises StoreUnavailable, StoreCorrupt or FormatTooNew."""
        try:
            if self._shared:
                self._turns = Turns(self.path.parent)
            else:
                refuse_damaged_wal(self.path, power_kept=self._power_kept, was_shared=self._was_shared)
            with self._turns.taken():
                self._open_writer()
            self._reader.open(self.path)
            aside = self._aside.open(self.path, cache_kib=1024)
            if not self.syncs:
                aside.execute("PRAGMA synchronous=OFF")
        except BaseException as error:
            self._disconnect()
            if isinstance(error, (sqlite3.Error, OSError, ValueError)):
                raise store_error(error, f"cannot open the metadata file {self.path}") from error
            raise
        self._thread.start()

    def _open_writer(self) -> None:
        self._writer = connect(self.path)
        if not self.syncs:
            self._writer.execute("PRAGMA synchronous=OFF")
        migrate(self._writer)
        self._wal = WalIndex(self.path)
        if self._shared:
            wiped = wipe_wal(self._writer, self.path, self._wal)
            if wiped:
                log.info("event=metadata_log_wiped pages=%d", wiped)
        with contextlib.suppress(sqlite3.OperationalError, OSError):  # a full disk is told when something is written
            if self.syncs:
                prime_wal(self._writer, self.path)

    def close(self) -> None:
        """Commit what is queued, checkpoint, close. Blocks. What is submitted from now on is refused.

        Those who sync record bytes (`before_sync`) must still be able to.
        """
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._refuse_queue()
        self._reader.end()
        self._aside.end()
        if self._writer is not None and not self._shared:
            try:
                faults.hit("metadata.sqlite.close")
                self.before_sync()
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except Exception as error:
                log.warning("event=last_checkpoint_failed error=%s", error)
        self._disconnect()

    def _disconnect(self) -> None:
        self._aside.close()
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._wal is not None:
            self._wal.close()
            self._wal = None
        self._turns.close()
        self._turns = NoTurns()

    # -- writes -------------------------------------------------------------------------------------------------------

    def submit(
        self, operation: Operation, done: Done, *, durable: bool = True, cheap: bool = False, measured: bool = True
    ) -> None:
        """Run `operation` in a transaction and tell `done` on the loop's thread, after the commit.

        May be called on any thread, with `cheap` on the loop's only; `cheap` allows it to run, and `done` to be called,
        right here. The error is a StoreError, or what the operation raised. What is not `measured` may be long, and says nothing
        of how quick a cheap one would be.
        """
        job = _Job(operation, done, durable, measured)
        if cheap and self._commit_ns < _INLINE_NS and self._try_at_once(job):
            return
        self._queue.append(job)
        self._wake.set()
        if self._closing and not self._thread.is_alive():
            self._refuse_queue()

    def _try_at_once(self, job: _Job) -> bool:
        if self._queue or self._closing or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._queue or self._taken != self._told or self._writer is None:
                return False  # an earlier one has not been told yet
            if not self._turns.try_take():
                return False
            try:
                self._commit([job])
            finally:
                self._turns.give()
        finally:
            self._lock.release()
        self._tell(job)
        return True

    async def write(self, body: Body[T]) -> T:
        """A durable transaction of a portable aggregate. Raises StoreError."""
        return await self.operate(lambda _, tx: drive(body(tx)))

    async def operate(self, operation: Callable[[sqlite3.Cursor, SqliteTx], T]) -> T:
        """A durable transaction, as one of `submit`'s. Raises StoreError, and what the operation raises."""
        future: Future[T] = self._loop.create_future()

        def done(result: Any, error: Exception | None) -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._queue.append(
            _Job(lambda cursor: operation(cursor, SqliteTx(cursor, self.queries, self.clock)), done, True, False)
        )
        self._wake_soon()
        return await future

    def _wake_soon(self) -> None:
        """Once what is ready on the loop has run: what all of it wants written is one transaction."""
        if not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake_now)

    def _wake_now(self) -> None:
        self._waking = False
        self._wake.set()
        if self._closing and not self._thread.is_alive():
            self._refuse_queue()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                jobs: list[_Job] = []
                with self._lock, self._turns.taken():
                    while self._queue and len(jobs) < _GROUP_MAX:
                        jobs.append(self._queue.popleft())
                    self._taken += len(jobs)
                    self._commit(jobs)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                    self._loop.call_soon_threadsafe(self._tell_all, jobs)
            if self._closing:
                return

    def _tell_all(self, jobs: list[_Job]) -> None:
        self._told += len(jobs)
        for job in jobs:
            self._tell(job)

    def _tell(self, job: _Job) -> None:
        try:
            job.done(job.result, job.error)
        except Exception as error:
            # our fault, but the other operations must still be told
            context = {"message": "a callback of the metadata store failed", "exception": error}
            self._loop.call_exception_handler(context)

    def _refuse_queue(self) -> None:
        closed = StoreUnavailable("the metadata store is closed")
        while self._queue:
            try:
                job = self._queue.popleft()
            except IndexError:  # another thread took the last one
                return
            job.error = closed
            try:
                self._loop.call_soon_threadsafe(self._tell, job)
            except RuntimeError:
                self._tell(job)

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all jobs; afterwards each has its result or its error. The caller holds the lock."""
        started = time.perf_counter_ns()
        assert self._writer is not None
        cursor = self._writer.cursor()
        try:
            if not self._attempt(cursor, jobs):
                self._attempt(cursor, jobs, isolated=True)
        except BaseException as error:
            self._rollback(cursor)
            refused = store_error(error, "the metadata store refused a commit")
            self.failures += 1
            self.last_refusal = refused
            for job in jobs:
                job.result, job.error = None, refused
            if not isinstance(error, Exception):
                raise
        else:
            self.last_refusal = None
        took = time.perf_counter_ns() - started
        self.commits += 1
        self.commit_seconds.observe(took)
        if all(job.measured for job in jobs):
            self._commit_ns += (took - self._commit_ns) * 0.1
        if self._wal is not None and not self._checkpoint_asked and self._wal.backlog() > self._ask_above:
            self._ask_checkpoint()

    def _attempt(self, cursor: sqlite3.Cursor, jobs: list[_Job], isolated: bool = False) -> bool:
        """Begin, apply, commit. False: an operation raised, nothing was committed, try again with each one isolated."""
        faults.hit("metadata.sqlite.begin")
        self._set_durable(cursor, jobs)
        cursor.execute("BEGIN IMMEDIATE")
        for job in jobs:
            if isolated:
                cursor.execute("SAVEPOINT job")
            try:
                job.result = job.operation(cursor)
            except Exception as error:
                if is_worlds_fault(error):
                    raise
                job.result = None
                job.error = store_error(error, "refused by the rows") if isinstance(error, sqlite3.Error) else error
                if isolated:
                    cursor.execute("ROLLBACK TO job")
                else:
                    self._rollback(cursor)
                    if len(jobs) == 1:
                        return True
                    job.error = None
                    return False
            if isolated:
                cursor.execute("RELEASE job")
        faults.hit("metadata.sqlite.commit")
        if self._full:
            began = time.perf_counter_ns()
            cursor.execute("COMMIT")
            self.sync_seconds.observe(time.perf_counter_ns() - began)
        else:
            cursor.execute("COMMIT")
        faults.hit("metadata.sqlite.committed")
        return True

    def _rollback(self, cursor: sqlite3.Cursor) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer is not None and self._writer.in_transaction:
                cursor.execute("ROLLBACK")

    def _set_durable(self, cursor: sqlite3.Cursor, jobs: list[_Job]) -> None:
        if not self.syncs:
            self._full = False
            return
        all_durable = all(job.durable for job in jobs)
        durable = self._checkpointing or any(job.durable for job in jobs)
        if durable and (self._unsynced or not all_durable):
            # this commit's sync makes rows durable whose bytes may be in no synced file yet: earlier ones, or its own
            self.before_sync()
        if durable != self._full:
            cursor.execute("PRAGMA synchronous=FULL" if durable else "PRAGMA synchronous=NORMAL")
            self._full = durable
        self._unsynced = not durable

    @property
    def wal_pages(self) -> int:
        """Pages that wait for a checkpoint."""
        return self._wal.backlog() if self._wal is not None else 0

    @property
    def synced(self) -> bool:
        """Whether every commit so far was a durable one or came before one."""
        return not self._unsynced

    # -- reads --------------------------------------------------------------------------------------------------------

    async def read(self, body: Body[T]) -> T:
        """A read transaction in the reader's thread: one snapshot, no waiting for writers. Raises StoreError."""
        return await self._reader.transaction(body)

    async def scan(self, body: Body[T]) -> T:
        """As `read`, for long reads: `read` does not wait for it."""
        return await self._aside.transaction(body)

    async def damage(self, *, deep: bool) -> list[str]:
        """What is wrong with the file (`moldau.metadata.sqlite.integrity`). Raises StoreError."""

        def work(connection: sqlite3.Connection) -> list[str]:
            try:
                return list(problems(connection, deep=deep))
            except (sqlite3.Error, ValueError) as error:
                raise store_error(error, "the metadata file cannot be checked") from error

        return await self._aside.run(work)

    # -- checkpoints --------------------------------------------------------------------------------------------------

    async def checkpoint(self) -> int:
        """Copy the WAL into the database so that it begins anew; returns the pages it held. Raises StoreError.

        Costs nothing when there was no commit since the last one, or another process makes one.
        """
        return await self._aside.run(self._checkpoint)

    def _ask_checkpoint(self) -> None:
        self._checkpoint_asked = True

        def work(connection: sqlite3.Connection) -> None:
            try:
                if not self._checkpoint(connection) and self._shared:
                    time.sleep(_CHECKPOINT_PAUSE_SECONDS)
                self._ask_above = _CHECKPOINT_PAGES
            except StoreError as error:
                self._ask_above += _CHECKPOINT_PAGES  # a full disk: not again after each commit
                log.warning("event=checkpoint_failed error=%s", error)
            finally:
                self._checkpoint_asked = False

        with contextlib.suppress(RuntimeError):  # closing: it does one itself
            self._aside.begin(work)

    def _checkpoint(self, connection: sqlite3.Connection) -> int:
        try:
            with self._lock:
                if self.wal_pages == 0 if self._shared else self.commits == self._checkpointed:
                    return 0
                commits = self.commits
                self._checkpointing = True
            try:
                faults.hit("metadata.sqlite.checkpoint")
                self.before_sync()
                busy = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[0]
                if busy:  # another process makes one
                    return 0
                with self._lock, self._turns.taken():
                    pages = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
                    faults.hit("metadata.sqlite.checkpointed")
            finally:
                with self._lock:
                    self._checkpointing = False
        except Exception as error:
            raise store_error(error, "the metadata store refused a checkpoint") from error
        self.checkpoints += 1
        self._checkpointed = commits
        return int(pages)
