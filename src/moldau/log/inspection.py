"""The check of a data directory: every row against its neighbours, every byte that a row names against its checksum.

Read-only. What it finds is a list of sentences; none means that each partition is whole from its log start to its end (properties 1 and 2 of
the metadata store). It reads a stopped broker's directory, or a copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from moldau.blobs.ports import BlobError, BlobStore
from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL, Extent, PartitionRow, PartitionState
from moldau.records.batch import BatchHeader, compute_crc, iter_headers
from moldau.records.control import read_end_txn_marker
from moldau.records.errors import InvalidBatch

from . import segment, snapshot
from .fold import FLAGS_MAX, Entry, unpack
from .refold import Refold
from .snapshots import fold_into

_CHUNK = 1000


class Inspection:
    """Checks one store's partitions and blobs. `batches` and `bytes_read` count what was looked at, `transactions` those that are open."""

    def __init__(
        self, log_store: LogStore, maintenance: MaintenanceStore, blobs: BlobStore, *, guesses: bool = False
    ) -> None:
        """`guesses`: base offsets in write-ahead blobs may be off, all of an extent by the same."""
        self.guesses = guesses
        self._log_store = log_store
        self._maintenance = maintenance
        self._blobs = blobs
        self.extents = 0
        self.batches = 0
        self.bytes_read = 0
        self.transactions = 0
        self.aborted = 0
        """Ranges that readers of committed records skip."""

    async def partition(self, row: PartitionRow, *, deep: bool) -> AsyncIterator[str]:
        """What is wrong with one partition. `deep` reads every batch."""
        state = await self._log_store.load_partition(row.partition_id)
        if state is None:
            yield "its row is gone"
            return
        self._count(state)
        try:
            refold = Refold(state, await self._maintenance.cleaned_to(state.row.partition_id))
        except ValueError as error:
            yield f"snapshot at {state.snapshot_offset}: {error}"
            refold = None
        expected = -1
        running = -1
        offset = 0
        while True:
            extents = await self._log_store.extents_from(row.partition_id, offset, _CHUNK)
            for extent in extents:
                self.extents += 1
                where = f"extent {extent.base_offset}..{extent.last_offset}"
                if expected < 0 and extent.base_offset > state.row.log_start_offset:
                    yield f"{where}: the log starts at {state.row.log_start_offset}, records before this extent are missing"
                elif expected >= 0 and extent.base_offset != expected:
                    yield f"{where}: expected to begin at {expected}"
                if extent.last_offset < extent.base_offset:
                    yield f"{where}: ends before it begins"
                running = max(running, extent.max_timestamp)
                if extent.running_max_timestamp < running:
                    yield f"{where}: running maximum of timestamps is {extent.running_max_timestamp}, expected {running}"
                try:
                    _check_entries(extent)
                    if refold is not None:
                        refold.add(extent)
                except ValueError as error:
                    yield f"{where}: {error}"
                if deep:
                    async for problem in self._bytes(extent):
                        yield f"{where}: {problem}"
                expected = extent.last_offset + 1
            if len(extents) < _CHUNK:
                break
            offset = extents[-1].last_offset + 1
        for problem in refold.problems() if refold is not None else ():
            yield f"snapshot at {state.snapshot_offset}: {problem}"
        end = state.row.end_offset
        if expected < 0 and state.row.log_start_offset != end:
            yield f"no extents, but the log spans {state.row.log_start_offset}..{end}"
        if expected >= 0 and expected != end:
            yield f"the last extent ends at {expected}, the partition at {end}"

    async def _bytes(self, extent: Extent) -> AsyncIterator[str]:
        try:
            data = await self._read(extent)
            if extent.kind == KIND_SEGMENT:
                whole = await self._blobs.read(extent.blob_id, 0, extent.position + extent.length)
                for problem in segment.check(whole, extent):
                    yield f"blob {extent.blob_id:016x}: {problem}"
        except BlobError as error:
            yield str(error)
            return
        self.bytes_read += len(data)
        offset = extent.base_offset
        end = shift = 0
        seen: dict[int, tuple[int, ...]] = {}
        try:
            for position, header in iter_headers(data):
                self.batches += 1
                if compute_crc(data, position, header.size) != header.crc:
                    yield f"batch at offset {offset}, blob {extent.blob_id:016x}: wrong checksum"
                if not position and self.guesses and extent.kind == KIND_WAL:
                    shift = header.base_offset - offset
                if header.base_offset - shift != offset:
                    yield f"batch at offset {offset}, blob {extent.blob_id:016x}: says it is at {header.base_offset}"
                if header.producer_id >= 0:
                    batch = data[position : position + header.size]
                    relative = offset - extent.base_offset
                    seen[relative] = _meaning(header, batch, relative)
                offset += header.last_offset_delta + 1
                end = position + header.size
        except InvalidBatch as error:
            yield f"blob {extent.blob_id:016x}: {error}"
            return
        if end != len(data):
            yield f"blob {extent.blob_id:016x}: {len(data) - end} bytes at the end are no batch"
        if offset != extent.last_offset + 1:
            yield f"its batches end at offset {offset - 1}"
        compacted = extent.records <= extent.last_offset - extent.base_offset
        for entry in _entries(extent):
            if not _is_meant(seen.get(entry[4]), entry, compacted):
                yield f"the batch at offset {extent.base_offset + entry[4]} is not what its row says of producer {entry[0]}"

    def _count(self, state: PartitionState) -> None:
        """Of what a view would know of transactions."""
        try:
            states = snapshot.unpack(state.snapshot)
            fold_into(states, state.extents, state.snapshot_offset)
        except ValueError:
            return  # it is reported where it lies
        self.transactions += len(states.transactions.open)
        self.aborted += len(states.transactions.aborted)

    async def _read(self, extent: Extent) -> memoryview:
        if extent.kind != KIND_INLINE:
            return memoryview(await self._blobs.read(extent.blob_id, extent.position, extent.length))
        data = await self._log_store.read_inline(extent.blob_id)
        if data is None or len(data) < extent.position + extent.length:
            raise BlobError(f"inline blob {extent.blob_id:016x} is missing or too short")
        return memoryview(data)[extent.position : extent.position + extent.length]

    async def files(self) -> AsyncIterator[str]:
        """Blobs that rows name and are not there or too short, and files that no row names."""
        sizes = await self._blobs.sizes()
        ends = await self._maintenance.blob_ends()
        rows = {row.blob_id: row for row in await self._maintenance.blobs()}
        for blob_id, end in sorted(ends.items()):
            if blob_id not in sizes:
                yield f"blob {blob_id:016x} is missing; extents name {end} bytes of it"
            elif sizes[blob_id] < end:
                yield f"blob {blob_id:016x} has {sizes[blob_id]} bytes, extents name {end}"
            if blob_id not in rows:
                yield f"blob {blob_id:016x} is named by extents but has no row"
        for blob_id, inline, counted, named in await self._maintenance.live_counts():
            yield f"{'inline ' if inline else ''}blob {blob_id:016x} is counted with {counted} extents, {named} name it"
        for blob_id in sorted(set(sizes) - set(rows)):
            yield f"blob {blob_id:016x} is an orphan: no row knows it; the broker will collect it (harmless)"


