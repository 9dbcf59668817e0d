"""The object stores that tests run against, by name: two of S3, one of Azure, one of GCS."""

from __future__ import annotations

from support import azurite, fake_gcs, s3_servers
from support.object_server import ObjectServer

NAMES = (*s3_servers.NAMES, "azurite", "fake-gcs-server")
CREDENTIALS = {**s3_servers.CREDENTIALS, **azurite.CREDENTIALS}
"""The environment of a client of any of them."""


def running(name: str) -> ObjectServer:
    """Started once for all tests. Skips the test where it is not there."""
    if name == "azurite":
        return azurite.running()
    if name == "fake-gcs-server":
        return fake_gcs.running()
    return s3_servers.running(name)
