"""The log cleaner: compaction of one partition, from the plan (`compaction_plan`) over the work on records (`compactor`) to the rows.

A run, each step of which may be the last one before a crash:

    1. a snapshot at or above the end, so that no view is ever folded from swapped rows
    2. rounds from the end down to the log start. Neighbouring extents that lost something become one (a segment, or inline bytes), its rows swapped
       in one transaction (`extent_swap`); extents that lost nothing stay as they are
    3. the partition is *cleaned to* the end: one row, written when the last round is over

What was swapped stays right whether the rest of the run happens or not (see `compactor`): whoever begins again reads more than he would have to,
and writes nothing twice. A conflict with another job (retention, a builder on another broker) ends the run, as does a store that does
not answer; it is tried again later. Damaged bytes end it, too: the partition waits an hour for somebody to run `moldau inspect`.

The work on records is in slices of a fifth of a millisecond. While others have work the job sleeps after each, five times as long as it worked: it is not enough to let
them come between, because who is woken by their answers may be given this core, and gets it when the loop sleeps. While it is alone it looks after some slices whether anybody came. Or it sleeps as long as `log.cleaner.io.max.bytes.per.second` says so. Memory: the keys, two segments, and an extent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from moldau import faults
from moldau.blobs.ports import BlobError
from moldau.clock import Clock
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, Extent

from . import aborted_rows, fold, segment_plan
from .blob_ids import BlobIds
from .compaction_plan import NEVER, CompactionPlan, CompactionRule, plan
from .compactor import Compactor, Part, Piece, assemble
from .damage import DamagedLog
from .extent_swap import ExtentSwap, SwapPoints
from .segment import Buffer, Builder, Segment
from .transactions import AbortedRange
from .view import PartitionView
from .views import Views

log = logging.getLogger(__name__)

DAMAGE_PAUSE_MS = 3_600_000
RETRY_MS = 5_000
"""After a run that another job ended."""
_LOOK_EXTENTS = 1000
_PAGE_EXTENTS = 256
_READ_BYTES = 2 << 20
_SLICE_PARTS = 40
_SLICE_BYTES = 256 << 10
_SLEEP_SECONDS_MIN = 0.001
"""Timers of the loop are no finer."""
_ALONE_SECONDS = 0.0006
"""Who is alone works that long before he looks around: a turn of the loop costs a twentieth of it."""
_OTHERS_SECONDS = 0.0001
"""Of the thread's time; where this passes until the cleaner comes to its turn again it was not alone."""
_BUSY_SECONDS = 0.1
"""How long others count as having work."""
_BUSY_FACTOR = 5
"""The cleaner takes a sixth of the loop's time then, and all that others leave of it else."""
_OFFSETS_MAX = 2**31 - 1

Pause = Callable[[float], Awaitable[None]]
_POINTS = SwapPoints(
    put=lambda: faults.hit("log.clean.put"),
    stored=lambda: faults.hit("log.clean.stored"),
    swapped=lambda: faults.hit("log.clean.swapped"),
)


class CleanerLimits(NamedTuple):
    """`log.cleaner.dedupe.buffer.size` and `log.cleaner.io.max.bytes.per.second`."""

    key_bytes: int = 128 << 20
    bytes_per_second: float = float("inf")


class _Moved(Exception):
    """Another job was here: the run ends."""


class _Looked:
    """What the last look at a partition found."""

    __slots__ = ("end", "look_at", "not_before", "rule")

    def __init__(self) -> None:
        self.end = -1
        self.look_at = NEVER
        self.not_before = 0
        self.rule: CompactionRule | None = None


class _Run:
    """One run: what it is about, what it has done, and when it last slept."""

    def __init__(
        self, partition_id: int, end: int, cleaned_to: int, rule: CompactionRule, limits: CleanerLimits, now: int
    ) -> None:
        self.partition_id = partition_id
        self.end = end
        self.cleaned_to = cleaned_to
        self.rule = rule
        self.limits = limits
        self.now = now
        self.aborted: list[AbortedRange] = []
        self.bytes_read = 0
        self.bytes_written = 0
        self.records_removed = 0
        self.rounds = 0
        self.busy_until = 0.0
        self.started = self._since = time.perf_counter()
        self._unpaid = 0

    def read(self, count: int) -> None:
        """Bytes were read; the time of waiting for them was no work."""
        self.bytes_read += count
        self._unpaid += count
        self._since = time.perf_counter()

    def worked(self) -> float:
        """Seconds of work since the last rest."""
        return time.perf_counter() - self._since

    def owed(self) -> float:
        """Seconds of sleep that the limit of bytes wants."""
        return self._unpaid / self.limits.bytes_per_second

    def resume(self, *, slept: bool = True) -> None:
        """Work goes on now."""
        self._since = time.perf_counter()
        if slept:
            self._unpaid = 0