def _check_entries(extent: Extent) -> None:
    """Raises ValueError for a fold that no release writes."""
    last = -1
    for entry in unpack(extent.fold):
        flags = entry[7]
        if not last < entry[4] <= entry[5] <= extent.last_offset - extent.base_offset:
            raise ValueError(
                f"its fold says that a batch spans {entry[4]}..{entry[5]} in it, after one that ends at {last}"
            )
        if flags > FLAGS_MAX or (flags & FLAG_COMMIT and not flags & FLAG_MARKER):
            raise ValueError(f"its fold has flags {flags}, which mean nothing")
        last = entry[5]


def _entries(extent: Extent) -> list[Entry]:
    try:
        return unpack(extent.fold)
    except ValueError:
        return []  # it was reported


def _is_meant(found: tuple[int, ...] | None, entry: Entry, compacted: bool) -> bool:
    """Whether a batch is what its entry says. Compaction takes batches away, and lets those that stay take up the offsets; entries stay."""
    said = entry[:4] + entry[5:6] + entry[7:]
    if not compacted:
        return found == said
    return found is None or (found[:4] + found[5:] == said[:4] + said[5:] and found[4] >= said[4])


def _meaning(header: BatchHeader, batch: memoryview, relative: int) -> tuple[int, ...]:
    """What an entry says of the batch, without its offset and time. Raises InvalidBatch."""
    flags = FLAG_TRANSACTIONAL if header.is_transactional else 0
    marker = read_end_txn_marker(batch) if header.is_control else None
    if marker is not None:
        flags |= FLAG_MARKER | (FLAG_COMMIT if marker.commit else 0)
    sequences = header.base_sequence, header.last_sequence
    return header.producer_id, header.producer_epoch, *sequences, relative + header.last_offset_delta, flags
