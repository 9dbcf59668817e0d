"""A remote blob store with a memory: blocks of blobs that were read, shared by all who read them.

Two areas (`moldau.blobs.block_area`), each with its bound and its pool of requests: three quarters for what is recent, one quarter for what is
cold (`cold`), which readers far behind are sent to (`moldau.log.reader` decides by age). So a scan of last month evicts only what other scans
fetched, and however many requests it has in flight, those at the tail do not queue behind them. That is simpler than one cache with admission
rules, and bounds requests and not only memory.

Reads are copied out of blocks, so that a block's memory is free when it leaves. A reader that goes on through a blob has the next blocks fetched
ahead (`moldau.blobs.read_ahead`). `read_many` is for jobs that read a blob once: it passes by. So do single reads of more than half an area, which
take a place in its pool.

What this broker puts is in the tail cache already; `seeds` keeps it here too.

Sketch: a hit is a look-up and a copy (10 GB/s), a miss one request for 1 to 4 MiB: 20 to 60 ms at S3, and 0.6 to 0.8 ms of CPU a MiB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .block_area import BlockArea
from .ports import BlobMissing, BlobStore, Buffer
from .read_ahead import ReadAhead

BLOCK_BYTES: Final = 1 << 20
CAPACITY_BYTES_MIN: Final = 16 << 20
COLD_SHARE: Final = 4
"""One part of so many is for cold reads."""
RECENT_REQUESTS: Final = 32
COLD_REQUESTS: Final = 4


class CachedReads:
    """Reads of a store through one area."""

    def __init__(self, store: BlobStore, capacity_bytes: int, block_bytes: int, requests_max: int) -> None:
        self.store = store
        self.area = BlockArea(store.read_some, capacity_bytes, block_bytes, requests_max)
        self.hits = 0
        """Reads that were answered from memory."""
        self.misses = 0
        """Reads that waited for the store."""
        self._ahead = ReadAhead(block_bytes, self.area.run_blocks * block_bytes)

    def read_now(self, blob_id: int, position: int, length: int) -> bytearray | None:
        if not self._holds(blob_id, position, length):
            return None
        into = bytearray(length)
        return into if self.read_into_now(blob_id, position, memoryview(into)) else None

    def _holds(self, blob_id: int, position: int, length: int) -> bool:
        size = self.area.block_bytes
        return all(
            self.area.held((blob_id, number)) is not None
            for number in range(position // size, (position + length - 1) // size + 1)
        )

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        size, end = self.area.block_bytes, position + len(into)
        for number in range(position // size, (end - 1) // size + 1):
            block = self.area.held((blob_id, number))
            if block is None:
                return False
            if not self._copy(block, number, position, into):
                raise _too_short(blob_id, number * size + len(block), position, len(into))
        self.hits += 1
        self._look_ahead(blob_id, position, len(into))
        return True

    def _copy(self, block: Buffer, number: int, position: int, into: memoryview) -> bool:
        """Put what the block has of the range in its place; whether that is all it should have."""
        start = number * self.area.block_bytes
        low, high = max(position - start, 0), min(position + len(into) - start, self.area.block_bytes)
        part = memoryview(block)[low:high]
        at = start + low - position
        into[at : at + len(part)] = part
        return len(part) == high - low

    def _look_ahead(self, blob_id: int, position: int, length: int) -> None:
        if not length:
            return
        until = self._ahead.read(blob_id, position, length)
        end, size = position + length, self.area.block_bytes
        if until > end:
            first, last = (end - 1) // size + 1, (until - 1) // size
            self.area.fetch_ahead(blob_id, first, last, (last - first + 1) // 2)

    def warm(self, blob_id: int, position: int, length: int) -> None:
        """That range will be asked for soon: begin to fetch it, as far as nobody has to wait for that."""
        size = self.area.block_bytes
        if 0 < length <= self.area.capacity_bytes // 2:
            self.area.fetch_ahead(blob_id, position // size, (position + length - 1) // size)

    async def read(self, blob_id: int, position: int, length: int) -> Buffer:
        if length > self.area.capacity_bytes // 2:
            self.misses += 1
            async with self.area.passing(length):
                return await self.store.read(blob_id, position, length)
        into = bytearray(length)
        end = await self._fill(blob_id, position, memoryview(into))
        if end < position + length:
            raise _too_short(blob_id, end, position, length)
        return into

    async def read_some(self, blob_id: int, position: int, length: int) -> Buffer:
        if length > self.area.capacity_bytes // 2:
            async with self.area.passing(length):
                return await self.store.read_some(blob_id, position, length)
        into = bytearray(length)
        try:
            end = await self._fill(blob_id, position, memoryview(into))
        except BlobMissing:  # of one of several requests, perhaps: the store knows
            return await self.store.read_some(blob_id, position, length)
        if end <= position and length:
            raise _too_short(blob_id, end, position, length)
        del into[end - position :]
        return into

    async def _fill(self, blob_id: int, position: int, into: memoryview) -> int:
        """Read the range as far as the blob goes; returns up to where that is."""
        end = position + len(into)
        if not into:
            return end
        size = self.area.block_bytes
        last = (end - 1) // size
        coming = []
        for number in range(position // size, last + 1):
            block = self.area.held((blob_id, number))
            if block is None:
                coming.append((number, self.area.flight(blob_id, number, last)))
            elif not self._copy(block, number, position, into):
                end = number * size + len(block)
                break
        if coming:
            self.misses += 1
        else:
            self.hits += 1
        self._look_ahead(blob_id, position, len(into))
        for number, flight in coming:
            block = await flight.block(number)
            if not self._copy(block, number, position, into):
                return number * size + len(block)
        return end


class BlockCache(CachedReads):
    """See `moldau.blobs.ports.BlobStore`. `cold` reads what is old; it shares nothing with the rest but the store."""

    def __init__(
        self, store: BlobStore, capacity_bytes: int, *, block_bytes: int = BLOCK_BYTES, seeds: bool = False
    ) -> None:
        """`capacity_bytes` bounds both areas together."""
        cold_bytes = capacity_bytes // COLD_SHARE
        super().__init__(store, capacity_bytes - cold_bytes, block_bytes, RECENT_REQUESTS)
        self.cold = CachedReads(store, cold_bytes, block_bytes, COLD_REQUESTS)
        self._seeds = seeds

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        length = await self.store.put(blob_id, buffers)
        if self._seeds and length <= self.area.capacity_bytes // 2:
            whole, size = memoryview(b"".join(buffers)), self.area.block_bytes
            for at in range(0, length + 1, size):
                self.area.add((blob_id, at // size), bytes(whole[at : at + size]))
        return length

    async def read_many(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        return await self.store.read_many(blob_id, ranges)

    async def delete(self, blob_id: int) -> None:
        try:
            await self.store.delete(blob_id)
        finally:
            # after the store's own: whatever is fetched from now on finds nothing
            self.area.drop(blob_id)
            self.cold.area.drop(blob_id)

    async def sizes(self) -> dict[int, int]:
        return await self.store.sizes()

    async def close(self) -> None:
        await self.area.close()
        await self.cold.area.close()
        await self.store.close()


def _too_short(blob_id: int, end: int, position: int, length: int) -> BlobMissing:
    return BlobMissing(f"blob {blob_id:016x} ends at {end}; asked for {length} bytes at {position}")
