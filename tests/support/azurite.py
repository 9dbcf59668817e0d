"""Azurite, which speaks for Azure Blob Storage, as a child process on a free loopback port.

Installed by `make s3-servers`, which `make test` does too. Where it cannot be, tests are skipped with the reason.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import hmac
import http.client
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from email.utils import formatdate
from pathlib import Path
from urllib.parse import urlencode

import pytest
from support.ports import free_port

from tools.s3_servers import AZURITE

CONTAINER = "moldau"
ACCOUNT = "devstoreaccount1"
KEY = base64.b64encode(b"moldau-tests-moldau-tests-moldau").decode()
CREDENTIALS = {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY}
_VERSION = "2021-08-06"


def shared_access(rights: str) -> str:
    """A token that allows so much (`rw` and such) in every container of the account until 2099."""
    fields = {"sp": rights, "ss": "b", "srt": "co", "se": "2099-01-01T00:00:00Z", "spr": "https,http", "sv": _VERSION}
    order = (rights, "b", "co", "", fields["se"], "", fields["spr"], _VERSION, "")
    return urlencode({**fields, "sig": _signature("".join(f"{each}\n" for each in (ACCOUNT, *order)))})


def _signature(text: str) -> str:
    return base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)).decode()


class AzureServer:
    """One process with one container."""

    name = "azurite"

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="moldau-azurite-"))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        log = self.folder.with_suffix(".log")
        command = ["node", str(AZURITE.path), "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        command += ["--location", str(self.folder), "--silent", "--disableTelemetry", "--disableProductStyleUrl"]
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}
        with log.open("ab") as out:
            self._process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        for _ in range(400):
            assert self._process.poll() is None, f"azurite ended: {log.read_text()[-2000:]}"
            try:
                status = self._make_container()
            except OSError:
                time.sleep(0.05)
                continue
            assert status in (201, 409), f"azurite makes no container: {status}"
            return
        raise AssertionError(f"azurite does not answer: {log.read_text()[-2000:]}")

    def _make_container(self) -> int:
        """The status: 201, or 409 when it is there."""
        date = formatdate(usegmt=True)
        signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{_VERSION}\n/{ACCOUNT}/{ACCOUNT}/{CONTAINER}\nrestype:container"
        headers = {
            "x-ms-date": date,
            "x-ms-version": _VERSION,
            "Authorization": f"SharedKey {ACCOUNT}:{_signature(signed)}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("PUT", f"/{ACCOUNT}/{CONTAINER}?restype=container", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, endpoint: str | None = None, **options: str) -> str:
        """For `moldau.blobs.url`, with a prefix that nobody else has."""
        query = urlencode({"endpoint": f"{endpoint or self.endpoint}/{ACCOUNT}", **options})
        return f"az://{CONTAINER}/{uuid.uuid4().hex[:12]}?{query}"

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".log").unlink(missing_ok=True)


@functools.cache
def running() -> AzureServer:
    """The server, started once for all tests. Skips the test where it is not installed."""
    if not AZURITE.path.exists():
        pytest.skip("azurite is not installed: run make s3-servers (it needs npm)")
    server = AzureServer()
    atexit.register(server.close)
    server.start()
    return server
