"""Many writers of two brokers on the same partitions of one PostgreSQL, with maintenance as noise: nothing lost, doubled or out of order."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest
from support.aio import run
from support.many_writers import PARTITIONS, Story, check, collect, create_and_delete, merge, retain, write
from support.postgres import Postgres
from support.stores import postgres_opener

from moldau.metadata.rows import KIND_WAL, BlobRow


@pytest.mark.slow
def test_brokers_that_write_at_once(postgres: Postgres) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    database = postgres.database()
    url = postgres.url(database)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            a, b = [await stack.enter_async_context(postgres_opener(url)()) for _ in range(2)]
            story = Story(await a.topic("t", PARTITIONS), seed)
            starts: dict[int, int] = {}
            doomed: list[int] = []
            for blob_id in (1, 2):
                await a.log.register_blob(BlobRow(blob_id, KIND_WAL, -1, 0))
            await asyncio.gather(
                *(write(it, story, blob, doomed) for it, own in ((a, 1), (b, 2)) for blob in (None, None, own)),
                *(merge(it, story) for it in (a, b)),
                retain(a, story, starts),
                collect(b, story),
                create_and_delete(b, story, doomed),
            )
            print(dict(story.counts))
            await check(a, story, starts)
            assert await a.maintenance.live_counts() == []
            assert await a.maintenance.dead_partitions(9) == []

    run(main())
    connection: Any = None

    async def deadlocks() -> int:
        nonlocal connection
        connection = await asyncpg.connect(url)
        await connection.execute("SELECT pg_stat_force_next_flush()")
        found = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        left = await connection.fetchval(
            "SELECT count(*) FROM extent e WHERE NOT EXISTS (SELECT 1 FROM partition p WHERE p.partition_id = e.partition_id)"
        )
        assert left == 0, "extents of purged partitions"
        await connection.close()
        return int(found)

    if run(deadlocks()):
        log = postgres.log()
        raise AssertionError(log[log.rindex("deadlock detected") :])
