"""The segment builder: makes few large extents of many small ones (`moldau.log.segment_plan` says which).

Steps of one merge, each of which may be the last one before a crash:

    1. a snapshot at or above the run, so that no view is ever folded from merged rows
    2. the bytes are read and every batch is checked; a damaged extent is left where it is, and reported
    3. the segment is put (nothing names it: a file without a row, an orphan, collected later); small runs skip this step
    4. one transaction: old rows out, the new row in, the blob's row in, inline bytes that only the old rows named out
    5. the view in memory takes the new row

A byte is read once and written once in a merge. Each batch's checksum is computed once, from the bytes that are written; that of the whole segment
follows extent by extent, while they are in the processor's cache. The rows of a look are read once: what a merge made takes the place of what it was made of.

Measured, two cores: an extent costs 16 us of CPU, a quarter of it on the loop's thread; a run of 256 tiny ones holds the metadata store for
1.3 ms; 16 KiB batches cost 1.2 ms a MiB: half of it the kernel's, which copies twice, a sixth the checksums. The job sleeps as long as it worked, so it takes at most half of one core and the disk, in
pieces of a few milliseconds. Memory: two copies of one segment.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from operator import attrgetter

from moldau import faults
from moldau.blobs.ports import BlobError
from moldau.clock import Clock
from moldau.metadata.ports import LogStore, MaintenanceStore
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, Extent

from . import fold
from .blob_ids import BlobIds
from .extent_swap import ExtentSwap, SwapPoints
from .segment import BadExtent, Builder, Segment
from .segment_plan import NEVER, BuildRule, Run, plan
from .views import Views

log = logging.getLogger(__name__)

LOOK_EXTENTS = 1024
"""Extents that one look reads."""
_SLICE_BYTES = 512 << 10
_SLICE_BATCHES = 64
"""Both are checked in about a tenth of a millisecond."""
_HEADS = 1000
_BASE_OFFSET = attrgetter("base_offset")

Pause = Callable[[float], Awaitable[None]]
_POINTS = SwapPoints(
    put=lambda: faults.hit("log.build.put"),
    stored=lambda: faults.hit("log.build.stored"),
    swapped=lambda: faults.hit("log.build.swapped"),
)


class _Looked:
    """What the last look at a partition found."""

    __slots__ = ("bytes_total", "look_at", "need_bytes", "settled", "spoiled")

    def __init__(self, settled: int) -> None:
        self.settled = settled
        self.bytes_total = -1
        self.need_bytes = 1
        self.look_at = NEVER
        self.spoiled: set[int] = set()


class SegmentBuilder:
    """`start` once, then `build` for each partition that `candidates` names. `pause` is given the seconds of each piece of work.

    `rows` is the store without what is in a journal only: what may be merged has long been there, and a look at each of many partitions must not
    make the journal write its rows a hundred times.
    """

    def __init__(
        self,
        log_store: LogStore,
        rows: LogStore,
        store: MaintenanceStore,
        swap: ExtentSwap,
        views: Views,
        ids: BlobIds,
        clock: Clock,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._log_store = log_store
        self._rows = rows
        self._store = store
        self._swap = swap
        self._views = views
        self._ids = ids
        self._clock = clock
        self._pause = pause
        self._looked: dict[int, _Looked] = {}
        self._backlog: dict[int, None] = {}
        self.merges = 0
        self.extents_merged = 0
        self.bytes_written = 0

    async def start(self, small_bytes: int) -> None:
        """Find out what the run before left: where in each partition the first small extent is."""
        after = 0
        while True:
            found = await self._store.small_extents(small_bytes, after, _HEADS)
            for partition_id, offset in found:
                self._looked[partition_id] = _Looked(offset)
                self._backlog[partition_id] = None
            if len(found) < _HEADS:
                return
            after = found[-1][0]

    def candidates(self) -> list[int]:
        """Partitions that are worth a look."""
        now = self._clock()
        found = list(self._backlog)
        for view in self._views.all():
            looked = self._looked.get(view.partition_id)
            if looked is None:
                found.append(view.partition_id)
            elif view.partition_id not in self._backlog:
                grown = view.bytes_total - looked.bytes_total
                if grown < 0:  # retention was here
                    looked.bytes_total = view.bytes_total
                elif grown >= looked.need_bytes or now >= looked.look_at:
                    found.append(view.partition_id)
        return found

    def forget(self, partition_id: int) -> None:
        """The partition is gone."""
        self._looked.pop(partition_id, None)
        self._backlog.pop(partition_id, None)

    async def build(self, partition_id: int, rule: BuildRule) -> int:
        """Do what the plan says, again until nothing is left to do; returns how many merges.

        What becomes old enough meanwhile is for the next look: whoever runs after the end of a log that grows fast makes many small merges.
        """
        self._backlog.pop(partition_id, None)
        looked = self._looked.setdefault(partition_id, _Looked(0))
        now = self._clock()
        merges = 0
        while True:
            view = self._views.get(partition_id)
            if view is not None:
                looked.settled = max(looked.settled, view.log_start_offset)
                old_at = view.appended_from(looked.settled) + rule.min_age_ms
                if old_at > now:
                    looked.bytes_total, looked.need_bytes, looked.look_at = view.bytes_total, NEVER, old_at
                    return merges
            extents = await self._rows.extents_from(partition_id, looked.settled, LOOK_EXTENTS)
            if view is not None:
                looked.bytes_total = view.bytes_total
                if len(extents) < LOOK_EXTENTS:
                    looked.bytes_total -= view.bytes_from(extents[-1].last_offset + 1 if extents else looked.settled)
            elif not extents and not await self._log_store.extents_from(partition_id, looked.settled, 1):
                self.forget(partition_id)
                return merges
            at_limit, before = len(extents) == LOOK_EXTENTS, merges
            made = plan(extents, rule, now, looked.settled, looked.spoiled)
            while made.runs:
                done = await self._merge_all(partition_id, made.runs, extents, looked)
                merges += done
                if done < len(made.runs):
                    break  # somebody else was here
                made = plan(extents, rule, now, looked.settled, looked.spoiled)
            looked.need_bytes, looked.look_at = made.need_bytes, made.look_at
            if made.runs and merges > before:
                continue
            further = at_limit and (merges > before or made.settled > looked.settled)
            looked.settled = made.settled
            if not further:
                return merges

    async def _merge_all(self, partition_id: int, runs: list[Run], extents: list[Extent], looked: _Looked) -> int:
        """Merge each, and put what was made in the place of what it was made of; returns how many."""
        done = 0
        for run in runs:
            started = time.perf_counter()
            merged = await self._merge(partition_id, run, looked)
            if merged is not None:
                done += 1
                at = bisect_left(extents, run.extents[0].base_offset, key=_BASE_OFFSET)
                extents[at : at + len(run.extents)] = merged
            await self._pause(time.perf_counter() - started)
        return done

    # -- one merge ----------------------------------------------------------------------------------------------------

    async def _merge(self, partition_id: int, run: Run, looked: _Looked) -> list[Extent] | None:
        """What is in the place of the run's extents now; None: somebody else was here."""
        if not await self._swap.covered(partition_id, run.extents[-1].last_offset):
            return None  # the partition is gone
        try:
            segment = await self._segment(run)
        except BadExtent as damage:
            looked.spoiled.add(damage.extent.last_offset)
            log.error("event=damaged_extent what='%s' advice='run moldau inspect'", damage)
            return run.extents  # plan again, around it
        except BlobError as error:
            fresh = await self._log_store.extents_from(partition_id, run.extents[0].base_offset, len(run.extents))
            if fresh == run.extents:
                raise
            log.debug("event=extents_moved partition_id=%d error=%s", partition_id, error)
            return None
        new = self._row(run, segment)
        if not await self._swap.swap(run.extents, new, segment, _POINTS):
            return None  # retention was here
        self.merges += 1
        self.extents_merged += len(run.extents)
        self.bytes_written += new.length
        return [new]

    async def _segment(self, run: Run) -> Segment:
        """Read and check. Raises BadExtent, BlobError."""
        parts = await self._swap.read(run.extents)
        builder = Builder(run.extents[0])
        taken = batches = 0
        for extent in run.extents:
            data = parts.pop(extent.last_offset)
            batches += builder.add(extent, data)
            taken += len(data)
            if taken >= _SLICE_BYTES or batches >= _SLICE_BATCHES:
                taken = batches = 0
                await asyncio.sleep(0)
        return builder.bare() if run.inline else builder.finish()

    def _row(self, run: Run, segment: Segment) -> Extent:
        first, last = run.extents[0], run.extents[-1]
        return Extent(
            partition_id=first.partition_id,
            base_offset=first.base_offset,
            last_offset=last.last_offset,
            blob_id=self._ids.take(),
            position=segment.position,
            length=segment.length,
            max_timestamp=max(extent.max_timestamp for extent in run.extents),
            running_max_timestamp=last.running_max_timestamp,
            records=sum(extent.records for extent in run.extents),
            leader_epoch=last.leader_epoch,
            kind=KIND_INLINE if run.inline else KIND_SEGMENT,
            appended_at=last.appended_at,
            fold=fold.merge(run.extents),
        )
