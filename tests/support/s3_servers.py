"""MinIO and versitygw as child processes on free loopback ports: S3 as the tests know it.

Built by `make s3-servers`, which `make test` does too. Where they cannot be built tests are skipped with the reason, and fail in CI.
"""

from __future__ import annotations

import base64
import functools
import socket
from pathlib import Path

from support.clients.port import absent
from support.object_server import ObjectServer

from tools.s3_servers import SERVERS, program

BUCKET = "moldau"
ACCESS_KEY = "moldau-tests"
SECRET_KEY = "moldau-tests-secret"
NAMES = tuple(SERVERS)


class S3Server(ObjectServer):
    """One process with one bucket."""

    scheme = "s3"
    bucket = BUCKET

    def __init__(self, name: str, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(name)
        self._tls = [] if certificate is None else ["--cert", str(certificate[0]), "--key", str(certificate[1])]
        (self.folder / BUCKET).mkdir()  # a folder is a bucket to both of them
        if certificate:
            self.endpoint = f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        address = f"127.0.0.1:{self.port}"
        arguments = {
            "minio": ["server", "--quiet", "--address", address, str(self.folder)],
            "versitygw": ["--quiet", "--keep-alive", "--port", address, *self._tls, "posix", str(self.folder)],
        }[self.name]
        env = {
            "MINIO_ROOT_USER": ACCESS_KEY,
            "MINIO_ROOT_PASSWORD": SECRET_KEY,
            "MINIO_BROWSER": "off",
            "MINIO_UPDATE": "off",
            "MINIO_KMS_SECRET_KEY": f"tests:{base64.b64encode(bytes(32)).decode()}",
            "ROOT_ACCESS_KEY": ACCESS_KEY,
            "ROOT_SECRET_KEY": SECRET_KEY,
        }
        self._launch([str(program(self.name)), *arguments], env, self._answers)

    def _answers(self) -> bool:
        """A request without signature is refused in the server's own words when it is ready, and not before."""
        with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
            if self._tls:
                return True
            connection.sendall(f"GET /{BUCKET}/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            connection.settimeout(5)
            return b" 403 " in connection.recv(100)


CREDENTIALS = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1"}


@functools.cache
def running(name: str) -> S3Server:
    """The server, started once for all tests. Skips the test where it is not built."""
    if not program(name).exists():
        absent(f"{name} is not built: run make s3-servers (it needs Go)")
    return S3Server(name).kept()
