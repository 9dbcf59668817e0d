"""A log of keyed records beside what a reader of all of it would know: what compaction is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from moldau.log import fold
from moldau.log.aborted_rows import older_in
from moldau.log.cleaner import CleanerLimits
from moldau.log.compaction_plan import CompactionRule
from moldau.log.isolation import told
from moldau.metadata.rows import Extent
from moldau.records.batch import CONTROL_BIT, TRANSACTIONAL_BIT, BatchHeader, compute_crc, iter_headers
from moldau.records.builder import build_batch
from moldau.records.control import end_txn_marker, read_end_txn_marker
from moldau.records.record import Record, iter_records

from .logs import Log
from .stores import Stores

RULE = CompactionRule(
    delete_retention_ms=1000, min_ratio=0.0, min_lag_ms=0, max_lag_ms=1 << 62, min_age_ms=0, segment_bytes=20_000
)
NO_LIMITS = CleanerLimits()

Pair = tuple[bytes | None, bytes | None]


class Written(NamedTuple):
    """A record as it was written; `producer` is that of its transaction, or -1."""

    record: Record
    producer: int


class _Overlap(Exception):
    """A batch begins before the end of the one before."""


class KeyedLog:
    """One partition of a `Log`. `writes` is everything ever written, by offset; `outcome` of ended transactions: offset of each
    record to whether it was committed.
    """

    def __init__(self, it: Stores, partition_id: int, log: Log | None = None) -> None:
        self.it = it
        self.p = partition_id
        self.log = Log(it) if log is None else log
        self.writes: dict[int, Written] = {}
        self.outcome: dict[int, bool] = {}
        self.open: dict[int, list[int]] = {}
        self.sequences: dict[int, int] = {}

    def restarted(self) -> None:
        """Everything that was in memory is gone."""
        before = self.log
        self.log = Log(self.it, before.blobs)
        self.log.now, self.log.wal = before.now, before.wal
        self.log.ids = self.log.builder._ids = self.log.cleaner._ids = before.ids

    async def write(
        self,
        *batches: Sequence[Pair],
        producer: int = -1,
        inline: bool = True,
        timestamp: int | None = None,
        **how: Any,
    ) -> int:
        """Batches of (key, value) in one extent, in the transaction of `producer` if that is one. Returns the base offset."""
        view = await self.log.views.load(self.p)
        assert view is not None
        base = offset = view.high_watermark
        data, folded, newest = b"", b"", -1
        for pairs in batches:
            stamp = self.log.now if timestamp is None else timestamp
            records = [
                Record(offset + n, stamp + n % 3, key, value, [("h", b"1")] if n % 5 == 4 else [])
                for n, (key, value) in enumerate(pairs)
            ]
            if producer >= 0:
                how |= {"producer_id": producer, "producer_epoch": 0, "transactional": True}
                how["base_sequence"] = self.sequences.get(producer, 0)
                self.sequences[producer] = how["base_sequence"] + len(pairs)
            batch = bytes(build_batch(records, base_offset=offset, leader_epoch=view.leader_epoch, **how))
            header = BatchHeader(batch)
            newest = max(newest, header.max_timestamp)
            if producer >= 0:
                folded += fold.of_batch(header, offset - base)
            for record in iter_records(batch):
                self.writes[record.offset] = Written(record, producer)
                if producer >= 0:
                    self.open.setdefault(producer, []).append(record.offset)
            data += batch
            offset += len(pairs)
        for entry in fold.unpack(folded):
            view.producers.apply(entry, base, self.log.now)
        await self.log.append_batches(view, base, data, offset - base, newest, folded, inline=inline)
        return base

    async def end(self, producer: int, *, commit: bool) -> None:
        """The marker of its transaction."""
        view = await self.log.views.load(self.p)
        assert view is not None
        base = view.high_watermark
        marker = end_txn_marker(
            producer_id=producer,
            producer_epoch=0,
            commit=commit,
            coordinator_epoch=0,
            now=self.log.now,
            base_offset=base,
            leader_epoch=view.leader_epoch,
        )
        folded = fold.of_marker(producer, 0, commit, self.log.now, 0)
        for entry in fold.unpack(folded):
            view.producers.apply(entry, base, self.log.now)
        await self.log.append_batches(view, base, bytes(marker), 1, self.log.now, folded)
        for offset in self.open.pop(producer, []):
            self.outcome[offset] = commit

    async def compact(self, rule: CompactionRule = RULE, limits: CleanerLimits = NO_LIMITS) -> bool:
        """Look, and work if that is due."""
        return await self.log.cleaner.clean(self.p, rule, limits)

    async def cleaned_to(self) -> int:
        return await self.it.maintenance.cleaned_to(self.p)

    # -- what is there ------------------------------------------------------------------------------------------------

    async def batches(self, max_bytes: int = 2000) -> list[bytes]:
        """From the log start on, fetched as a consumer would; they follow one another without a gap. Where rows were swapped since a reader began to keep
        some, it may come from old ones into a new one, as a consumer would, and skip what it has: then all is read again, from new ones.
        """
        try:
            return await self._batches(max_bytes)
        except _Overlap:
            assert self.log.reader._windows
            self.log.reader._windows.clear()
            return await self._batches(max_bytes)

    async def _batches(self, max_bytes: int) -> list[bytes]:
        view = await self.log.views.load(self.p)
        assert view is not None
        offset, found = view.log_start_offset, []
        while offset < view.high_watermark:
            buffers, _ = await self.log.reader.read(view, offset, max_bytes, True)
            assert buffers
            for buffer in buffers:
                for position, header in iter_headers(buffer):
                    assert header.base_offset <= offset < header.next_offset
                    if found and header.base_offset != offset:
                        raise _Overlap
                    assert compute_crc(buffer, position, header.size) == header.crc
                    found.append(bytes(buffer[position : position + header.size]))
                    offset = header.next_offset
        return found

    async def there(self) -> list[Record]:
        """Every record that is left at or above the log start, whatever became of its transaction."""
        view = await self.log.views.load(self.p)
        assert view is not None
        found = []
        for batch in await self.batches():
            if not BatchHeader(batch).attributes & CONTROL_BIT:
                found += [record for record in iter_records(batch) if record.offset >= view.log_start_offset]
        return found

    async def committed(self, max_bytes: int = 2000, log: Log | None = None) -> list[Record]:
        """What a read_committed consumer returns: as Kafka's own does it, from the batches and aborted ranges of each answer. `log`: another broker's."""
        log = self.log if log is None else log
        view = await log.views.load(self.p)
        assert view is not None
        found: list[Record] = []
        offset, end = view.log_start_offset, view.last_stable_offset
        while offset < end:
            buffers, _ = await log.reader.read(view, offset, max_bytes, True, end)
            older = await older_in(self.it.log, view, buffers)
            buffers, waiting = told(view, buffers, older)
            if not buffers:  # a log start may lie inside an open transaction
                break
            aborted: set[int] = set()
            for buffer in buffers:
                for position, header in iter_headers(buffer):
                    batch = buffer[position : position + header.size]
                    offset = header.next_offset
                    while waiting and waiting[0].first_offset <= header.last_offset:
                        aborted.add(waiting.pop(0).producer_id)
                    if header.attributes & CONTROL_BIT:
                        marker = read_end_txn_marker(batch)
                        if marker is not None and not marker.commit:
                            aborted.discard(header.producer_id)
                    elif not (header.attributes & TRANSACTIONAL_BIT and header.producer_id in aborted):
                        found += [record for record in iter_records(batch) if record.offset >= view.log_start_offset]
        return found

    def is_committed(self, offset: int) -> bool:
        """Of a record that was written."""
        return self.writes[offset].producer < 0 or self.outcome.get(offset, False)

    async def last_values(self) -> dict[bytes, Record]:
        """The last record of each key at or above the log start and below the last stable offset, by what was written."""
        view = await self.log.views.load(self.p)
        assert view is not None
        last: dict[bytes, Record] = {}
        for offset in range(view.log_start_offset, view.last_stable_offset):
            written = self.writes.get(offset)
            if written is not None and written.record.key is not None and self.is_committed(offset):
                last[written.record.key] = written.record
        return last

    async def extents(self) -> list[Extent]:
        return await self.it.extents(self.p)
