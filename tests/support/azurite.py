"""Azurite, which speaks for Azure Blob Storage, as a child process on a free loopback port.

Installed by `make s3-servers`, which `make test` does too. Where it cannot be, tests are skipped with the reason.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import http.client
from email.utils import formatdate
from urllib.parse import urlencode

import pytest
from support.object_server import ObjectServer

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


class AzureServer(ObjectServer):
    """One process with one container."""

    scheme = "az"
    bucket = CONTAINER

    def __init__(self) -> None:
        super().__init__("azurite")

    def start(self) -> None:
        command = ["node", str(AZURITE.path), "--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        command += ["--location", str(self.folder), "--silent", "--disableTelemetry", "--disableProductStyleUrl"]
        self._launch(command, {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}, self._answers)

    def _answers(self) -> bool:
        status = self._make_container()
        assert status in (201, 409), f"azurite makes no container: {status}"
        return True

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

    def _place(self, endpoint: str) -> str:
        return f"{endpoint}/{ACCOUNT}"


@functools.cache
def running() -> AzureServer:
    """The server, started once for all tests. Skips the test where it is not installed."""
    if not AZURITE.path.exists():
        pytest.skip("azurite is not installed: run make s3-servers (it needs npm)")
    return AzureServer().kept()
