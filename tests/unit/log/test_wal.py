"""Write-ahead blobs: when one is sealed, every commit that names bytes of it is known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aio import run
from support.stores import Stores, entry, sqlite_opener

from moldau import faults
from moldau.blobs.local import LocalBlobs
from moldau.log.blob_ids import BlobIds
from moldau.log.wal import WriteAhead
from moldau.metadata.rows import AppendCommit, AppendResult


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")


def flush(it: Stores, wal: WriteAhead, partition_id: int, offset: int) -> asyncio.Future[list[AppendResult]]:
    """As the appender does: the commit is submitted on the blob store's thread, as soon as the bytes are there."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[AppendResult]] = loop.create_future()

    def committed(results: list[AppendResult] | None, error: Exception | None) -> None:
        assert error is None
        future.set_result(results or [])

    def stored(blob_id: int, position: int, error: Exception | None) -> None:
        assert error is None
        part = entry(partition_id, offset, position=position, length=1000)
        it.log.append(AppendCommit(blob_id, [part], None, True, 0), committed)

    wal.append([bytes(1000)], 1000, True, stored)
    return future


@pytest.mark.slow
@pytest.mark.parametrize("point", ["metadata.sqlite.begin", "metadata.sqlite.commit", "blobs.local.sync"])
def test_a_seal_comes_after_the_commits_in_flight(tmp_path: Path, point: str) -> None:
    """Else the collector might take a sealed blob that no row names *yet* for garbage, and a commit name bytes of it later."""

    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            blobs = LocalBlobs(tmp_path / "blobs")
            ids = BlobIds(1)
            wal = WriteAhead(blobs, it.log, it.maintenance, ids, lambda: 0)
            await wal.open()
            (p,) = await it.topic()
            (first,) = await it.maintenance.blobs()
            faults.arm(f"{point}=sleep:0.02")
            flushes = [flush(it, wal, p, n) for n in range(5)]
            wal.roll()
            while True:
                # one snapshot each: as soon as the seal can be seen, so can every commit
                rows = {row.blob_id: row.size for row in await it.maintenance.blobs()}
                if rows[first.blob_id] >= 0:
                    break
            extents = await it.extents(p)
            assert [extent.blob_id for extent in extents] == [first.blob_id] * 5
            assert rows[first.blob_id] == extents[-1].position + 1000
            await asyncio.gather(*flushes)
            faults.arm("")
            await wal.close()
            await blobs.close()

    run(main())
