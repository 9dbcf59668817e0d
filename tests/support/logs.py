"""A log on any stores, with real batches and without a broker: what the maintenance jobs are tried on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import AppendableBlobs
from moldau.log import fold
from moldau.log.blob_ids import BlobIds
from moldau.log.cleaner import Cleaner
from moldau.log.collection import Collector
from moldau.log.extent_swap import ExtentSwap
from moldau.log.lookup import Lookup
from moldau.log.producer_state import ProducerStates
from moldau.log.reader import Reader
from moldau.log.retention import Retainer
from moldau.log.segment_builder import SegmentBuilder
from moldau.log.segment_plan import BuildRule
from moldau.log.snapshots import Snapshots
from moldau.log.tail_cache import TailCache
from moldau.log.view import PartitionView
from moldau.log.views import Views
from moldau.metadata.rows import APPENDED, KIND_WAL, AppendCommit, AppendEntry, BlobRow
from moldau.records.batch import BatchHeader, iter_headers
from moldau.records.builder import build_batch
from moldau.records.control import end_txn_marker
from moldau.records.record import Record, iter_records

from .stores import Stores, submit

TINY = BuildRule(large_bytes=4000, segment_bytes=9000, min_age_ms=0, roll_ms=1 << 40)
"""Thresholds that a few batches reach. (A first merge still needs 16 KiB or to complete a segment.)"""


class Log:
    """One store, one blob store, every job; the clock stands at `now`."""

    def __init__(
        self,
        it: Stores,
        blobs: AppendableBlobs | None = None,
        expiration_ms: int = 1 << 40,
        *,
        guesses: bool = False,
    ) -> None:
        self.it = it
        self.now = 1_000_000
        self.blobs = blobs if blobs is not None else MemoryBlobs()
        self.cache = TailCache(0)
        self.views = Views(it.log, self.cache, 100)
        self.reader = Reader(it.log, self.blobs, self.cache, guesses=guesses)
        self.lookup = Lookup(it.log, self.reader)
        self.ids = BlobIds(7)

        def clock() -> int:
            return self.now

        async def pause(seconds: float) -> None:
            await asyncio.sleep(0)

        store = it.maintenance
        self.snapshots = Snapshots(it.log, store, self.views, clock, expiration_ms)
        swap = ExtentSwap(store, self.blobs, self.views, self.snapshots, clock)
        self.builder = SegmentBuilder(it.log, it.log, store, swap, self.views, self.ids, clock, pause)
        self.cleaner = Cleaner(it.log, store, swap, self.views, self.ids, clock, pause)
        self.retainer = Retainer(it.log, store, self.views, self.snapshots, clock)
        self.collector = Collector(store, self.blobs, clock, garbage_age_ms=0, orphan_age_ms=1000)
        self.wal = -1
        self.model = ProducerStates()
        """The fold of everything that was ever appended to the one partition a test uses."""
        self.records: list[tuple[int, bytes, int]] = []
        """(offset, value, timestamp) of the same."""

    async def append(
        self,
        partition_id: int,
        values: Sequence[bytes],
        *,
        inline: bool = True,
        timestamp: int = 50,
        producer: tuple[int, int, int] | None = None,
        guess: int | None = None,
        transactional: bool = False,
    ) -> int:
        """One batch in one extent; returns its base offset. `producer` is (id, epoch, base sequence)."""
        view = await self.views.load(partition_id)
        assert view is not None
        base = view.high_watermark
        idempotent: dict[str, Any] = {}
        if producer is not None:
            idempotent = dict(zip(("producer_id", "producer_epoch", "base_sequence"), producer, strict=True))
        batch = build_batch(
            [Record(n, timestamp + n, None, value) for n, value in enumerate(values)],
            base_offset=base if guess is None else guess,
            leader_epoch=view.leader_epoch,
            transactional=transactional,
            **idempotent,
        )
        folded = b"" if producer is None else fold.of_batch(BatchHeader(batch), 0)
        await self._commit(view, batch, folded, inline)
        self.records += [(base + n, value, timestamp + n) for n, value in enumerate(values)]
        return base

    async def mark(self, partition_id: int, producer_id: int, epoch: int, commit: bool) -> int:
        """A marker; returns its offset."""
        view = await self.views.load(partition_id)
        assert view is not None
        base = view.high_watermark
        batch = end_txn_marker(
            producer_id=producer_id,
            producer_epoch=epoch,
            commit=commit,
            coordinator_epoch=0,
            now=self.now,
            base_offset=base,
            leader_epoch=view.leader_epoch,
        )
        await self._commit(view, batch, fold.of_marker(producer_id, epoch, commit, self.now), True)
        ((_, value),) = values_of(bytes(batch))
        self.records.append((base, value, self.now))
        return base

    async def _commit(self, view: PartitionView, batch: bytearray, folded: bytes, inline: bool) -> None:
        header = BatchHeader(batch)
        base, records = view.high_watermark, header.last_offset_delta + 1
        for entry in fold.unpack(folded):
            self.model.apply(entry, base, self.now)
            view.producers.apply(entry, base, self.now)
        await self.append_batches(view, base, bytes(batch), records, header.max_timestamp, folded, inline=inline)

    async def append_batches(
        self,
        view: PartitionView,
        base: int,
        batches: bytes,
        offsets: int,
        max_timestamp: int,
        folded: bytes,
        *,
        inline: bool = True,
    ) -> None:
        """Batches that the view has folded already, in one extent."""
        row = AppendEntry(view.partition_id, base, offsets, 0, len(batches), max_timestamp, folded)
        blob_id = self.ids.take()
        if not inline:
            if self.wal < 0:
                await self.roll()
            blob_id, row.position = self.wal, await self._write(batches)
        commit = AppendCommit(blob_id, [row], batches if inline else None, True, self.now)
        (result,) = await submit(self.it.log, commit)
        assert (result.status, result.offset) == (APPENDED, base)
        extent = (await self.it.log.extents_from(view.partition_id, base, 1))[0]
        view.next_offset = base + offsets
        view.publish(extent)

    async def roll(self) -> None:
        """Seal the write-ahead blob, begin the next one."""
        if self.wal >= 0:
            await self.it.maintenance.seal_blob(self.wal, await self.blobs.seal(self.wal))
        self.wal = self.ids.take()
        await self.blobs.create(self.wal)
        await self.it.log.register_blob(BlobRow(self.wal, KIND_WAL, -1, self.now))

    async def _write(self, data: bytes) -> int:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def done(position: int, error: Exception | None) -> None:
            assert error is None
            loop.call_soon_threadsafe(future.set_result, position)

        self.blobs.append(self.wal, [data], True, done)
        return await future

    async def reloaded(self, partition_id: int) -> PartitionView:
        """The view as another broker would build it now."""
        self.views.drop(partition_id)
        view = await self.views.load(partition_id)
        assert view is not None
        return view

    async def read_all(self, partition_id: int, max_bytes: int = 3000) -> list[tuple[int, bytes]]:
        """(offset, value) of all records from the log start, fetched as a consumer would."""
        view = await self.views.load(partition_id)
        assert view is not None
        offset, found = view.log_start_offset, []
        while offset < view.high_watermark:
            buffers, _ = await self.reader.read(view, offset, max_bytes, True)
            assert buffers
            for buffer in buffers:
                for position, header in iter_headers(buffer):
                    assert header.base_offset <= offset < header.next_offset or header.base_offset == offset
                    records = values_of(bytes(buffer[position : position + header.size]))
                    found += [each for each in records if each[0] >= offset]
                    offset = header.next_offset
        return found

    async def rows(self, partition_id: int) -> int:
        """How many."""
        return len(await self.it.extents(partition_id))


def values_of(batch: bytes) -> list[tuple[int, bytes]]:
    """(offset, value) of a batch's records."""
    return [(record.offset, bytes(record.value or b"")) for record in iter_records(batch)]
