"""`python -m bench.object_reads [minio|versitygw]`: reads of an object store, with and without the block cache.

Expected (two shared cores, the server beside it): without, one request of 64 KiB takes about a millisecond, most of it CPU; from the cache a look-up and a
copy, some 20 us; and a scan in steps of 64 KiB through the cache is nearly as quick as one in steps of 1 MiB without, because it is fetched ahead in
large requests. The server is on this machine, so there is no network: at S3 a request takes 20 to 60 ms, and what counts is their number.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

BLOBS = 16
BLOB_BYTES = 8 << 20
_CACHE_BYTES = 256 << 20


async def _measure(name: str, total_bytes: int, reads: int, body: Callable[[], Awaitable[int]]) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    requests = await body()
    took, burnt = time.perf_counter() - began, time.process_time() - cpu
    size = total_bytes / (1 << 20)
    print(
        f"{name:44} {size / took:7.0f} MiB/s  {took / reads * 1e6:8.0f} us a read  {burnt / size * 1e3:5.2f} ms CPU a MiB"
        f"  {requests:5} requests"
    )


async def main(url: str) -> None:
    """Print a line for each way of reading."""
    from moldau.blobs.block_cache import BlockCache
    from moldau.blobs.open_blobs import open_blobs

    plain = await open_blobs(url)
    for blob_id in range(BLOBS):
        await plain.put(blob_id, [os.urandom(BLOB_BYTES)])

    def requests() -> int:
        return int(plain.read_seconds.count)  # type: ignore[attr-defined]

    async def scan(blobs: object, step: int) -> int:
        before = requests()
        for blob_id in range(BLOBS):
            for position in range(0, BLOB_BYTES, step):
                if blobs.read_now(blob_id, position, step) is None:  # type: ignore[attr-defined]
                    await blobs.read(blob_id, position, step)  # type: ignore[attr-defined]
        return requests() - before

    total = BLOBS * BLOB_BYTES
    for step in (64 << 10, 1 << 20):
        reads = total // step
        await _measure(f"no cache, {step >> 10} KiB", total, reads, lambda step=step: scan(plain, step))  # type: ignore[misc]
        for block in (256 << 10, 512 << 10, 1 << 20, 2 << 20):
            cache = BlockCache(plain, _CACHE_BYTES, block_bytes=block)
            label = f"{step >> 10} KiB, blocks of {block >> 10} KiB"
            await _measure(f"cold cache, {label}", total, reads, lambda cache=cache, step=step: scan(cache, step))  # type: ignore[misc]
            await _measure(f"warm cache, {label}", total, reads, lambda cache=cache, step=step: scan(cache, step))  # type: ignore[misc]
    await plain.close()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from support.s3_servers import CREDENTIALS, running

    os.environ.update(CREDENTIALS)
    asyncio.run(main(running(sys.argv[1] if len(sys.argv) > 1 else "minio").url()))
