"""Blobs in memory keep the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from appendable_blobs import AppendableBlobsContract
from blob_store import BlobStoreContract

from moldau.blobs.memory import MemoryBlobs


@pytest.fixture
def opener() -> Any:
    @asynccontextmanager
    async def opened() -> AsyncIterator[MemoryBlobs]:
        blobs = MemoryBlobs()
        yield blobs
        await blobs.close()

    return opened


class TestMemoryBlobs(BlobStoreContract, AppendableBlobsContract):
    pass
