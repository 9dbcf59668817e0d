"""The transaction handle of the portable aggregates: named queries, awaited, though nothing here ever suspends."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SqliteTx:
    """See `moldau.metadata.sql.tx.Tx`."""

    __slots__ = ("_clock", "_cursor", "_queries")

    def __init__(self, cursor: sqlite3.Cursor, queries: dict[str, str], clock: Callable[[], int]) -> None:
        self._cursor = cursor
        self._queries = queries
        self._clock = clock

    async def now(self) -> int:
        """The machine's clock: the file has no other."""
        return self._clock()

    async def run(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of the named query."""
        return self._cursor.execute(self._queries[query], parameters).fetchall()

    async def run_many(self, query: str, parameters: list[dict[str, Any]]) -> None:
        """The named query once for each set of parameters; no rows are returned."""
        self._cursor.executemany(self._queries[query], parameters)


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    coroutine.close()
    raise AssertionError("a transaction on SQLite must not wait for anything but its queries")
