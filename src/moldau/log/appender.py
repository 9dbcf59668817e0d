"""The appender of a broker that is alone with its stores: gathers batches of all partitions and commits them together.

Back of the envelope, two cores: a durable commit takes 0.3-0.5 ms, so while one runs a busy broker gathers tens of small batches; one
commit then costs each of them some microseconds. Large flushes cost a write, a sync (1.4 ms per MiB here) and the commit.

Order of one flush: take what is pending -> decide offsets and sequences on the views (pure, in memory) -> store bytes -> commit ->
publish. A batch that opens a transaction is asked for (`txn_open`) when it is decided. There is no timer: a flush begins when something is pending and nothing is in flight. A second, large flush may begin
its write while the first one commits; both pass the blob store's queue and the metadata store's queue in order, so the commits of a
partition keep the order of arrival. A small flush whose bytes ride in the commit begins only when nothing is in flight.

Markers of transactions do not pass through here: they get their offsets on the same views, and their section from the same sequencer (`journaled_txns`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from moldau.clock import Clock
from moldau.metadata.rows import APPENDED, GONE, AppendResult, Extent
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes
from moldau.records.batch import set_base_offset

from . import fold
from .flush import Append, Flush, Part
from .producer_state import Refused, Remembered
from .sequencer import Sequencer
from .tail_cache import TailCache
from .views import Views

_PARTITIONS_MAX = 200
"""Partitions in one commit at most."""
_LONE_FLUSHES = 16
"""After so many flushes of one batch there seems to be nobody to wait for: the next one begins at once, a turn of the loop earlier."""
_RETRIES_MAX = 3
"""A batch whose partition moved is decided again this often."""


class Appender:
    """See the module's text. Everything here runs on the loop's thread but for `_stored`."""

    def __init__(
        self,
        sequencer: Sequencer,
        views: Views,
        cache: TailCache,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        inline_max_bytes: int,
        flush_max_bytes: int,
        txn_open: Callable[[TxnGuard], bool] = lambda guard: False,
    ) -> None:
        """`txn_open`: whether that transaction is open and names the partition, as of now."""
        self._sequencer = sequencer
        self._views = views
        self._cache = cache
        self._clock = clock
        self._loop = loop
        self._inline_max = inline_max_bytes
        self._flush_max = flush_max_bytes
        self._pending: deque[Append] = deque()
        self.pending_bytes = 0
        self._in_flight = 0
        self._scheduled = False
        self._lone = 0  # flushes of one batch in a row
        # (partition_id, base offset) of batches being committed -> duplicates that wait for them
        self._duplicates: dict[tuple[int, int], list[Append]] = {}
        self.flushes = 0
        self._txn_open = txn_open

    def submit(self, append: Append) -> None:
        """Take a validated batch. The answer comes through `append.done`, perhaps before this returns."""
        self._pending.append(append)
        self.pending_bytes += len(append.batch)
        if not self._scheduled and self._may_begin():
            self._scheduled = True
            self._loop.call_soon(self._begin)
            if self._lone >= _LONE_FLUSHES:
                # whoever comes in the same turn of the loop gathers as ever
                self._flush()

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
        """Once in a turn of the loop, after all sockets were read."""
        self._scheduled = False
        if self._pending and self._lone >= _LONE_FLUSHES:
            self._lone = 0  # somebody came after the one that did not wait
        self._flush()

    def _flush(self) -> None:
        count = len(self._pending)
        if count == 1:
            self._lone += 1
        elif count:
            self._lone = 0
        while self._pending and self._may_begin():
            flush = self._gather()
            if flush is not None:
                self._in_flight += 1
                self.flushes += 1
                self._sequencer.commit(flush, self._committed)

    # -- decide -------------------------------------------------------------------------------------------------------

    def _gather(self) -> Flush | None:
        """Take pending batches up to the limits and give each its offset. None when nothing is left to commit."""
        parts: dict[int, Part] = {}
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
                part = parts[view.partition_id] = Part(view)
            self._place(part, append, now)
            taken += size
            durable = durable or append.durable
        return Flush(list(parts.values()), durable, now) if parts else None

    def _check_producer(self, append: Append) -> bool:
        """Whether the batch goes on; otherwise it was answered, or waits for the batch it repeats."""
        try:
            states = append.view.producers
            duplicate = append.check(states)
            guard = append.guard
            if duplicate is None and guard is not None and states.opens(append.header) and not self._txn_open(guard):
                raise Refused(error_codes.INVALID_TXN_STATE, "the transaction is over, or does not name the partition")
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

    def _place(self, part: Part, append: Append, now: int) -> None:
        view, header, batch = part.view, append.header, append.batch
        base = append.base_offset = view.next_offset
        set_base_offset(batch, 0, base, view.leader_epoch)
        if header.producer_id >= 0:
            view.producers.add_batch(header, base, now)
            part.folds.append(fold.of_batch(header, base - part.base))
        view.next_offset = part.end = base + header.last_offset_delta + 1
        part.appends.append(append)
        part.length += len(batch)
        if header.max_timestamp > part.max_timestamp:
            part.max_timestamp = header.max_timestamp

    # -- committed ----------------------------------------------------------------------------------------------------

    def _committed(self, flush: Flush, results: list[AppendResult] | None, error: Exception | None) -> None:
        self._in_flight -= 1
        now = self._clock()
        if results is None:
            for part in flush.parts:
                self._failed(part, None, error)
        else:
            for part, position, result in zip(flush.parts, flush.positions, results, strict=True):
                if result.status == APPENDED:
                    self._publish(part, flush, position, result, now)
                else:
                    self._failed(part, result, error)
        self._go_on()

    def _go_on(self) -> None:
        if self._pending and not self._scheduled and self._may_begin():
            self._scheduled = True
            self._loop.call_soon(self._begin)

    # -- publish ------------------------------------------------------------------------------------------------------

    def _publish(self, part: Part, flush: Flush, position: int, result: AppendResult, now: int) -> None:
        view = part.view
        if not view.dropped:
            cache = self._cache
            for append in part.appends:
                cache.add(view, append.base_offset, append.batch)
            view.publish(
                Extent(
                    view.partition_id,
                    part.base,
                    part.end - 1,
                    flush.blob_id,
                    position,
                    part.length,
                    part.max_timestamp,
                    result.running_max_timestamp,
                    part.end - part.base,
                    result.leader_epoch,
                    flush.kind,
                    now,
                )
            )
        for append in part.appends:
            append.done(append)
            if self._duplicates:
                for repeat in self._duplicates.pop((view.partition_id, append.base_offset), ()):
                    repeat.done(repeat)

    def _failed(self, part: Part, result: AppendResult | None, error: Exception | None) -> None:
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
