"""Compaction of extents, pure: which records of a partition stay, and the batches that hold them.

Theory of operation
-------------------
Kafka's cleaner goes over the dirty part of a log to learn the last offset of each key, and then over everything once more. Here it goes once,
from the end to the begin: a record stays if its key was not *seen* yet. So every record is looked at once, the memory of keys needs no
offsets, and whatever a run has done when it ends early is right: a record only goes after a later one of its key, which is kept.

What lies below `cleaned_to` has been through a whole run: no key is there twice. It is held against what was seen, and adds nothing. When the
memory is full nothing is added any more, and the rest is only held against it; the next round begins where it became full (`full_at`).

Tombstones. The first time that one is kept, its batch gets a delete horizon (KIP-534): now + `delete.retention.ms`. When that has passed it
goes, if it lies below `cleaned_to`: then nothing older of its key is left that could come back.

Transactions. Nothing at or above the last stable offset is ever given to it. Batches of aborted transactions go at once, markers as tombstones do; producers'
states are folds of rows. A marker of an abort goes only below `cleaned_to`, where nothing of what was aborted is left: what is not there is not told
to consumers, who would wait for the marker (`isolation`).

Offsets. Extents keep theirs, and batches follow one another without a gap as before: offsets of records that are gone are taken up by the batch before them
(its last offset grows), which consumers step over as they do after Kafka's cleaner. A transactional batch is left as it is, because its last offset
decides which aborted ranges begin before it: an empty batch of 61 bytes follows it. So readers, indexes, look-ups and checks know nothing of compaction.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Generator, Iterable, Iterator, Sequence

from moldau.metadata.rows import Extent
from moldau.records.batch import CONTROL_BIT, HEADER_BYTES, TRANSACTIONAL_BIT, BatchHeader
from moldau.records.control import ABORT, COMMIT, control_type
from moldau.records.errors import InvalidBatch, invalid
from moldau.records.keyed import LAST_OFFSET_DELTA_MAX, Indexed, empty, index, keep, stretch
from moldau.records.record import iter_records, raw_records

from .extent_walk import walk
from .transactions import AbortedRange

SLICE_RECORDS = 100
"""Records after which a batch is the last one before a yield: a tenth of a millisecond and more."""
CHUNK_RECORDS = 200
"""Records of one batch that are looked at without a yield."""
_BATCH_AS_RECORDS = 5
"""What a batch costs beside its records."""
_KEY_OVERHEAD = 48
"""A key's object in memory beside its bytes."""

Buffer = bytes | bytearray | memoryview


class Part:
    """Whole batches that stay: bytes, and the offsets they take up. `last_at` is where the last batch begins in them."""

    __slots__ = ("base", "data", "last", "last_at")

    def __init__(self, base: int, last: int, data: Buffer, last_at: int = 0) -> None:
        self.base = base
        self.last = last
        self.data = data
        self.last_at = last_at


class Piece:
    """What is left of one extent. Not `changed`: all of it, in one part."""

    __slots__ = ("changed", "extent", "length", "parts", "records")

    def __init__(self, extent: Extent, parts: list[Part], records: int, changed: bool) -> None:
        self.extent = extent
        self.parts = parts
        self.records = records
        self.changed = changed
        self.length = sum(len(part.data) for part in parts)


