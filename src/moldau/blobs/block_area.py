"""Blocks of remote blobs in memory: one area with its own bound, its own order of leaving, and its own pool of requests.

A block is `block_bytes` of a blob from a multiple of that on; the last one of a blob is shorter, perhaps empty, and so says where the blob ends.
Blobs never change, so a block is right for as long as it is held.

A request (a *flight*) fetches a run of neighbours that nobody has asked for yet. Whoever needs one of its blocks waits for it; a failure
reaches all who wait, and nothing of it is kept. A reader that gives up leaves the flight to the others.

Bounds: `capacity_bytes` is what blocks and flights hold together: a flight starts when there is room for all it may bring, which is made by
those blocks that were not read for longest; and `requests_max` flights run at a time. Who waits gets in as he came. While a run is cut into
blocks it is there twice, for as many turns of the loop as there are blocks: fresh memory for 4 MiB costs 2 ms, in which nobody else would get on.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from .ports import BlobError, BlobMissing, Buffer

OVERHEAD_BYTES: Final = 300
"""Counted for each block beyond its bytes: its key, its places in tables."""
RUN_BYTES_MAX: Final = 4 << 20
"""What one flight brings at most."""

Block = tuple[int, int]
"""(blob id, which block of it)."""
Fetch = Callable[[int, int, int], Awaitable[Buffer]]
"""(blob id, position, length) -> the range as far as the blob goes: `BlobStore.read_some`."""


class Flight:
    """`count` blocks of a blob from number `first` on; `task` gives those that are there."""

    __slots__ = ("blob_id", "count", "first", "task")

    def __init__(self, blob_id: int, first: int, count: int) -> None:
        self.blob_id = blob_id
        self.first = first
        self.count = count
        self.task: asyncio.Task[list[Buffer]]

    async def block(self, number: int) -> Buffer:
        """That block, empty where the blob ends before it. Raises BlobMissing, BlobError."""
        try:
            blocks = await asyncio.shield(self.task)
        except asyncio.CancelledError:
            if self.task.cancelled():
                raise BlobError("the block cache is closed") from None
            raise
        at = number - self.first
        return blocks[at] if at < len(blocks) else b""


class BlockArea:
    """Everything on the loop's thread."""

    def __init__(self, fetch: Fetch, capacity_bytes: int, block_bytes: int, requests_max: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.block_bytes = block_bytes
        # blocks that one flight brings at most
        self.run_blocks = max(
            1, min(RUN_BYTES_MAX // block_bytes, capacity_bytes // 4 // (block_bytes + OVERHEAD_BYTES))
        )
        assert self.run_blocks * (block_bytes + OVERHEAD_BYTES) <= capacity_bytes, "else no flight would ever start"
        self.requests_max = requests_max
        self.held_bytes = 0
        """By blocks."""
        self.coming_bytes = 0
        """Promised to flights."""
        self.requests = 0
        """Flights that run."""
        self._fetch = fetch
        self._blocks: OrderedDict[Block, Buffer] = OrderedDict()
        self._flights: dict[Block, Flight] = {}
        self._tasks: set[asyncio.Task[list[Buffer]]] = set()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._asked_bytes = 0  # of flights that run or wait for their turn
        self._closed = False

    # -- blocks -------------------------------------------------------------------------------------------------------

    def held(self, key: Block) -> Buffer | None:
        """The block if it is here, which counts as a use."""
        block = self._blocks.get(key)
        if block is not None:
            self._blocks.move_to_end(key)
        return block

    def add(self, key: Block, block: Buffer) -> None:
        """Keep a block if there is room beside the flights; its bytes must not change, and be no part of something larger."""
        size = len(block) + OVERHEAD_BYTES
        if key in self._blocks:
            return
        self._make_room(size)
        if self.held_bytes + self.coming_bytes + size <= self.capacity_bytes:
            self._blocks[key] = block
            self.held_bytes += size

    def _make_room(self, size: int) -> None:
        while self._blocks and self.held_bytes + self.coming_bytes + size > self.capacity_bytes:
            self.held_bytes -= len(self._blocks.popitem(last=False)[1]) + OVERHEAD_BYTES

    def drop(self, blob_id: int) -> None:
        """The blob is deleted; what is under way goes to those who asked before, and is not kept."""
        for key in [key for key in self._blocks if key[0] == blob_id]:
            self.held_bytes -= len(self._blocks.pop(key)) + OVERHEAD_BYTES
        for key in [key for key in self._flights if key[0] == blob_id]:
            del self._flights[key]

    # -- flights ------------------------------------------------------------------------------------------------------

    def flight(self, blob_id: int, number: int, last: int) -> Flight:
        """The one that brings the block `number`, which is not held; a new one takes along what is missing behind it, up to `last`.

        Raises BlobError when the cache is closed.
        """
        found = self._flights.get((blob_id, number))
        if found is not None:
            return found
        if self._closed:
            raise BlobError("the block cache is closed")
        flight = Flight(blob_id, number, self._missing(blob_id, number, last))
        flight.task = asyncio.get_running_loop().create_task(self._fly(flight))
        self._tasks.add(flight.task)
        self._asked_bytes += flight.count * (self.block_bytes + OVERHEAD_BYTES)
        flight.task.add_done_callback(lambda task: self._over(task, flight))
        for at in range(number, number + flight.count):
            self._flights[blob_id, at] = flight
        return flight

    def fetch_ahead(self, blob_id: int, number: int, last: int, enough: int = 0) -> None:
        """Begin to fetch those of the blocks `number` to `last` that are missing, as far as nobody has to wait for that. Nothing is
        fetched while the first `enough` of them are here: a few large requests cost less than many small ones.
        """
        start, enough = number, number + enough
        while number <= last and not self._closed:
            block = self._blocks.get((blob_id, number))
            if block is not None or (blob_id, number) in self._flights:
                if block is not None and len(block) < self.block_bytes:
                    return  # the blob ends there
                number += 1
                continue
            if number >= enough > start:
                return
            size = self._missing(blob_id, number, last) * (self.block_bytes + OVERHEAD_BYTES)
            asked = self._asked_bytes + size
            if self._waiting or len(self._tasks) * 2 >= self.requests_max or asked * 2 > self.capacity_bytes:
                return  # half of everything is left to those who wait for what they ask for
            number += self.flight(blob_id, number, last).count

    def _missing(self, blob_id: int, number: int, last: int) -> int:
        """How many neighbours from there on nobody has and nobody fetches, as far as one flight may bring them; at least one."""
        count = 1
        while count < self.run_blocks and number + count <= last:
            key = (blob_id, number + count)
            if key in self._blocks or key in self._flights:
                break
            count += 1
        return count

    async def _fly(self, flight: Flight) -> list[Buffer]:
        size = flight.count * (self.block_bytes + OVERHEAD_BYTES)
        blocks: list[Buffer] = []
        await self._enter(size)
        try:
            length = flight.count * self.block_bytes
            data = await self._fetch(flight.blob_id, flight.first * self.block_bytes, length)
            blocks = await self._cut(data, flight.count)
        except BlobMissing:
            if (flight.blob_id, flight.first - 1) not in self._blocks:
                raise
            blocks = [b""]  # the block before was the last one, and a whole one
        finally:
            self.requests -= 1
            self.coming_bytes -= size
            for at in range(flight.count):
                key = (flight.blob_id, flight.first + at)
                if self._flights.get(key) is flight:  # else the blob was deleted meanwhile
                    del self._flights[key]
                    if at < len(blocks):
                        self.add(key, blocks[at])
            self._admit()
        return blocks

    async def _cut(self, data: Buffer, count: int) -> list[Buffer]:
        """As many blocks as there are, with the short or empty one that ends the blob, if it is among them; others have their turn between."""
        view, step = memoryview(data), self.block_bytes
        blocks: list[Buffer] = []
        for at in range(0, min(len(view) + 1, count * step), step):
            if at:
                await asyncio.sleep(0)
            blocks.append(bytes(view[at : at + step]))
        return blocks

    def _over(self, task: asyncio.Task[list[Buffer]], flight: Flight) -> None:
        self._tasks.discard(task)
        self._asked_bytes -= flight.count * (self.block_bytes + OVERHEAD_BYTES)
        if not task.cancelled():
            task.exception()  # nobody may be waiting, and then it is no loss

    # -- the pool -----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def passing(self, length: int) -> AsyncIterator[None]:
        """A place in the pool for a request whose bytes are not kept."""
        size = min(length, self.capacity_bytes)
        await self._enter(size)
        try:
            yield
        finally:
            self.requests -= 1
            self.coming_bytes -= size
            self._admit()

    def _fits(self, size: int) -> bool:
        return self.requests < self.requests_max and self.coming_bytes + size <= self.capacity_bytes

    def _take(self, size: int) -> None:
        self.requests += 1
        self.coming_bytes += size
        self._make_room(0)

    async def _enter(self, size: int) -> None:
        if not self._waiting and self._fits(size):
            self._take(size)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in and called off at once
                self.requests -= 1
                self.coming_bytes -= size
            elif entry in self._waiting:
                self._waiting.remove(entry)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._take(size)
                turn.set_result(None)

    async def close(self) -> None:
        """Call off what is under way, let go of everything."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._blocks.clear()
        self.held_bytes = 0
