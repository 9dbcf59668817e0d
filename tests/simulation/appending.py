"""The log of one simulated broker: views, refresher, appender, and the jobs beside them, all of them the real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from moldau.log.blob_ids import BlobIds
from moldau.log.flush import Append
from moldau.log.refresher import Refresher
from moldau.log.shared_appender import SharedAppender
from moldau.log.snapshots import Snapshots
from moldau.log.storage import AUTO, EXPRESS, STANDARD, AppendRules
from moldau.log.tail_cache import TailCache
from moldau.log.view import PartitionView
from moldau.log.views import Views
from moldau.metadata.errors import StoreError
from moldau.records.batch import BatchHeader

from .stores import Remote, RemoteLog, Shelf, Way, Weather, remote_blobs
from .world import World

INLINE_MAX = 400
"""Bytes: some batches are larger, and go into objects."""
POLL_SECONDS = 0.5


class Log:
    """What a factory makes an appender of."""

    def __init__(self, world: World, shelf: Shelf, weather: Weather, name: str, block: int) -> None:
        self.world = world
        self.lane = world.lane(name)
        self.way = Way(world, self.lane, weather)
        self.store = RemoteLog(self.way, shelf.log)
        self.maintenance = Remote(self.way, shelf.maintenance)
        self.blobs = remote_blobs(self.way, shelf.blobs)
        self.cache = TailCache(1 << 16)
        self.views = Views(self.store, self.cache, 100)  # type: ignore[arg-type]
        self.refresher = Refresher(self.store, self.views)  # type: ignore[arg-type]
        self.ids = BlobIds(block)
        self.published: Callable[[int, int], None] = lambda partition_id, end: None


def shared_appender(log: Log) -> Any:
    """`SharedAppender`, with objects that fill after a few batches."""
    rng = log.world.random
    mode = rng.choice((AUTO, EXPRESS, STANDARD))
    rules = AppendRules(
        inline_max_bytes=INLINE_MAX,
        upload_linger_ms=rng.choice((2, 50)),
        upload_max_bytes=1500,
        uploads_max=2,
        fast_bytes_per_second=500,
    )
    return SharedAppender(
        log.store,
        log.blobs,
        log.ids,
        log.views,
        log.cache,
        log.refresher,
        log.world.clock,
        log.lane,
        rules,
        lambda topic_id: mode,
        lambda partition_id, end: log.published(partition_id, end),
    )


Factory = Callable[[Log], Any]
"""Makes what has `submit(Append)`."""


class Broker:
    """One life of a broker process, seen from the network: `produce` and `ask_end` come from clients, and replies go back to them."""

    def __init__(
        self, world: World, shelf: Shelf, weather: Weather, number: int, life: int, factory: Factory = shared_appender
    ) -> None:
        self.world = world
        self.number = number
        self.log = Log(world, shelf, weather, f"broker {number}.{life}", number * 1000 + life)
        self.lane = self.log.lane
        self.appender = factory(self.log)
        self.snapshots = Snapshots(
            self.log.store,  # type: ignore[arg-type]
            self.log.maintenance,  # type: ignore[arg-type]
            self.log.views,
            world.clock,
            1 << 40,
        )
        self.lane.call_soon(lambda: self.lane.create_task(self._poll()))

    @property
    def alive(self) -> bool:
        return not self.lane.dead

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.log.refresher.poll()
            except StoreError:
                continue

    def produce(
        self, partition_id: int, batch: bytes | bytearray, header: BatchHeader, told: Callable[[int, int], None]
    ) -> None:
        """A request arrives; `told` gets the error code and the base offset, in the world."""

        def done(append: Append) -> None:
            told(append.error_code, append.base_offset)

        def loaded(view: PartitionView | None, error: Exception | None) -> None:
            if view is None:
                if error is not None:
                    self.appender.pass_over(partition_id, header)
                told(56 if error else 3, -1)
            else:
                self.appender.submit(Append(view, bytearray(batch), header, True, done))

        self.lane.call_soon(self.log.views.load_then, partition_id, loaded)

    def ask_end(self, partition_id: int, told: Callable[[int], None]) -> None:
        """As ListOffsets: the end, on a fresh view. An error is not told."""

        async def ask() -> None:
            try:
                view = await self.log.refresher.refresh(partition_id)
            except StoreError:
                return
            assert view is not None
            told(view.high_watermark)

        self.lane.call_soon(lambda: self.lane.create_task(ask()))

    def take_snapshot(self, partition_id: int) -> None:
        async def take() -> None:
            try:
                await self.snapshots.take(partition_id)
            except StoreError:
                return

        self.lane.call_soon(lambda: self.lane.create_task(take()))

    def hint(self, partition_id: int, end: int) -> None:
        """A note of another broker arrives."""
        self.lane.call_soon(self.log.refresher.hint, partition_id, end)
