"""`ShareStore` on PostgreSQL: what acknowledgements change is written by one statement, whatever the number of share-partitions.

A write says what rows are, not how they change: after a lost answer it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from moldau import faults

from ..rows_share import ShareRow
from ..sql.share_rows import SqlShareStore
from .engine import PostgresEngine
from .errors import InDoubt
from .pool import Session


class PostgresShareStore(SqlShareStore):
    """See `moldau.coordination.share.ports.ShareStore`."""

    def __init__(self, engine: PostgresEngine) -> None:
        super().__init__(engine)
        self._postgres = engine

    async def write(self, rows: Sequence[ShareRow]) -> list[bool]:
        engine = self._postgres
        named = engine.queries["shares_write"]
        arguments = named.arguments(
            {
                "numbers": list(range(len(rows))),
                "groups": [row.group for row in rows],
                "topics": [row.topic_id for row in rows],
                "partitions": [row.partition for row in rows],
                "epochs": [row.owner_epoch for row in rows],
                "starts": [row.start_offset for row in rows],
                "finals": [row.final_count for row in rows],
                "states": [row.state for row in rows],
            }
        )
        deadline = asyncio.get_running_loop().time() + engine.retry_seconds

        async def work(session: Session) -> list[Any]:
            faults.hit("metadata.postgres.share")
            return await engine.committed(session, session.connection.fetch(named.sql, *arguments))

        while True:
            try:
                found = await engine.attempt(engine.commit_pool, work, "the metadata store refused a commit", deadline)
            except InDoubt:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                engine.retries += 1
                continue
            written = {row[0] for row in found}
            return [number in written for number in range(len(rows))]