class Compactor:
    """One round over a partition: `take` its extents from the one that holds `top` - 1 down to the first.

    `removed` counts records that went, `seen_records` those that were looked at; `spoiled` batches that do not parse, which stay as they are.
    """

    def __init__(
        self,
        *,
        top: int,
        cleaned_to: int,
        now: int,
        delete_retention_ms: int,
        key_bytes: int,
        aborted: Iterable[AbortedRange] = (),
    ) -> None:
        """`key_bytes` is how much memory the keys may take; `aborted` are all aborted ranges below `top`."""
        self._top = top
        self._cleaned_to = cleaned_to
        self._now = now
        self._horizon = now + delete_retention_ms
        self._memory = key_bytes
        self._seen: set[bytes] = set()
        self._key_bytes = 0
        self._aborted: dict[int, tuple[list[int], list[int]]] = {}
        for each in sorted(aborted, key=lambda each: each.first_offset):
            firsts, lasts = self._aborted.setdefault(each.producer_id, ([], []))
            firsts.append(each.first_offset)
            lasts.append(each.last_offset)
        self.full_at = -1
        """The offset from which on all keys were remembered; -1: the memory was large enough."""
        self.removed = 0
        self.seen_records = 0
        self.spoiled = 0

    def take(self, extent: Extent, data: Buffer) -> Generator[None, None, Piece]:
        """The next extent down, with its bytes, whose offsets are put in place. Yields between slices of the work. Raises DamagedLog."""
        data, positions = yield from walk(data, extent)
        view = memoryview(data)
        kept: list[Part] = []
        records = since = 0
        changed = False
        for position in reversed(positions):
            header = BatchHeader(data, position)
            count = header.record_count
            whole = view[position : position + header.size]
            if header.base_offset >= self._top:
                batch: Buffer | None = whole
                left = count
            elif header.attributes & CONTROL_BIT:
                batch, left = self._marker(header, whole)
            elif count == 0 or (header.attributes & TRANSACTIONAL_BIT and self._is_aborted(header)):
                batch, left = None, 0
                self.removed += count
            else:
                batch, left = yield from self._data(header, whole)
            records += left
            if batch is not whole and count > 0:
                changed = True
            if batch is not None:
                kept.append(Part(header.base_offset, header.last_offset, batch))
            since += count + _BATCH_AS_RECORDS
            if since >= SLICE_RECORDS:
                since = 0
                yield
        if not changed:
            # batches without records are only the offsets that they take up: where nothing else goes they stay
            return Piece(extent, [Part(extent.base_offset, extent.last_offset, data, positions[-1])], records, False)
        kept.reverse()
        return Piece(extent, kept, records, True)

    def _is_aborted(self, header: BatchHeader) -> bool:
        ranges = self._aborted.get(header.producer_id)
        if ranges is None:
            return False
        at = bisect_right(ranges[0], header.base_offset) - 1
        return at >= 0 and header.base_offset <= ranges[1][at]

    def _remembers(self, offset: int) -> bool:
        return self.full_at < 0 and offset >= self._cleaned_to

    def _settled(self, header: BatchHeader) -> bool:
        """Nothing older of what the batch says is left, or nothing will be when this round is over."""
        return self.full_at < 0 or header.base_offset < self._cleaned_to

    def _passed(self, header: BatchHeader) -> bool:
        horizon = header.delete_horizon_ms
        return horizon is not None and horizon <= self._now and header.last_offset < self._cleaned_to

    def _marker(self, header: BatchHeader, whole: memoryview) -> tuple[Buffer | None, int]:
        """A control batch; only those that end a transaction ever go."""
        try:
            is_end = header.record_count == 1 and all(
                control_type(record.key) in (COMMIT, ABORT) for record in iter_records(whole)
            )
        except InvalidBatch:
            is_end = False
        if not is_end:
            return whole, header.record_count
        if self._passed(header):
            self.removed += 1
            return None, 0
        if header.has_delete_horizon or not self._settled(header):
            return whole, 1
        raw = bytes(whole[HEADER_BYTES:])
        return keep(header, raw, [(0, len(raw))], self._horizon), 1

    def _data(self, header: BatchHeader, whole: memoryview) -> Generator[None, None, tuple[Buffer | None, int]]:
        """(what stays of a batch of records, how many those are)."""
        try:
            raw = bytes(raw_records(whole, header))
            chunks = yield from _chunks(raw, header.record_count)
        except InvalidBatch:
            self.spoiled += 1
            return whole, header.record_count
        self.seen_records += header.record_count
        remembers = self._remembers(header.base_offset)
        passed = self._passed(header)
        staying: list[tuple[Indexed, list[int]]] = []
        count = 0
        has_tombstones = False
        for chunk in reversed(chunks):
            numbers = self._staying(chunk, remembers)
            if chunk.tombstones:
                tombstones = set(chunk.tombstones)
                if passed:
                    numbers = [number for number in numbers if number not in tombstones]
                else:
                    has_tombstones = has_tombstones or not tombstones.isdisjoint(numbers)
            staying.append((chunk, numbers))
            count += len(numbers)
            if len(chunks) > 1:
                yield
        horizon = None
        if has_tombstones and not header.has_delete_horizon and self._settled(header):
            horizon = self._horizon
        if remembers and self._full():
            self.full_at = header.base_offset
        self.removed += header.record_count - count
        if not count:
            return None, 0
        if count == header.record_count and horizon is None:
            return whole, count
        spans = [
            (chunk.starts[number], chunk.starts[number + 1])
            for chunk, numbers in reversed(staying)
            for number in numbers
        ]
        return keep(header, raw, spans, horizon), count

    def _staying(self, chunk: Indexed, remembers: bool) -> list[int]:
        """The numbers of the records that stay, in order."""
        seen = self._seen
        if not remembers:
            return [n for n, key in enumerate(chunk.keys) if key is not None and key not in seen]
        last = dict(zip(chunk.keys, range(len(chunk.keys)), strict=True))
        last.pop(None, None)
        fresh = last.keys() - seen
        seen |= fresh  # type: ignore[arg-type]
        self._key_bytes += sum(map(len, fresh))  # type: ignore[arg-type]
        return sorted([last[key] for key in fresh])

    def _full(self) -> bool:
        return sys.getsizeof(self._seen) + len(self._seen) * _KEY_OVERHEAD + self._key_bytes >= self._memory