class Cleaner:
    """`clean` for each partition that `wants` a look. `pause` is given the seconds of each piece of work."""

    def __init__(
        self,
        log_store: LogStore,
        store: MaintenanceStore,
        swap: ExtentSwap,
        views: Views,
        ids: BlobIds,
        clock: Clock,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._log_store = log_store
        self._store = store
        self._swap = swap
        self._views = views
        self._ids = ids
        self._clock = clock
        self._pause = pause
        self._looked: dict[int, _Looked] = {}
        self.working = -1
        """The partition that a run is at, -1: none."""
        self.runs = 0
        self.rounds = 0
        self.records_removed = 0
        self.bytes_read = 0
        self.bytes_written = 0

    def forget(self, partition_id: int) -> None:
        """The partition is gone, is not compacted, or is another broker's."""
        self._looked.pop(partition_id, None)

    def wants(self, partition_id: int, rule: CompactionRule) -> bool:
        """Whether something may have changed since the last look: the end, the rule, or the time has come."""
        looked = self._looked.get(partition_id)
        if looked is None:
            return True
        now = self._clock()
        if now < looked.not_before:
            return False
        view = self._views.get(partition_id)
        return now >= looked.look_at or looked.rule != rule or (view is not None and view.high_watermark != looked.end)

    async def clean(self, partition_id: int, rule: CompactionRule, limits: CleanerLimits) -> bool:
        """Look at the partition and compact it if that is due; True when a run went through. Raises StoreError, BlobError."""
        looked = self._looked.setdefault(partition_id, _Looked())
        looked.rule, looked.look_at = rule, NEVER
        looked.not_before = self._clock() + RETRY_MS
        cleaned_to = await self._store.cleaned_to(partition_id)
        if not await self._log_store.extents_from(partition_id, cleaned_to, 1):
            looked.end, looked.not_before = -1, 0
            return False
        view = await self._views.load(partition_id)
        if view is None:
            self.forget(partition_id)
            return False
        looked.end = view.high_watermark
        stable = view.last_stable_offset
        made = await self._plan(view, max(cleaned_to, view.log_start_offset), stable, rule)
        if not made.due:
            looked.look_at, looked.not_before = made.look_at, 0
            return False
        looked.look_at = 0
        run = _Run(partition_id, made.end, cleaned_to, rule, limits, self._clock())
        run.aborted = await self._aborted(view, cleaned_to, made.end)
        self.working = partition_id
        try:
            if not await self._swap.covered(partition_id, made.end - 1):
                return False
            await self._rounds(run)
            faults.hit("log.clean.done")
            await self._store.set_cleaned_to(partition_id, made.end)
        except DamagedLog as error:
            looked.not_before = self._clock() + DAMAGE_PAUSE_MS
            log.error("event=cannot_compact what='%s' advice='run moldau inspect'", error)
            return False
        except _Moved:
            log.debug("event=compaction_conflict partition_id=%d", partition_id)
            return False
        finally:
            self.working = -1
            self._count(run)
        fresh = self._views.get(partition_id)
        if fresh is not None:
            # the tail cache still holds what is gone: readers below the end go to the extents
            fresh.cache_floor = max(fresh.cache_floor, made.end)
        looked.not_before = 0  # what came meanwhile is looked at next
        self.runs += 1
        log.info(
            "event=compacted partition_id=%d end_offset=%d dirty_ratio=%.2f bytes_read=%d bytes_written=%d"
            " records_removed=%d rounds=%d seconds=%.1f",
            *(partition_id, made.end, made.ratio, run.bytes_read, run.bytes_written, run.records_removed, run.rounds),
            time.perf_counter() - run.started,
        )
        return True

    async def _aborted(self, view: PartitionView, cleaned_to: int, end: int) -> list[AbortedRange]:
        """What was aborted below `end` and may still be there."""
        transactions = view.producers.transactions
        found, complete_from = transactions.aborted_in(view.log_start_offset, end), transactions.complete_from
        start = max(cleaned_to, view.log_start_offset)
        if start < complete_from:
            known = {(each.producer_id, each.last_offset) for each in found}
            older = await aborted_rows.between(self._log_store, view.partition_id, start, min(complete_from, end))
            found += [each for each in older if (each.producer_id, each.last_offset) not in known]
        return found

    def _count(self, run: _Run) -> None:
        self.rounds += run.rounds
        self.bytes_read += run.bytes_read
        self.bytes_written += run.bytes_written
        self.records_removed += run.records_removed

    async def _plan(self, view: PartitionView, cleaned_to: int, stable: int, rule: CompactionRule) -> CompactionPlan:
        extents: list[Extent] = []
        offset = cleaned_to
        while True:
            found = await self._log_store.extents_from(view.partition_id, offset, _LOOK_EXTENTS)
            extents += found
            if len(found) < _LOOK_EXTENTS:
                return plan(extents, await self._bytes_total(view), cleaned_to, stable, rule, self._clock())
            offset = found[-1].last_offset + 1

    async def _bytes_total(self, view: PartitionView) -> int:
        """Of all extents. The view does not know what other brokers' cleaners have made less, and the row not what is in the journal only."""
        heads = await self._store.partition_heads(view.partition_id - 1, 1)
        stored = heads[0].bytes_total if heads and heads[0].partition_id == view.partition_id else 0
        return min(view.bytes_total, stored)

    # -- rounds -------------------------------------------------------------------------------------------------------

    async def _rounds(self, run: _Run) -> None:
        top = run.end
        while True:
            compactor = Compactor(
                top=top,
                cleaned_to=run.cleaned_to,
                now=run.now,
                delete_retention_ms=run.rule.delete_retention_ms,
                key_bytes=run.limits.key_bytes,
                aborted=run.aborted,
            )
            await self._round(run, top, compactor)
            run.rounds += 1
            run.records_removed += compactor.removed
            if compactor.spoiled:
                log.warning(
                    "event=records_without_sense partition_id=%d batches=%d what='they stay as they are'",
                    run.partition_id,
                    compactor.spoiled,
                )
            if compactor.full_at <= max(run.cleaned_to, self._log_start(run.partition_id)):
                return
            top = compactor.full_at

    async def _round(self, run: _Run, top: int, compactor: Compactor) -> None:
        """From the extent that holds `top` - 1 down to the log start, without a gap. Raises _Moved, DamagedLog, BlobError."""
        group: list[Piece] = []
        length = 0
        expected = -1
        holder = await self._log_store.extents_from(run.partition_id, top - 1, 1)
        below = holder[0].last_offset + 1 if holder else 0
        while True:
            page = await self._log_store.extents_before(run.partition_id, below, _PAGE_EXTENTS)
            start = self._log_start(run.partition_id)
            if not page or page[-1].last_offset < start:
                break
            if expected >= 0 and page[-1].last_offset + 1 != expected:
                raise _Moved  # somebody merged rows across the page's end
            whole = [extent for extent in page if extent.last_offset >= start]
            while whole:
                portion = _last_few(whole)
                del whole[len(whole) - len(portion) :]
                for extent, data in await self._bytes(run, portion):
                    piece = await self._compact(run, compactor, extent, data)
                    if group and not _joins(group, piece, length, run.rule):
                        await self._swap_group(run, group)
                        group, length = [], 0
                    group.append(piece)
                    length += piece.length
                    expected = extent.base_offset
            below = page[0].last_offset
        await self._swap_group(run, group)
        if expected > self._log_start(run.partition_id) or expected < 0:
            raise _Moved  # rows below were not there

    def _log_start(self, partition_id: int) -> int:
        view = self._views.get(partition_id)
        return view.log_start_offset if view is not None else 0

    async def _bytes(self, run: _Run, extents: list[Extent]) -> list[tuple[Extent, Buffer]]:
        """Of these extents, the last one first."""
        try:
            found = await self._swap.read(extents)
        except BlobError as error:
            if await self._log_store.extents_from(run.partition_id, extents[0].base_offset, len(extents)) == extents:
                raise
            raise _Moved from error
        run.read(sum(len(data) for data in found.values()))
        return [(extent, found[extent.last_offset]) for extent in reversed(extents)]

    async def _compact(self, run: _Run, compactor: Compactor, extent: Extent, data: Buffer) -> Piece:
        work = compactor.take(extent, data)
        while True:
            try:
                next(work)
            except StopIteration as stop:
                piece: Piece = stop.value
                await self._breathe(run)
                return piece
            await self._breathe(run)

    async def _breathe(self, run: _Run) -> None:
        """Sleep while others have work; else see now and then whether they have."""
        seconds, pause = run.worked(), run.owed()
        busy = time.perf_counter() < run.busy_until
        if not busy and pause < _SLEEP_SECONDS_MIN:
            if seconds < _ALONE_SECONDS:
                return
            busy = await self._others(run, asyncio.sleep(0))
            if not busy:
                run.resume(slept=False)
        if busy:
            pause = max(pause, _SLEEP_SECONDS_MIN, seconds * _BUSY_FACTOR)
        if pause >= _SLEEP_SECONDS_MIN:
            await self._others(run, self._pause(pause))
            run.resume()

    async def _others(self, run: _Run, rest: Awaitable[None]) -> bool:
        """Whether others worked during the rest."""
        began = time.thread_time()  # what other processes take of the core is no work of this loop
        await rest
        if time.thread_time() - began <= _OTHERS_SECONDS:
            return False
        run.busy_until = time.perf_counter() + _BUSY_SECONDS
        return True

    # -- what becomes one ---------------------------------------------------------------------------------------------

    async def _swap_group(self, run: _Run, group: list[Piece]) -> None:
        """Of the neighbours in `group`, the last one first, make one extent, if any of them lost something."""
        pieces = group[::-1]
        while pieces and not pieces[-1].changed:
            pieces.pop()
        first = next((number for number, piece in enumerate(pieces) if piece.changed), 0)
        del pieces[:first]
        if not pieces:
            return
        new = _row(pieces, self._ids.take())
        segment = await self._build(run, new, pieces)
        new.position, new.length, new.max_timestamp = segment.position, segment.length, segment.max_timestamp
        if not await self._swap.swap([piece.extent for piece in pieces], new, segment, _POINTS):
            raise _Moved
        run.bytes_written += new.length
        run.resume()

    async def _build(self, run: _Run, new: Extent, pieces: list[Piece]) -> Segment:
        builder = Builder(new)
        parts: list[Part] = []
        length = total = 0
        for part in assemble(pieces):
            parts.append(part)
            length += len(part.data)
            if len(parts) >= _SLICE_PARTS or length >= _SLICE_BYTES:
                _add(builder, new, parts, length)
                total += length
                parts, length = [], 0
                await self._breathe(run)
        if parts:
            _add(builder, new, parts, length)
        if total + length < segment_plan.INLINE_BYTES:
            new.kind = KIND_INLINE
            return builder.bare()
        return builder.finish()


def _last_few(extents: list[Extent]) -> list[Extent]:
    """The last of these that are no more than `_READ_BYTES` together; at least one."""
    total = 0
    for at in range(len(extents) - 1, -1, -1):
        total += extents[at].length
        if total > _READ_BYTES and at < len(extents) - 1:
            return extents[at + 1 :]
    return list(extents)


def _joins(group: list[Piece], piece: Piece, length: int, rule: CompactionRule) -> bool:
    """Whether the piece, which lies right below the group, becomes one with it, should anything of them change."""
    above, extent = group[-1].extent, piece.extent
    if not piece.changed and piece.length >= segment_plan.INLINE_BYTES:
        return False
    return (
        len(group) < segment_plan.ROWS_MAX
        and length + piece.length <= rule.segment_bytes
        and extent.leader_epoch == above.leader_epoch
        and extent.appended_at // rule.roll_ms == above.appended_at // rule.roll_ms
        and group[0].extent.last_offset - extent.base_offset <= _OFFSETS_MAX
    )


def _row(pieces: list[Piece], blob_id: int) -> Extent:
    """The row of what becomes of these; where its bytes are is filled in later."""
    first, last = pieces[0].extent, pieces[-1].extent
    return Extent(
        partition_id=first.partition_id,
        base_offset=first.base_offset,
        last_offset=last.last_offset,
        blob_id=blob_id,
        position=0,
        length=0,
        max_timestamp=-1,
        running_max_timestamp=last.running_max_timestamp,
        records=sum(piece.records for piece in pieces),
        leader_epoch=last.leader_epoch,
        kind=KIND_SEGMENT,
        appended_at=last.appended_at,
        fold=fold.merge([piece.extent for piece in pieces]),
    )


def _add(builder: Builder, new: Extent, parts: list[Part], length: int) -> None:
    """Give parts to the builder, which checks each batch once more."""
    some = Extent(
        new.partition_id,
        parts[0].base,
        parts[-1].last,
        new.blob_id,
        0,
        length,
        -1,
        -1,
        0,
        new.leader_epoch,
        new.kind,
        0,
    )
    builder.add(some, b"".join([part.data for part in parts]))
