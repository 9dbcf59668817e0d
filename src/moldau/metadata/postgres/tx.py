"""Named queries on PostgreSQL: `:name` becomes `$n`, rows become tuples."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..sql.named import load_queries, parse_queries
from .text import escape, unescape

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")


class Query:
    """A statement as PostgreSQL wants it, and the names of its parameters in their order."""

    __slots__ = ("names", "sql")

    def __init__(self, sql: str) -> None:
        self.names = list(dict.fromkeys(_PARAMETER.findall(sql)))
        numbers = {name: f"${n}" for n, name in enumerate(self.names, 1)}
        self.sql = _PARAMETER.sub(lambda match: numbers[match[1]], sql)

    def arguments(self, parameters: dict[str, Any]) -> list[Any]:
        """In the order of the statement."""
        return [_argument(parameters[name]) for name in self.names]


def _argument(value: Any) -> Any:
    if type(value) is str:
        return escape(value)
    if type(value) is list and value and type(value[0]) is str:
        return [escape(each) for each in value]
    return value


def queries() -> dict[str, Query]:
    """The shared ones with their row locks, and those of `queries.sql` beside this file, which replace and add."""
    own = parse_queries((Path(__file__).parent / "queries.sql").read_text("utf-8"))
    return {name: Query(sql) for name, sql in {**load_queries(row_locks=True), **dict(own)}.items()}


def tuples(records: list[Any]) -> list[tuple[Any, ...]]:
    """Plain rows of asyncpg's."""
    if records and any(type(value) not in (int, bytes) for value in records[0]):
        return [tuple(unescape(v) if type(v) is str else v for v in record) for record in records]
    return [tuple(record) for record in records]


class PostgresTx:
    """See `moldau.metadata.sql.tx.Tx`."""

    __slots__ = ("_clock", "_connection", "_queries", "_timeout")

    def __init__(
        self, connection: Any, queries: dict[str, Query], timeout: float, clock: Callable[[], int] | None = None
    ) -> None:
        self._connection = connection
        self._queries = queries
        self._timeout = timeout
        self._clock = clock

    async def now(self) -> int:
        """The store's clock in ms; not that of the beginning of the transaction."""
        return self._clock() if self._clock is not None else int((await self.run("store_now"))[0][0])

    async def run(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of the named query."""
        named = self._queries[query]
        return tuples(await self._connection.fetch(named.sql, *named.arguments(parameters), timeout=self._timeout))

    async def run_many(self, query: str, parameters: list[dict[str, Any]]) -> None:
        """The named query once for each set of parameters, sent together; no rows are returned."""
        if parameters:
            named = self._queries[query]
            sets = [named.arguments(each) for each in parameters]
            await self._connection.executemany(named.sql, sets, timeout=self._timeout)
