"""The block cache keeps the contract of the store behind it, whichever that is, with blocks so small that every read spans some."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blob_store import BlobStoreContract, KeptBlobStoreContract
from support.s3_servers import CREDENTIALS, running

from moldau.blobs.block_cache import BlockCache
from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.open_blobs import open_blobs


class TestOverMemory(BlobStoreContract):
    @pytest.fixture(
        params=[(5000, 4, False), (1 << 20, 4, True), (64 << 20, 1 << 20, False), (64 << 20, 1 << 20, True)]
    )
    def opener(self, request: pytest.FixtureRequest) -> Any:
        capacity, block, seeds = request.param

        @asynccontextmanager
        async def opened() -> AsyncIterator[BlockCache]:
            blobs = BlockCache(MemoryBlobs(), capacity, block_bytes=block, seeds=seeds)
            try:
                yield blobs
            finally:
                await blobs.close()

        return opened


class TestOverFiles(KeptBlobStoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Any:
        @asynccontextmanager
        async def opened() -> AsyncIterator[BlockCache]:
            blobs = BlockCache(await open_blobs(f"file://{tmp_path}"), 1 << 20, block_bytes=1 << 10)
            try:
                yield blobs
            finally:
                await blobs.close()

        return opened


@pytest.mark.slow
class TestOverObjects(KeptBlobStoreContract):
    @pytest.fixture
    def opener(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        for name, value in CREDENTIALS.items():
            monkeypatch.setenv(name, value)
        url = running("versitygw").url()

        @asynccontextmanager
        async def opened() -> AsyncIterator[BlockCache]:
            blobs = BlockCache(await open_blobs(url), 16 << 20, block_bytes=1 << 20)
            try:
                yield blobs
            finally:
                await blobs.close()

        return opened
