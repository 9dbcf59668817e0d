"""Power cuts for the embedded stores: a copy of the data directory that holds only what was synced, and the look at it
afterwards.

`PowerCut` watches the fault points. Each pass of one may be the moment of the cut; whoever passes one meanwhile waits.
What then counts as synced:

- SQLite: the database and its WAL as they were after the last durable commit (or checkpoint). SQLite does its own I/O,
so both are
  kept aside at each of these moments.
- write-ahead blobs: the bytes up to `Appendable.synced`; of what lies beyond, anything may have reached the disk:
nothing,
  zeros of the grown file, what was there in another blob's file that is written over, or some of the bytes.
- sealed and put blobs: whole, once their seal or put has returned.

With `written_back` the system has written the SQLite log by itself before the cut, but no record bytes: the rows of fast
(acks=1) commits are there without their bytes.
"""

from __future__ import annotations

import asyncio
import random
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from struct import Struct

from moldau import faults
from moldau.blobs.appendable import Appendable
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobError
from moldau.metadata.rows import (
    APPENDED,
    KIND_INLINE,
    KIND_SEGMENT,
    KIND_WAL,
    AppendCommit,
    AppendEntry,
    BlobRow,
    Extent,
)
from moldau.metadata.sqlite.engine import SqliteEngine

from .stores import Stores, submit

_HEAD = Struct("=iqiI")  # partition, base offset, length of the filler, its checksum
_FRAME, _WAL_HEADER = 4096 + 24, 32


def payload(partition_id: int, base: int, filler: bytes) -> bytes:
    """Bytes that say whose they are."""
    return _HEAD.pack(partition_id, base, len(filler), zlib.crc32(filler)) + filler


def check_payloads(data: bytes, extent: Extent) -> None:
    """`data` holds the payloads of all records of the extent, one after the other."""
    at, offset = 0, extent.base_offset
    while at < len(data):
        partition_id, base, length, checksum = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        assert (partition_id, base) == (extent.partition_id, offset), f"other bytes than those of {extent}"
        assert zlib.crc32(data[at : at + length]) == checksum, f"torn bytes in {extent}"
        at += length
        offset += 1
    assert offset == extent.last_offset + 1


