"""A whole metadata store on PostgreSQL, read or filled at one go (`moldau.server.migration`), on a connection of its own.

It is read on one snapshot, and filled in one transaction: until that commits nobody sees a row, and no broker can take a half for a store. The rows
of 1 TiB are some 0.8 million, a minute's COPY, so there is no need for more than one transaction.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg

from moldau import faults

from ..errors import StoreUnavailable
from ..sql.tables import NOT_MOVED, SEQUENCE, TABLES, Row, Table
from .address import Address, hidden
from .connecting import Connector
from .errors import InDoubt, is_worlds_fault, store_error
from .text import escape, unescape

CHUNK_ROWS = 1000


class PostgresWhole:
    """`open`; then `read` tables, or `begin`, `write` them and `commit`. The schema must be there. Raises StoreError."""

    def __init__(self, url: str) -> None:
        """Raises ValueError."""
        self._address = Address(url)
        self.where = hidden(self._address.url)
        self._connection: Any = None
        self._transaction: Any = None

    async def open(self, *, reads: bool) -> None:
        """`reads`: everything from now on is of one snapshot."""
        arguments = self._address.arguments()
        arguments["command_timeout"] = None
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            arguments["server_settings"][name] = "0"  # it takes as long as it takes
        with self._told(f"cannot open the metadata store {self.where}"):
            self._connection = await Connector(self._address).connect_with(arguments, self._address.connect_timeout)
            if reads:
                self._transaction = self._connection.transaction(isolation="repeatable_read", readonly=True)
                await self._transaction.start()
                await self._connection.fetchval("SELECT count(*) FROM cluster")  # the snapshot is of now

    async def cluster_id(self) -> str | None:
        """None where there is no cluster yet."""
        with self._told("the metadata store refused a read"):
            value = await self._connection.fetchval("SELECT cluster_id FROM cluster")
        return None if value is None else str(value)

    async def used_tables(self) -> list[str]:
        """Names of the tables that have rows, but for what a new schema has."""
        names = [table.name for table in TABLES if table is not SEQUENCE] + list(NOT_MOVED)
        with self._told("the metadata store refused a read"):
            return [name for name in names if await self._connection.fetchval(f"SELECT EXISTS (SELECT FROM {name})")]

    async def read(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows that are moved, in chunks, in the order of the key."""
        with self._told("the metadata store refused a read"):
            cursor = await self._connection.cursor(table.select)
            while records := await cursor.fetch(CHUNK_ROWS):
                yield [tuple(unescape(v) if type(v) is str else v for v in record) for record in records]

    async def begin(self) -> None:
        """Nobody else fills the store meanwhile, and no broker makes it a cluster."""
        with self._told("the metadata store refused a transaction"):
            self._transaction = self._connection.transaction()
            await self._transaction.start()
            try:
                await self._connection.execute("LOCK TABLE cluster IN SHARE ROW EXCLUSIVE MODE")
            except asyncpg.LockNotAvailableError as error:
                raise StoreUnavailable(
                    f"somebody else is writing to {self.where}: another migration, or a broker that starts"
                ) from error

    async def write(self, table: Table, chunks: AsyncIterator[list[Row]]) -> None:
        """All rows of a table, by COPY."""

        async def rows() -> AsyncIterator[Row]:
            async for chunk in chunks:
                for row in chunk:
                    yield tuple(escape(v) if type(v) is str else v for v in row)

        with self._told(f"the metadata store refused the rows of {table.name}"):
            if table is SEQUENCE:  # the schema begins with some
                await self._connection.execute(f"DELETE FROM {table.name}")
            await self._connection.copy_records_to_table(table.name, records=rows(), columns=table.columns)

    async def commit(self) -> None:
        """Raises StoreUnavailable, also where it may have happened."""
        faults.hit("metadata.postgres.commit")
        transaction, self._transaction = self._transaction, None
        try:
            with self._told("a commit", committing=True):
                await transaction.commit()
        except InDoubt as error:
            raise StoreUnavailable(f"{error}. Run the same command again: it finds out") from error
        faults.hit("metadata.postgres.committed")

    async def analyze(self) -> None:
        """So that the first queries have good plans."""
        with self._told("the metadata store refused to look at its tables"):
            await self._connection.execute(f"ANALYZE {', '.join(table.name for table in TABLES)}")

    async def close(self) -> None:
        """What was not committed is gone."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @contextlib.contextmanager
    def _told(self, what: str, *, committing: bool = False) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if is_worlds_fault(error):
                raise store_error(error, what, committing=committing) from error
            raise