def _chunks(raw: bytes, count: int) -> Generator[None, None, list[Indexed]]:
    chunks = []
    pos = 0
    if count < 0:
        raise invalid("a negative number of records")
    while count:
        chunk = index(raw, pos, min(count, CHUNK_RECORDS))
        chunks.append(chunk)
        pos = chunk.starts[-1]
        count -= len(chunk.keys)
        if count:
            yield
    if pos != len(raw):
        raise invalid(f"{len(raw) - pos} bytes follow the last record")
    return chunks


def assemble(pieces: Sequence[Piece]) -> Iterator[Part]:
    """The batches of neighbouring extents, every offset from the first one's begin to the last one's end taken up.

    `pieces` are in the order of offsets, of one leader epoch, and span no more than 2^31 offsets.
    """
    epoch = pieces[0].extent.leader_epoch
    expected = pieces[0].extent.base_offset
    before: Part | None = None
    for piece in pieces:
        for part in piece.parts:
            if before is not None or part.base > expected:
                yield from _covered(before, expected, part.base - 1, epoch)
            before = part
            expected = part.last + 1
    yield from _covered(before, expected, pieces[-1].extent.last_offset, epoch)


def _covered(before: Part | None, first: int, last: int, epoch: int) -> Iterator[Part]:
    """`before`, made to take up [first, last] as well; or what does so follows it."""
    if before is not None and first <= last:
        header = BatchHeader(before.data, before.last_at)
        plain = not header.attributes & (TRANSACTIONAL_BIT | CONTROL_BIT)
        if plain and last - header.base_offset <= LAST_OFFSET_DELTA_MAX:
            if before.last_at:
                yield Part(before.base, header.base_offset - 1, memoryview(before.data)[: before.last_at])
            batch = bytearray(memoryview(before.data)[before.last_at :])
            stretch(batch, last)
            yield Part(header.base_offset, last, batch)
            return
    if before is not None:
        yield before
    if first <= last:
        yield Part(first, last, empty(first, last, epoch))
