"""A whole metadata file, read or filled at one go (`moldau.server.migration`); nobody else uses it meanwhile.

A file that is filled is worth nothing before the end: nothing is synced on the way, whoever fills it syncs the file.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from moldau import faults

from ..sql.tables import CLUSTER, SEQUENCE, Row, Table
from .connection import connect, migrate, store_error

T = TypeVar("T")

CHUNK_ROWS = 1000


class SqliteWhole:
    """`read` tables, or `begin`, `write` them and `commit`. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self._connection = connect(path)

    async def create(self) -> None:
        """The schema, in a file that is new."""

        def work() -> None:
            faults.hit("metadata.sqlite.migrate")
            migrate(self._connection)

        await self._run(work)

    async def cluster_id(self) -> str | None:
        """None where there is no cluster yet."""
        rows = await self._run(lambda: self._connection.execute(CLUSTER.select).fetchall())
        return str(rows[0][CLUSTER.columns.index("cluster_id")]) if rows else None

    async def read(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows that are moved, in chunks, in the order of the key."""
        cursor = await self._run(lambda: self._connection.execute(table.select))
        while rows := await self._run(lambda: cursor.fetchmany(CHUNK_ROWS)):
            yield rows

    async def begin(self) -> None:
        def work() -> None:
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("BEGIN IMMEDIATE")

        await self._run(work)

    async def write(self, table: Table, chunks: AsyncIterator[list[Row]]) -> None:
        """All rows of a table."""
        if table is SEQUENCE:  # the schema begins with some
            await self._run(lambda: self._connection.execute(f"DELETE FROM {table.name}"))
        names = ", ".join(table.columns)
        insert = f"INSERT INTO {table.name} ({names}) VALUES ({', '.join('?' * len(table.columns))})"
        async for chunk in chunks:
            await self._run(lambda chunk=chunk: self._connection.executemany(insert, chunk))  # type: ignore[misc]

    async def inline_extents(self) -> AsyncIterator[list[Row]]:
        """(blob id, base offset, position, length) of extents whose bytes are in the file."""
        sql = "SELECT blob_id, base_offset, position, length FROM extent WHERE kind = 1 ORDER BY partition_id, last_offset"
        cursor = await self._run(lambda: self._connection.execute(sql))
        while rows := await self._run(lambda: cursor.fetchmany(CHUNK_ROWS)):
            yield rows

    async def inline_bytes(self, blob_id: int) -> bytes:
        """Empty where they are missing."""
        sql = "SELECT data FROM inline_blob WHERE blob_id = ?"
        row = await self._run(lambda: self._connection.execute(sql, (blob_id,)).fetchone())
        return bytes(row[0]) if row else b""

    async def set_inline_bytes(self, blob_id: int, data: bytes) -> None:
        sql = "UPDATE inline_blob SET data = ? WHERE blob_id = ?"
        await self._run(lambda: self._connection.execute(sql, (data, blob_id)))

    async def commit(self) -> None:
        def work() -> None:
            faults.hit("metadata.sqlite.commit")
            self._connection.execute("COMMIT")

        await self._run(work)

    async def close(self) -> None:
        """What was not committed is gone."""
        await asyncio.to_thread(self._connection.close)

    async def _run(self, work: Callable[[], T]) -> T:
        with self._told():
            return await asyncio.to_thread(work)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise store_error(error, f"the metadata file {self.path}") from error
