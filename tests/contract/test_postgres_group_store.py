"""The group store keeps the contract on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from group_store import *  # noqa: F403
from support.postgres import Postgres

from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.postgres.group_store import PostgresGroupStore


@pytest.fixture
def store(postgres: Postgres) -> Callable[[], AbstractAsyncContextManager[PostgresGroupStore]]:
    url = postgres.url(postgres.database())

    @asynccontextmanager
    async def opened() -> AsyncIterator[PostgresGroupStore]:
        engine = PostgresEngine(url)
        await engine.open()
        groups = PostgresGroupStore(engine)
        try:
            yield groups
        finally:
            await groups.close()
            await engine.close()

    return opened
