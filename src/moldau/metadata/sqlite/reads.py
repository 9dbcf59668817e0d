"""A connection that reads, on a thread of its own: one snapshot for each transaction, no waiting for writers."""

from __future__ import annotations

import sqlite3
from asyncio import AbstractEventLoop
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from moldau.clock import Clock

from ..errors import StoreCorrupt, StoreUnavailable
from .connection import connect, store_error
from .tx import SqliteTx, drive

T = TypeVar("T")
Body = Callable[[SqliteTx], Coroutine[Any, Any, T]]


class Reads:
    """`open` and `close` may block."""

    def __init__(self, name: str, loop: AbstractEventLoop, queries: dict[str, str], clock: Clock) -> None:
        self.connection: sqlite3.Connection | None = None
        """Used on the thread only."""
        self._loop = loop
        self._queries = queries
        self._clock = clock
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    def open(self, path: Path, **settings: int) -> sqlite3.Connection:
        """With the settings of `connect`, which raises."""
        self.connection = connect(path, **settings)
        return self.connection

    def end(self) -> None:
        """Wait for what was given to the thread; it takes nothing more."""
        self._pool.shutdown()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    async def transaction(self, body: Body[T]) -> T:
        """What the body makes of the rows. Raises StoreError."""
        return await self.run(lambda connection: self._transaction(connection, body))

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Something else to be done on the thread. Raises StoreUnavailable, and what it raises."""
        try:
            future = self._loop.run_in_executor(self._pool, lambda: work(self._connected()))
        except RuntimeError as error:  # shut down
            raise StoreUnavailable("the metadata store is closed") from error
        return await future

    def begin(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """The same without an answer, from any thread. Raises RuntimeError after the end."""
        self._pool.submit(lambda: work(self._connected()))

    def _connected(self) -> sqlite3.Connection:
        if self.connection is None:
            raise StoreUnavailable("the metadata store is closed")
        return self.connection

    def _transaction(self, connection: sqlite3.Connection, body: Body[T]) -> T:
        try:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            try:
                return drive(body(SqliteTx(cursor, self._queries, self._clock)))
            finally:
                cursor.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise store_error(error, "the metadata store refused a read") from error
        except (ValueError, TypeError, LookupError) as error:
            # a flipped bit can make any value of any column: what does not become what it should be is damage
            raise StoreCorrupt(f"rows of the metadata store say what cannot be: {error!r}") from error
