"""MinIO and versitygw as child processes on free loopback ports: S3 as the tests know it.

Built by `make s3-servers`, which `make test` does too. Where they cannot be built tests are skipped with the reason, and fail in CI.
"""

from __future__ import annotations

import atexit
import base64
import functools
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from urllib.parse import urlencode

from support.clients.port import absent
from support.ports import free_port

from tools.s3_servers import SERVERS, program

BUCKET = "moldau"
ACCESS_KEY = "moldau-tests"
SECRET_KEY = "moldau-tests-secret"
NAMES = tuple(SERVERS)


class S3Server:
    """One process with one bucket. `kill` and `start` it again: the objects stay."""

    def __init__(self, name: str, certificate: tuple[Path, Path] | None = None) -> None:
        self.name = name
        self._tls = [] if certificate is None else ["--cert", str(certificate[0]), "--key", str(certificate[1])]
        self.folder = Path(tempfile.mkdtemp(prefix=f"moldau-{name}-"))
        (self.folder / BUCKET).mkdir()  # a folder is a bucket to both of them
        self.port = free_port()
        self.endpoint = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        address = f"127.0.0.1:{self.port}"
        arguments = {
            "minio": ["server", "--quiet", "--address", address, str(self.folder)],
            "versitygw": ["--quiet", "--keep-alive", "--port", address, *self._tls, "posix", str(self.folder)],
        }[self.name]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder.parent),
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_KMS_SECRET_KEY": f"tests:{base64.b64encode(bytes(32)).decode()}",
            "ROOT_ACCESS_KEY": ACCESS_KEY,
            "ROOT_SECRET_KEY": SECRET_KEY,
            "GOMAXPROCS": "2",
        }
        log = self.folder.with_suffix(".log")
        with log.open("ab") as out:
            command = [str(program(self.name)), *arguments]
            self._process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        for _ in range(200):
            assert self._process.poll() is None, f"{self.name} ended: {log.read_text()[-2000:]}"
            if self._answers():
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.name} does not answer: {log.read_text()[-2000:]}")

    def _answers(self) -> bool:
        """A request without signature is refused in the server's own words when it is ready, and not before."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                if self._tls:
                    return True
                connection.sendall(f"GET /{BUCKET}/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                connection.settimeout(5)
                return b" 403 " in connection.recv(100)
        except OSError:
            return False

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, endpoint: str | None = None, **options: str) -> str:
        """For `moldau.blobs.url`, with a prefix that nobody else has."""
        query = urlencode({"endpoint": endpoint or self.endpoint, **options})
        return f"s3://{BUCKET}/{uuid.uuid4().hex[:12]}?{query}"

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".log").unlink(missing_ok=True)


CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}


@functools.cache
def running(name: str) -> S3Server:
    """The server, started once for all tests. Skips the test where it is not built."""
    if not program(name).exists():
        absent(f"{name} is not built: run make s3-servers (it needs Go)")
    server = S3Server(name)
    atexit.register(server.close)
    server.start()
    return server
