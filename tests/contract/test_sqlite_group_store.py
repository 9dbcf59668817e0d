"""The SQL group store keeps the contract on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from group_store import *  # noqa: F403

from moldau.metadata.sql.group_rows import SqlGroupStore
from moldau.metadata.sqlite.engine import SqliteEngine


@pytest.fixture
def store(tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[SqlGroupStore]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[SqlGroupStore]:
        engine = SqliteEngine(tmp_path / "metadata.sqlite", asyncio.get_running_loop())
        engine.open()
        try:
            yield SqlGroupStore(engine)
        finally:
            engine.close()

    return opened
