"""The schema on PostgreSQL: the same numbered migrations as on SQLite, each in a transaction under one advisory lock.

Brokers of an older release may be serving meanwhile, so a migration only adds, and takes a table's lock for moments: it gives up after
`_LOCK_MS` and tries again, for a lock that is waited for holds up everybody behind it. A migration that releases before it can live with says so in a
comment, `-- serves: N`: releases whose newest migration is N or later go on serving, and start.
"""

from __future__ import annotations

import asyncio
import random
import re
from pathlib import Path
from typing import Any

import asyncpg

from ..errors import FormatTooNew, StoreCorrupt, StoreUnavailable
from ..sql.named import load_migrations

_LOCK_MS = 300
_KEY = 0x4D4F4C44
"""Of the advisory lock: "MOLD"."""
_TRIES_SECONDS = 60.0
_SERVES = re.compile(r"^-- serves: (\d+)$", re.MULTILINE)
_IS_THERE = (
    "SELECT max(oid::bigint) FROM pg_catalog.pg_class WHERE relname = $1 AND pg_catalog.pg_table_is_visible(oid)"
)
"""`to_regclass` would answer from the session's cache, which does not see a table that another broker made since the transaction began."""
_TABLE = """
CREATE TABLE IF NOT EXISTS moldau_schema (
  number INTEGER PRIMARY KEY, serves INTEGER NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


async def migrate(connection: Any, migrations: list[tuple[int, str]] | None = None) -> int:
    """Bring the schema up to date; returns its number. Raises FormatTooNew, StoreCorrupt, StoreUnavailable, asyncpg's errors."""
    migrations = load_migrations() if migrations is None else migrations
    newest = migrations[-1][0]
    number = await _look(connection, newest)
    deadline = asyncio.get_running_loop().time() + _TRIES_SECONDS
    while number < newest:
        try:
            number = await _step(connection, migrations, newest)
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StoreUnavailable(
                    f"the schema could not be changed for {_TRIES_SECONDS:.0f} s: {error}"
                ) from error
            await asyncio.sleep(random.uniform(0.1, 0.5))
    return number


async def _look(connection: Any, newest: int) -> int:
    """The number of the last migration, 0 in an empty database."""
    if await connection.fetchval(_IS_THERE, "moldau_schema") is None:
        if await connection.fetchval(_IS_THERE, "partition") is None:
            return 0
        if (
            await connection.fetchval(_IS_THERE, "moldau_schema") is None
        ):  # else another broker has made both between the two looks
            raise StoreCorrupt(
                "the database holds a table 'partition' that is not Moldau's; give Moldau a database of its own"
            )
    number, serves = await connection.fetchrow(
        "SELECT coalesce(max(number), 0), coalesce(max(serves), 0) FROM moldau_schema"
    )
    if serves > newest:
        raise FormatTooNew(
            f"the metadata store has schema {number}, which releases that know schema {serves} can serve; this one knows up to {newest}:"
            " start it with the release that wrote it, or a newer one"
        )
    return int(number)


async def _step(connection: Any, migrations: list[tuple[int, str]], newest: int) -> int:
    """The next migration, unless another broker has just done it; returns the number reached."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL lock_timeout = {_LOCK_MS}; SET LOCAL statement_timeout = 0")
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _KEY):
            raise asyncpg.LockNotAvailableError("another broker changes the schema")
        number = await _look(connection, newest)
        if number == 0:
            await connection.execute(_TABLE)
        for each, script in migrations:
            if each > number:
                serves = _SERVES.search(script)
                text = (
                    script.replace("{without_rowid}", "")
                    .replace("{id}", "BIGINT")
                    .replace("{text}", 'TEXT COLLATE "C"')
                )
                await connection.execute(text)
                await connection.execute((Path(__file__).parent / "settings.sql").read_text("utf-8"))
                await connection.execute(
                    "INSERT INTO moldau_schema (number, serves) VALUES ($1, $2)",
                    each,
                    int(serves[1]) if serves else each,
                )
                return each
    return number
