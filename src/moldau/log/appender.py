"""The appender: gathers batches of all partitions and commits them together.

Back of the envelope, two cores: a durable commit takes 0.3-0.5 ms, so while one runs a busy broker gathers tens of small batches; one
commit then costs each of them some microseconds. Large flushes cost a write, a sync (1.4 ms per MiB here) and the commit.

Order of one flush: take what is pending -> decide offsets and sequences on the views (pure, in memory) -> store bytes -> commit ->
publish. There is no timer: a flush begins when something is pending and nothing is in flight. A second, large flush may begin
its write while the first one commits; both pass the blob store's queue and the metadata store's queue in order, so the commits of a
partition keep the order of arrival. A small flush whose bytes ride in the commit begins only when nothing is in flight.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from moldau.clock import Clock
from moldau.metadata.ports import LogStore
from moldau.metadata.rows import (
    APPENDED,
    GONE,
    KIND_INLINE,
    KIND_WAL,
    AppendCommit,
    AppendEntry,
    AppendResult,
    Extent,
)
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader, set_base_offset

from . import fold, sections
from .blob_ids import BlobIds
from .producer_state import Refused, Remembered
from .tail_cache import TailCache
from .view import PartitionView
from .views import Views
from .wal import WriteAhead

_PARTITIONS_MAX = 200
"""Partitions in one commit at most."""
_RETRIES_MAX = 3
"""A batch whose partition moved is decided again this often."""

Batch = bytearray | memoryview


class Append:
    """One batch on its way into the log. `done(self)` is called once, on the loop, with the result in the fields."""

    __slots__ = ("base_offset", "batch", "done", "durable", "error_code", "error_message", "header", "retries", "view")

    def __init__(
        self, view: PartitionView, batch: Batch, header: BatchHeader, durable: bool, done: Callable[[Append], None]
    ) -> None:
        self.view = view
        self.batch = batch
        self.header = header
        self.durable = durable
        self.done = done
        self.error_code = 0
        self.error_message: str | None = None
        self.base_offset = -1
        self.retries = 0

    def fail(self, error_code: int, message: str | None) -> None:
        """Answer with an error."""
        self.error_code = error_code
        self.error_message = message
        self.done(self)


class _Part:
    """The batches of one partition in one flush."""

    __slots__ = ("appends", "base", "folds", "length", "max_timestamp", "view")

    def __init__(self, view: PartitionView) -> None:
        self.view = view
        self.base = view.next_offset
        self.appends: list[Append] = []
        self.folds: list[bytes] = []
        self.length = 0
        self.max_timestamp = -1


class _Flush:
    __slots__ = ("blob_id", "durable", "inline", "parts", "positions")

    def __init__(self, parts: list[_Part], durable: bool) -> None:
        self.parts = parts
        self.durable = durable
        self.inline = False
        self.blob_id = -1
        self.positions: list[int] = []


class Appender:
    """See the module's text. Everything here runs on the loop's thread but for `_stored`."""

    def __init__(
        self,
        store: LogStore,
        wal: WriteAhead,
        views: Views,
        cache: TailCache,
        ids: BlobIds,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        inline_max_bytes: int,
        flush_max_bytes: int,
    ) -> None:
        self._store = store
        self._wal = wal
        self._views = views
        self._cache = cache
        self._ids = ids
        self._clock = clock
        self._loop = loop
        self._inline_max = inline_max_bytes
        self._flush_max = flush_max_bytes
        self._pending: deque[Append] = deque()
        self.pending_bytes = 0
        self._in_flight = 0
        self._scheduled = False
        # (partition_id, base offset) of batches being committed -> duplicates that wait for them
        self._duplicates: dict[tuple[int, int], list[Append]] = {}
        self.flushes = 0

    def submit(self, append: Append) -> None:
        """Take a validated batch. The answer comes through `append.done`, never before this returns."""
        self._pending.append(append)
        self.pending_bytes += len(append.batch)
        if not self._scheduled and self._may_begin():
            self._scheduled = True
            self._loop.call_soon(self._begin)

    @property
    def pending_batches(self) -> int:
        """How many wait for a flush."""
        return len(self._pending)

    @property
    def idle(self) -> bool:
        """Nothing pending, nothing in flight."""
        return not self._pending and not self._in_flight

    def _may_begin(self) -> bool:
        if self._in_flight == 0:
            return True
        return self._in_flight == 1 and self.pending_bytes > self._inline_max

    def _begin(self) -> None:
        self._scheduled = False
        while self._pending and self._may_begin():
            flush = self._gather()
            if flush is not None:
                self._store_bytes(flush)

    # -- decide -------------------------------------------------------------------------------------------------------

    def _gather(self) -> _Flush | None:
        """Take pending batches up to the limits and give each its offset. None when nothing is left to commit."""
        parts: dict[int, _Part] = {}
        taken = 0
        durable = False
        now = self._clock()
        pending = self._pending
        while pending and taken < self._flush_max and len(parts) < _PARTITIONS_MAX:
            append = pending.popleft()
            size = len(append.batch)
            self.pending_bytes -= size
            view = append.view
            if view.dropped:
                self._retry(append)
                continue
            if append.header.producer_id >= 0 and not self._check_producer(append):
                continue
            part = parts.get(view.partition_id)
            if part is None:
                part = parts[view.partition_id] = _Part(view)
            self._place(part, append, now)
            taken += size
            durable = durable or append.durable
        return _Flush(list(parts.values()), durable) if parts else None

    def _check_producer(self, append: Append) -> bool:
        """Whether the batch goes on; otherwise it was answered, or waits for the batch it repeats."""
        try:
            duplicate = append.view.producers.check(append.header)
        except Refused as refused:
            append.fail(refused.error_code, str(refused))
            return False
        if duplicate is None:
            return True
        self._repeat(append, duplicate)
        return False

    def _repeat(self, append: Append, duplicate: Remembered) -> None:
        append.base_offset = duplicate.base_offset
        if duplicate.last_offset < append.view.high_watermark:
            append.done(append)
        else:
            self._duplicates.setdefault((append.view.partition_id, duplicate.base_offset), []).append(append)

    def _place(self, part: _Part, append: Append, now: int) -> None:
        view, header = part.view, append.header
        base = view.next_offset
        append.base_offset = base
        set_base_offset(append.batch, 0, base, view.leader_epoch)
        last = base + header.last_offset_delta
        if header.producer_id >= 0:
            last_sequence = header.last_sequence
            view.producers.add(
                header.producer_id,
                header.producer_epoch,
                header.base_sequence,
                last_sequence,
                base,
                last,
                header.max_timestamp,
                now,
            )
            flags = fold.FLAG_TRANSACTIONAL if header.is_transactional else 0
            part.folds.append(
                fold.pack_entry(
                    header.producer_id,
                    header.producer_epoch,
                    header.base_sequence,
                    last_sequence,
                    base - part.base,
                    last - part.base,
                    header.max_timestamp,
                    flags,
                )
            )
        view.next_offset = last + 1
        part.appends.append(append)
        part.length += len(append.batch)
        if header.max_timestamp > part.max_timestamp:
            part.max_timestamp = header.max_timestamp

    # -- store --------------------------------------------------------------------------------------------------------

    def _store_bytes(self, flush: _Flush) -> None:
        self._in_flight += 1
        self.flushes += 1
        buffers: list[Batch | bytes] = [append.batch for part in flush.parts for append in part.appends]
        total = sum(part.length for part in flush.parts)
        if total <= self._inline_max and self._in_flight == 1:
            flush.inline = True
            flush.blob_id = self._ids.take()
            self._commit(flush, 0, b"".join(buffers))
            return
        header = sections.pack_header([(part.view.partition_id, part.base, part.length) for part in flush.parts])
        buffers.insert(0, header)

        def stored(blob_id: int, position: int, error: Exception | None) -> None:
            # on the blob store's thread: go on to the metadata store's queue without a turn through the loop
            if error is not None:
                self._loop.call_soon_threadsafe(self._bytes_failed, flush, blob_id, error)
            else:
                flush.blob_id = blob_id
                self._commit(flush, position + len(header), None)

        self._wal.append(buffers, len(header) + total, flush.durable, stored)

    def _bytes_failed(self, flush: _Flush, blob_id: int, error: Exception) -> None:
        self._wal.failed(blob_id)
        self._committed(flush, None, error)

    def _commit(self, flush: _Flush, position: int, inline: bytes | None) -> None:
        entries = []
        for part in flush.parts:
            flush.positions.append(position)
            entries.append(
                AppendEntry(
                    part.view.partition_id,
                    part.base,
                    part.appends[-1].base_offset + part.appends[-1].header.last_offset_delta + 1 - part.base,
                    position,
                    part.length,
                    part.max_timestamp,
                    b"".join(part.folds),
                )
            )
            position += part.length
        commit = AppendCommit(flush.blob_id, entries, inline, flush.durable, self._clock())
        self._store.append(commit, lambda results, error: self._committed(flush, results, error))

    # -- publish ------------------------------------------------------------------------------------------------------

    def _committed(self, flush: _Flush, results: list[AppendResult] | None, error: Exception | None) -> None:
        self._in_flight -= 1
        now = self._clock()
        kind = KIND_INLINE if flush.inline else KIND_WAL
        for index, part in enumerate(flush.parts):
            if results is not None and results[index].status == APPENDED:
                self._publish(part, flush, flush.positions[index], results[index], kind, now)
            else:
                self._failed(part, results[index] if results is not None else None, error)
        if self._pending and not self._scheduled and self._may_begin():
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _publish(self, part: _Part, flush: _Flush, position: int, result: AppendResult, kind: int, now: int) -> None:
        view = part.view
        last = part.appends[-1]
        end = last.base_offset + last.header.last_offset_delta
        if not view.dropped:
            cache = self._cache
            for append in part.appends:
                cache.add(view, append.base_offset, append.batch)
            view.publish(
                Extent(
                    view.partition_id,
                    part.base,
                    end,
                    flush.blob_id,
                    position,
                    part.length,
                    part.max_timestamp,
                    result.running_max_timestamp,
                    end + 1 - part.base,
                    result.leader_epoch,
                    kind,
                    now,
                )
            )
        for append in part.appends:
            append.done(append)
            if self._duplicates:
                for repeat in self._duplicates.pop((view.partition_id, append.base_offset), ()):
                    repeat.done(repeat)

    def _failed(self, part: _Part, result: AppendResult | None, error: Exception | None) -> None:
        """The view ran ahead of what is stored: drop it, and decide again or answer."""
        view = part.view
        self._views.drop(view.partition_id)
        for append in part.appends:
            repeats = self._duplicates.pop((view.partition_id, append.base_offset), [])
            for each in (append, *repeats):
                each.base_offset = -1
                if result is None:
                    each.fail(error_codes.KAFKA_STORAGE_ERROR, str(error))
                elif result.status == GONE:
                    each.fail(error_codes.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted")
                else:
                    self._retry(each)

    def _retry(self, append: Append) -> None:
        """Decide again on a fresh view: the one it was decided on is gone."""
        append.retries += 1
        if append.retries > _RETRIES_MAX:
            append.fail(error_codes.KAFKA_STORAGE_ERROR, "the partition kept moving while the batch was appended")
            return
        self._loop.create_task(self._resubmit(append))

    async def _resubmit(self, append: Append) -> None:
        try:
            view = await self._views.load(append.view.partition_id)
        except Exception as error:
            append.fail(error_codes.KAFKA_STORAGE_ERROR, str(error))
            return
        if view is None:
            append.fail(error_codes.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted")
        else:
            append.view = view
            self.submit(append)
