"""A PostgreSQL of our own for tests: `moldau.dev.postgres` in a temporary folder, without syncs where no power is lost."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from moldau.dev.postgres import FOLDERS, PostgresServer

from .ports import free_port

__all__ = ["FOLDERS", "Postgres", "Servers", "waiting_for_locks"]

_SETTINGS = {
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "max_wal_senders": "4",
    "deadlock_timeout": "200ms",
}


class Postgres(PostgresServer):
    """One server: `start`, then `url(database)`, then `stop`. `syncs` False is for tests that lose no power."""

    def __init__(self, version: int = 16, *, syncs: bool = False, **settings: str) -> None:
        if not syncs:
            settings = {"fsync": "off", "full_page_writes": "off", **settings}
        folder = Path(tempfile.mkdtemp(prefix=f"moldau-pg{version}-"))
        super().__init__(folder, version, settings={**_SETTINGS, **settings}, syncs=False)
        self.port = free_port()
        self.databases = 0

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self.process is not None

    def database(self) -> str:
        """The name of a new, empty one."""
        self.databases += 1
        name = f"test_{self.databases}"
        self.sql(f"CREATE DATABASE {name} STRATEGY file_copy" if self.version >= 16 else f"CREATE DATABASE {name}")
        return name


class Servers:
    """One of each version."""

    def __init__(self) -> None:
        self._running: dict[int, Postgres] = {}

    def __getitem__(self, version: int) -> Postgres:
        if version not in self._running:
            self._running[version] = Postgres(version)
            self._running[version].start()
        return self._running[version]

    def remove(self) -> None:
        for server in self._running.values():
            server.remove()


async def waiting_for_locks(connection: Any) -> int:
    """How many statements in the database of this asyncpg connection wait for a lock."""
    await connection.execute("SELECT pg_stat_clear_snapshot()")  # in a transaction the first look would last
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return int(await connection.fetchval(sql))