class PowerCut:
    """Cuts the power at the `at`-th pass of a fault point. `directory` then holds what was left."""

    def __init__(
        self,
        engine: SqliteEngine,
        blobs: LocalBlobs,
        at: int,
        directory: Path,
        rng: random.Random,
        *,
        written_back: bool = False,
        on_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self.happened = False
        self.at_point = ""
        self._written_back = written_back
        self._on_cut = on_cut
        self.acknowledged: list[tuple[int, int, bytes]] = []
        """(partition, offset, bytes) of durable appends that were answered before the cut."""
        there = {int(file.stem, 16) for file in blobs.folder.glob("*.blob")}
        self.whole: set[int] = there - blobs._appendable.keys()
        """Blobs whose seal or put has returned, also of the run before."""
        self._engine = engine
        self._blobs = blobs
        self._left = at
        self._directory = directory
        self._rng = rng
        self._lock = threading.RLock()
        self._files: dict[int, Appendable] = {}
        self._before: dict[int, bytes] = {}
        self.written_over = 0
        """Files with another blob's bytes behind their ends, when the power failed."""
        self._database = self._wal = b""
        self._keep_database()
        faults.watch(self._passed)

    def answered(self, partition_id: int, offset: int, data: bytes) -> None:
        with self._lock:
            if not self.happened:
                self.acknowledged.append((partition_id, offset, data))

    def finished(self, blob_id: int) -> None:
        with self._lock:
            if not self.happened:
                self.whole.add(blob_id)

    def _passed(self, name: str) -> None:
        with self._lock:
            if self.happened:
                return
            self._files.update(self._blobs._appendable)
            for blob_id, file in self._blobs._appendable.items():
                if file.stale and not file.end and blob_id not in self._before:
                    self._before[blob_id] = self._blobs.path(blob_id).read_bytes()
            if (name == "metadata.sqlite.committed" and self._engine.synced) or name == "metadata.sqlite.checkpointed":
                self._keep_database()
            self._left -= 1
            if self._left <= 0:
                self.at_point = name
                self.cut()

    def _keep_database(self) -> None:
        wal_index = self._engine._wal
        assert wal_index is not None
        # the pages of a checkpoint under way may be in the file already: the WAL still holds them all
        self._database = self._engine.path.read_bytes()
        with open(f"{self._engine.path}-wal", "rb") as file:
            self._wal = file.read(_WAL_HEADER + wal_index.frames() * _FRAME)

    def cut(self) -> None:
        """Now."""
        with self._lock:
            if self.happened:
                return
            self.happened = True
            self._on_cut()
            if self._written_back:
                self._keep_database()
            self._files.update(self._blobs._appendable)
            folder = self._directory / "blobs"
            folder.mkdir(parents=True)
            (self._directory / "metadata.sqlite").write_bytes(self._database)
            tail = bytes(self._rng.choice([0, 5000]))
            (self._directory / "metadata.sqlite-wal").write_bytes(self._wal + tail)
            for blob_id, file in self._files.items():
                if blob_id not in self.whole:
                    self._copy_torn(blob_id, file, folder)
            for blob_id in self.whole:
                path = self._blobs.path(blob_id)
                if path.exists():  # or it was collected
                    (folder / path.name).write_bytes(path.read_bytes())

    def _copy_torn(self, blob_id: int, file: Appendable, folder: Path) -> None:
        data = self._blobs.path(blob_id).read_bytes()
        synced = file.synced
        unsynced = len(data[synced : file.end])
        tails = [b"", bytes(unsynced), bytes(unsynced + 4096), bytes(unsynced // 2) + data[synced:][:9]]
        before = self._before.get(blob_id, b"")
        if before:
            self.written_over += 1
            page = (synced + unsynced // 2) // 4096 * 4096
            tails = [before[synced:], data[synced:page] + before[max(synced, page) :]]
        tail = self._rng.choice(tails)
        (folder / self._blobs.path(blob_id).name).write_bytes(data[:synced] + tail)


class Writer:
    """One partition's producer: appends one record at a time in every way there is, and sometimes tidies up."""

    def __init__(self, it: Stores, blobs: LocalBlobs, cut: PowerCut, partition_id: int, rng: random.Random) -> None:
        self._it = it
        self._blobs = blobs
        self._cut = cut
        self._partition_id = partition_id
        self._rng = rng
        self._end = 0
        self._wal = -1

    async def work(self, count: int) -> None:
        for _ in range(count):
            if self._cut.happened:
                return
            await self.append(self._rng.random() < 0.4, self._rng.random() < 0.4)
            chance = self._rng.random()
            if chance < 0.04:
                await self._build_segment()
            elif chance < 0.10 and self._wal >= 0:
                await self._roll()
            elif chance < 0.13 and self._it.engine is not None:
                await self._it.engine.checkpoint()

    async def append(self, durable: bool, inline: bool) -> None:
        """One record, its bytes in the commit or in a write-ahead blob."""
        filler = self._rng.randbytes(self._rng.choice([0, 50, 3000]))
        data = payload(self._partition_id, self._end, filler)
        entry = AppendEntry(self._partition_id, self._end, 1, 0, len(data), self._end)
        blob_id = self._it.blob_id()
        if not inline:
            if self._wal < 0:
                self._wal = self._it.blob_id()
                await self._blobs.create(self._wal)
                await self._it.log.register_blob(BlobRow(self._wal, KIND_WAL, -1, 0))
            blob_id = self._wal
            entry.position = await self._store(data, durable)
        (result,) = await submit(self._it.log, AppendCommit(blob_id, [entry], data if inline else None, durable, 0))
        assert result.status == APPENDED
        if durable:
            self._cut.answered(self._partition_id, self._end, data)
        self._end += 1

    def _store(self, data: bytes, durable: bool) -> asyncio.Future[int]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def done(position: int, error: Exception | None) -> None:
            loop.call_soon_threadsafe(future.set_result, position if error is None else -1)

        self._blobs.append(self._wal, [data], durable, done)
        return future

    async def _roll(self) -> None:
        wal, self._wal = self._wal, -1
        size = await self._blobs.seal(wal)
        self._cut.finished(wal)
        await self._it.maintenance.seal_blob(wal, size)

    async def _build_segment(self) -> None:
        extents = await self._it.log.extents_from(self._partition_id, self._rng.randrange(self._end), 4)
        data = b"".join([await read_extent(self._it, self._blobs, extent) for extent in extents])
        blob_id = self._it.blob_id()
        await self._blobs.put(blob_id, [data])
        self._cut.finished(blob_id)
        first, last = extents[0], extents[-1]
        fields = {name: getattr(last, name) for name in Extent.__slots__}
        fields |= {"base_offset": first.base_offset, "blob_id": blob_id, "position": 0, "length": len(data)}
        segment = Extent(**{**fields, "kind": KIND_SEGMENT})
        blob = BlobRow(blob_id, KIND_SEGMENT, len(data), 0)
        await self._it.maintenance.replace_extents(self._partition_id, extents, [segment], blob)


async def read_extent(it: Stores, blobs: LocalBlobs, extent: Extent) -> bytes:
    """The bytes that the row names. AssertionError when they are not there."""
    if extent.kind == KIND_INLINE:
        inline = await it.log.read_inline(extent.blob_id)
        assert inline is not None, f"no bytes for {extent}"
        return inline[extent.position : extent.position + extent.length]
    try:
        return await blobs.read(extent.blob_id, extent.position, extent.length)
    except BlobError as error:
        raise AssertionError(f"no bytes for {extent}") from error


async def check_survivors(
    it: Stores, blobs: LocalBlobs, partition_ids: list[int], acknowledged: list[tuple[int, int, bytes]]
) -> int:
    """Every row has its bytes, every acknowledged durable append is there, offsets are contiguous. Returns how many
    rows.
    """
    rows = 0
    there: dict[tuple[int, int], bytes] = {}
    for partition_id in partition_ids:
        state = await it.log.load_partition(partition_id)
        assert state is not None
        end = 0
        for extent in state.extents:
            assert extent.base_offset == end
            end = extent.last_offset + 1
            data = await read_extent(it, blobs, extent)
            check_payloads(data, extent)
            there[partition_id, extent.base_offset] = data
            rows += 1
        assert state.row.end_offset == end
    for partition_id, offset, data in acknowledged:
        base = max(b for p, b in there if p == partition_id and b <= offset)
        assert data in there[partition_id, base], f"acknowledged offset {offset} of partition {partition_id} is lost"
    return rows
