"""What three brokers of ours stand on: PostgreSQL 16 that syncs, and an object store; and a line to it that is as long as one to a real one.

They are the servers that the tests use, with settings of their own: PostgreSQL answers a commit when its log is on the disk (`fsync` and
`synchronous_commit` as they come), and has the memory that a server of this size would be given.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from conformance.common.brokers import CHECKOUT, BrokerError, cpu_seconds

sys.path.insert(0, str(CHECKOUT / "tests"))

POSTGRES_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "120"}
S3_ENGINES = ("versitygw", "minio")


class Database:
    """PostgreSQL 16, synced, with as many empty databases as are asked for."""

    def __init__(self) -> None:
        from support.postgres import Postgres

        self._server: Any = Postgres(16, syncs=True, **POSTGRES_SETTINGS)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.remove()

    def fresh(self) -> str:
        """The name of a new database."""
        return str(self._server.database())

    def url(self, name: str) -> str:
        return str(self._server.url(name))

    @property
    def pid(self) -> int:
        return int((self._server.data / "postmaster.pid").read_text().split()[0])

    def sql(self, statement: str, name: str) -> str:
        """What `psql` says in that database."""
        return str(self._server.sql(statement, name))

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


class Bucket:
    """An S3 server with one bucket, in a folder that goes with it."""

    def __init__(self, engine: str) -> None:
        from support.s3_servers import CREDENTIALS, S3Server

        from tools.s3_servers import program

        if not program(engine).exists():
            raise BrokerError(f"{engine} is not built: run make s3-servers (it needs Go)")
        self.engine = engine
        self._server: Any = S3Server(engine)
        self.environment: Mapping[str, str] = CREDENTIALS

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        return int(self._server.port)

    def url(self, endpoint: str | None = None) -> str:
        return str(self._server.url(endpoint))

    def cpu_seconds(self) -> float:
        return cpu_seconds(self._server._process.pid)


class Folder:
    """A directory that all brokers see: the other kind of blob store."""

    engine = "files"
    environment: Mapping[str, str] = {}

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="moldau-blobs-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, endpoint: str | None = None) -> str:
        """A folder in it that nobody has yet: clusters whose metadata are apart must not share one."""
        return f"file://{tempfile.mkdtemp(dir=self._folder)}"

    def cpu_seconds(self) -> float:
        return 0.0


BlobEngine = Bucket | Folder


def blob_engine(name: str) -> BlobEngine:
    """Not started yet. Raises BrokerError if it is not built."""
    return Folder() if name == Folder.engine else Bucket(name)


class DelayLine:
    """A process that passes bytes on to a port of this machine, those of clients `delay_ms` later (see `delay_line.py`)."""

    def __init__(self, port: int, delay_ms: float) -> None:
        self._command = [sys.executable, "-m", "bench.cluster.delay_line", str(port), str(delay_ms)]
        self._process: subprocess.Popen[str] | None = None
        self.endpoint = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
