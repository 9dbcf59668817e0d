"""PostgreSQL as an engine: bounded pools, transactions that are tried again while that is safe, and errors in the words of the port.

Theory of operation
-------------------
Three pools share the connections: commits (appends and groups, which must not wait for anything else), queries (the rest), and one for scans,
whose statements may take long. Transactions of portable aggregates run under READ COMMITTED and lock the rows that they decide on, in one order
everywhere: blob, transactional id, lease, partition by id, group offset. Reads of several statements run under REPEATABLE READ, which is one snapshot.

What certainly did nothing is tried again until `retry_seconds` are over: a refused connection, a deadlock, a lock that was not had in time, a
connection that was lost before COMMIT was sent. So a restart of PostgreSQL is a pause, not an error. A COMMIT whose answer did not come is in
doubt, and so is one that came with a warning (a synchronous standby that did not confirm it): StoreUnavailable, and the caller finds out by
reading. An append finds out by itself (`appends.py`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import asyncpg

from moldau import faults
from moldau.histogram import Histogram

from ..errors import StoreError, StoreUnavailable
from .address import SCAN_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, Address, hidden
from .connecting import LATER, Connector
from .errors import ConnectRefused, InDoubt, TryAgain, is_worlds_fault, store_error
from .pool import Pool, Session
from .schema import migrate
from .tx import PostgresTx, queries, tuples

log = logging.getLogger(__name__)

T = TypeVar("T")
Body = Callable[[PostgresTx], Coroutine[Any, Any, T]]

CONNECTIONS_LEAST = 4
_SCANS = 1
_COMMITS_MOST = 6
_RETRY_FIRST = 0.005
_RETRY_MOST = 0.5


class PostgresEngine:
    """See the module's text. `url` as libpq has it; at most `connections_max` at a time."""

    def __init__(
        self,
        url: str,
        *,
        connections_max: int = 12,
        retry_seconds: float = 10.0,
        clock: Callable[[], int] | None = None,
    ) -> None:
        """`clock` replaces the store's own in tests. Raises ValueError."""
        self.address = Address(url)
        self._connector = Connector(self.address)
        self.queries = queries()
        self.retry_seconds = retry_seconds
        self.commits = 0
        self.failures = 0
        self.retries = 0
        """Statements or transactions that were sent again."""
        self.last_refusal: StoreError | None = None
        """Why the last commit failed; None after one that did not."""
        self.commit_seconds = Histogram()
        self._clock = clock
        connections = max(CONNECTIONS_LEAST, connections_max)
        commits = min(_COMMITS_MOST, (connections - _SCANS) // 2)
        self.commit_pool = Pool(self._connect, commits)
        self._query_pool = Pool(self._connect, connections - commits - _SCANS)
        self._scan_pool = Pool(lambda seconds: self._connect(seconds, SCAN_TIMEOUT_MS), _SCANS)

    # -- life ---------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect, bring the schema up to date, look at the server's settings. Raises StoreUnavailable, StoreCorrupt, FormatTooNew."""
        where = hidden(self.address.url)
        try:
            session = await self._first_session()
        except Exception as error:
            raise store_error(error, f"cannot open the metadata store {where}", committing=False) from error
        try:
            await migrate(session.connection)
            await _look_at_settings(session.connection)
        except BaseException as error:
            self._query_pool.release(session, broken=True)
            await self.close()
            if is_worlds_fault(error):
                raise store_error(error, f"cannot open the metadata store {where}", committing=False) from error
            raise
        self._query_pool.release(session)

    async def _first_session(self) -> Session:
        """Brokers and their database may be started together, so one that is away is waited for; one that refuses us (a password) is not."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.retry_seconds
        first: ConnectRefused | None = None
        while True:
            try:
                return await self._query_pool.acquire(deadline)
            except ConnectRefused as error:
                if first is None:
                    if not isinstance(error.__cause__, LATER):
                        raise
                    first = error
                    log.warning("event=waits_for_metadata_store seconds=%.0f why='%s'", self.retry_seconds, error)
                if loop.time() >= deadline:
                    raise first from error

    async def close(self) -> None:
        """What is submitted from now on is refused."""
        for pool in (self.commit_pool, self._query_pool, self._scan_pool):
            await pool.close()

    async def _connect(self, seconds: float, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> Any:
        return await self._connector.connect(seconds, statement_timeout_ms)

    @property
    def connections(self) -> int:
        """Open ones."""
        return sum(pool.open for pool in (self.commit_pool, self._query_pool, self._scan_pool))

    @property
    def manual_now(self) -> int | None:
        """The clock of a test; None: the store's own."""
        return self._clock() if self._clock is not None else None

    async def now(self) -> int:
        """The store's clock in ms."""
        return self._clock() if self._clock is not None else int((await self.query("store_now"))[0][0])

    # -- transactions -------------------------------------------------------------------------------------------------

    async def write(self, body: Body[T]) -> T:
        """A durable transaction of a portable aggregate, which may run more than once. Raises StoreError."""

        async def work(session: Session) -> T:
            connection = session.connection
            transaction = connection.transaction()
            faults.hit("metadata.postgres.begin")
            await transaction.start()
            try:
                result = await body(self._tx(connection, STATEMENT_TIMEOUT_MS))
            except BaseException as error:
                if not is_worlds_fault(error) or isinstance(error, asyncpg.PostgresError):
                    await _rollback(transaction)
                raise
            faults.hit("metadata.postgres.commit")
            await self.committed(session, transaction.commit())
            return result

        return await self.attempt(self._query_pool, work, "the metadata store refused a transaction")

    async def read(self, body: Body[T]) -> T:
        """A read transaction on one snapshot, no waiting for writers. Raises StoreError."""
        return await self._read(self._query_pool, STATEMENT_TIMEOUT_MS, body)

    async def scan(self, body: Body[T]) -> T:
        """As `read`, for long reads: `read` does not wait for it."""
        return await self._read(self._scan_pool, SCAN_TIMEOUT_MS, body)

    async def _read(self, pool: Pool, timeout_ms: int, body: Body[T]) -> T:
        async def work(session: Session) -> T:
            async with session.connection.transaction(isolation="repeatable_read", readonly=True):
                return await body(self._tx(session.connection, timeout_ms))

        return await self.attempt(pool, work, "the metadata store refused a read")

    async def query(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """One named query that reads, or may be sent twice, in one round trip. Raises StoreError."""
        named = self.queries[query]
        arguments = named.arguments(parameters)

        async def work(session: Session) -> list[Any]:
            return list(
                await session.connection.fetch(named.sql, *arguments, timeout=client_timeout(STATEMENT_TIMEOUT_MS))
            )

        return tuples(await self.attempt(self._query_pool, work, "the metadata store refused a read"))

    def _tx(self, connection: Any, timeout_ms: int) -> PostgresTx:
        return PostgresTx(connection, self.queries, client_timeout(timeout_ms), self._clock)

    async def committed(self, session: Session, commit: Awaitable[T]) -> T:
        """Wait for what commits. Raises InDoubt where its answer does not come, or comes with a warning."""
        began = asyncio.get_running_loop().time()
        try:
            result = await commit
            faults.hit("metadata.postgres.committed")
        except Exception as error:
            if is_worlds_fault(error):
                raise store_error(error, "a commit", committing=True) from error
            raise
        if session.warned:
            raise InDoubt(f"a commit may not have reached the standby: {session.warned}")
        self.commits += 1
        self.commit_seconds.observe(int((asyncio.get_running_loop().time() - began) * 1e9))
        return result

    def _fell_silent(self) -> None:
        """The server did not answer in time. Where its machine is gone each idle connection would take as long to say so: they go at once."""
        for pool in (self.commit_pool, self._query_pool, self._scan_pool):
            pool.drop_idle()

    async def attempt(
        self, pool: Pool, work: Callable[[Session], Awaitable[T]], what: str, deadline: float | None = None
    ) -> T:
        """`work` on a connection; again while it certainly did nothing and there is time. Raises StoreError, or what `work` raises."""
        loop = asyncio.get_running_loop()
        if deadline is None:
            deadline = loop.time() + self.retry_seconds
        tries = 0
        while True:
            try:
                result = await self._once(pool, work, deadline)
            except Exception as error:
                if not is_worlds_fault(error) and not isinstance(error, StoreUnavailable):
                    raise
                refused = store_error(error, what, committing=False)
                pause = min(_RETRY_MOST, _RETRY_FIRST * 2**tries) * random.uniform(0.5, 1)
                if not isinstance(refused, TryAgain) or loop.time() + pause >= deadline:
                    self.failures += 1
                    if isinstance(refused, StoreUnavailable):
                        self.last_refusal = refused
                    raise refused from error
                tries += 1
                self.retries += 1
                log.debug("event=metadata_retry tries=%d error='%s'", tries, refused)
                await asyncio.sleep(pause)
            else:
                self.last_refusal = None
                return result

    async def _once(self, pool: Pool, work: Callable[[Session], Awaitable[T]], deadline: float) -> T:
        session = await pool.acquire(deadline)
        broken = True
        try:
            result = await work(session)
            broken = bool(session.warned)
        except BaseException as error:
            # the connection is fine when the server answered; after a lost answer, or cancelled half-way, its state is unknown
            broken = isinstance(error, (StoreUnavailable, asyncio.CancelledError)) or (
                is_worlds_fault(error) and not isinstance(error, asyncpg.PostgresError)
            )
            if isinstance(error, TimeoutError) or isinstance(error.__cause__, TimeoutError):
                self._fell_silent()
            raise
        finally:
            pool.release(session, broken=broken or session.connection.is_in_transaction())
        return result


def client_timeout(timeout_ms: int) -> float:
    """Seconds that we wait for a statement which the server ends after `timeout_ms`."""
    return timeout_ms / 1000 + 1


async def _rollback(transaction: Any) -> None:
    try:
        await asyncio.wait_for(transaction.rollback(), 1)
    except Exception as error:  # the server does it when the connection is thrown away
        log.debug("event=rollback_failed error='%s'", error)


async def _look_at_settings(connection: Any) -> None:
    """Warn of what would lose acknowledged records."""
    for name, bad, meaning in (
        ("fsync", ("off",), "a power cut may lose or break everything"),
        ("synchronous_commit", ("off", "local"), "a crash or a failover may lose what was acknowledged"),
        ("full_page_writes", ("off",), "a power cut may break pages"),
    ):
        value = await connection.fetchval(f"SHOW {name}")
        if value in bad:
            log.warning("event=metadata_not_durable setting=%s value=%s meaning='%s'", name, value, meaning)
