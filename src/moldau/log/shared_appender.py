"""The appender of brokers that share their stores: any of them may append to any partition.

Theory of operation
-------------------
Bytes are stored first, and only then it is decided what they are: offsets, sequences and duplicates are settled on the view when a commit is about to
be sent (`draft.py`), because by then another broker may have written. A batch is *express*, and its bytes travel in the commit, or
*standard*, and goes into an object with others first (`uploads.py`); which of the two, `storage.py` says. Each partition is a lane
(`commit_lanes.py`) with one commit under way at most; uploads overlap, lanes do not wait for one another, and a commit takes as many of them as are
ready, up to `_PARTITIONS_MAX`. It names one object or carries its bytes.

Decisions are made on copies. The view changes when a commit is known to have succeeded, so a commit that lost takes nothing back:

    appended    publish to view and tail cache, answer
    moved       another broker wrote: next time append under locks, which lose no race (`AppendStore.append_locked`); the rows that were read there
                bring the view up to date; as long as others are found to write, the lane stays with locks
    txn over    the transaction that the head opens (`Append.guard`) has ended: look at the partition once, then INVALID_TXN_STATE, for all with that guard
    gone        UNKNOWN_TOPIC_OR_PARTITION
    blob gone   store the bytes again
    error       whether it was committed is in doubt: forget the view, KAFKA_STORAGE_ERROR; producers try again, and idempotent ones are told the
                old offset if it was

A refusal (OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH) counts on a fresh view or under locks only. A batch that repeats one which is
still under way stands behind it in the lane, and is decided after it.

Sketch: an express batch of one record costs 20 to 30 us here beyond the store's statement: lane, draft, extent, publish. Commits gather by themselves:
at most `_EXPRESS_MAX` run, what comes meanwhile shares the next. Of a standard mebibyte nothing is copied but by the put.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from moldau import faults
from moldau.blobs.ports import BlobStore
from moldau.clock import Clock
from moldau.metadata.ports import AppendStore
from moldau.metadata.rows import (
    APPENDED,
    BLOB_GONE,
    GONE,
    TXN_OVER,
    AppendCommit,
    AppendResult,
    LockedPartition,
)
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader

from .answers import Answers
from .blob_ids import BlobIds
from .commit_lanes import WAITING, Lane, Queued, Ready, Upload
from .draft import Draft
from .flight import Flight
from .flush import Append
from .refresher import Refresher
from .storage import AppendRules, ModeOf, Storage
from .tail_cache import TailCache
from .uploads import Uploads
from .views import Views

log = logging.getLogger(__name__)

_PARTITIONS_MAX = 200
"""In one commit."""
_LOCKED_PARTITIONS_MAX = 32
"""In one commit under locks, for which others wait."""
_EXPRESS_MAX = 2
_STORED_MAX = 4
_LOCKED_MAX = 2
"""Commits of each kind under way at a time."""
_LANES_KEPT = 1000
"""Empty lanes that are remembered because their partitions are contended, or something in them was left in doubt."""


class SharedAppender:
    """See the module's text. Everything runs on the loop's thread, but for what `AppendStore.append_locked` asks to be decided."""

    def __init__(
        self,
        store: AppendStore,
        blobs: BlobStore,
        ids: BlobIds,
        views: Views,
        cache: TailCache,
        refresher: Refresher,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        rules: AppendRules,
        mode_of: ModeOf,
        published: Callable[[int, int], None] | None = None,
    ) -> None:
        """`published` is told of each partition id and its new end."""
        self._store = store
        self._ids = ids
        self._views = views
        self._cache = cache
        self._refresher = refresher
        self._clock = clock
        self._loop = loop
        self._inline_max = rules.inline_max_bytes
        self._published = published
        self._storage = Storage(mode_of, rules)
        self._uploads = Uploads(blobs, ids, loop, clock, rules, self._guess, self._upload_ended)
        self._lanes: dict[int, Lane] = {}
        self._ready = Ready()
        self._scheduled = False
        self._pumping = False
        self._express = self._stored = self._locked = 0  # commits under way
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = Answers(views, loop)
        self.flushes = 0
        self.lost_races = 0
        """Times that a partition had moved."""

    def submit(self, append: Append) -> None:
        """Take a validated batch. The answer comes through `append.done`."""
        view = append.view
        lane = self._lane(view.partition_id)
        now = self._loop.time()
        queued = Queued(append, lane, now)
        size = queued.size
        self._answers.expect(queued)
        lane.queue.append(queued)
        if self._storage.is_express(view.topic_id, size, lane.express_bytes, now) and not lane.standard:
            lane.express_bytes += size
            lane.ahead += queued.offsets
            if lane.may_commit:
                self._ready.put(lane)
        else:
            queued.upload = WAITING
            lane.standard += 1
            self._uploads.add(queued)
        self._schedule()

    def _lane(self, partition_id: int) -> Lane:
        lane = self._lanes.get(partition_id)
        if lane is None:
            lane = self._lanes[partition_id] = Lane(partition_id)
        return lane

    def pass_over(self, partition_id: int, header: BatchHeader) -> None:
        """A batch failed before it could be submitted, because the store did not answer."""
        self._lane(partition_id).doubt_batch(header)

    @property
    def pending_bytes(self) -> int:
        """Of batches that are not answered yet, wherever they are."""
        return self._answers.pending_bytes

    @property
    def pending_batches(self) -> int:
        """How many are not answered yet."""
        return self._answers.pending_batches

    @property
    def idle(self) -> bool:
        """Everything is answered."""
        return not self._answers.pending_batches

    async def drain(self) -> None:
        """Let nothing linger until everything is answered."""
        self._uploads.draining = True
        try:
            while not self.idle:
                self._schedule()
                await self._answers.all_given()
        finally:
            self._uploads.draining = False

    # -- turns of the loop --------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        """Once in a turn of the loop, after all sockets were read."""
        self._scheduled = False
        self._uploads.pump()
        self._pump()

    def _pump(self) -> None:
        """Send what commits there are to send. A store that answers at once calls back from within."""
        if self._pumping:
            return
        self._pumping = True
        ready = self._ready
        try:
            while True:
                if ready.contended and self._locked < _LOCKED_MAX:
                    self._send_locked(*ready.take_contended(_LOCKED_PARTITIONS_MAX))
                elif ready.express and self._express < _EXPRESS_MAX:
                    self._send(None, ready.take_express(_PARTITIONS_MAX))
                elif ready.stored and self._stored < _STORED_MAX:
                    self._send(*ready.take_stored(_PARTITIONS_MAX))
                else:
                    return
        finally:
            self._pumping = False

    def _place(self, lane: Lane) -> None:
        """Nothing is under way in the lane: see to its head."""
        while lane.may_commit:
            upload = lane.queue[0].upload
            if upload is None or upload.error is None:
                self._ready.put(lane)
                return
            lane.doubt()
            self._answers.fail(lane, error_codes.KAFKA_STORAGE_ERROR, str(upload.error))
        kept = lane.contended or lane.doubted
        if not lane.queue and not lane.busy and (not kept or len(self._lanes) > _LANES_KEPT):
            self._lanes.pop(lane.partition_id, None)

    def _upload_ended(self, upload: Upload) -> None:
        for lane in {queued.lane: None for queued in upload.batches}:
            self._place(lane)
        self._schedule()

    def _guess(self, lane: Lane) -> tuple[int, int]:
        view = self._views.get(lane.partition_id) or lane.queue[0].append.view
        return view.high_watermark + lane.ahead, view.leader_epoch

    # -- commits ------------------------------------------------------------------------------------------------------

    def _drafts(self, upload: Upload | None, lanes: list[Lane]) -> list[Draft]:
        """The heads of those lanes that fit together; the others are put back or seen to."""
        drafts: list[Draft] = []
        room = self._inline_max
        for lane in lanes:
            if not lane.may_commit or lane.queue[0].upload is not upload:
                self._place(lane)  # its object was put again meanwhile
                continue
            if upload is None and drafts and lane.queue[0].size > room:
                self._ready.put(lane)
                continue
            view = self._views.get(lane.partition_id)
            if view is None:
                self._freshen(lane)
                continue
            draft = Draft(lane, view, lane.head(room))
            drafts.append(draft)
            if upload is None:
                room -= sum([queued.size for queued in draft.head])
        return drafts

    def _send(self, upload: Upload | None, lanes: list[Lane]) -> None:
        drafts: list[Draft] = []
        for draft in self._drafts(upload, lanes):
            draft.decide()
            lane = draft.lane
            self._answer_repeats(draft)
            if draft.taken:
                lane.busy = True
                drafts.append(draft)
            elif draft.refused is not None and not lane.queue[0].append.refreshed:
                self._freshen(lane)
            else:
                if draft.refused is not None:
                    self._answers.fail(lane, draft.refused.error_code, str(draft.refused))
                self._place(lane)
        if not drafts:
            return
        flight = Flight(upload, self._ids.take() if upload is None else upload.blob_id, drafts, self._clock())
        express = upload is None
        if express:
            self._express += 1
        else:
            self._stored += 1
        self.flushes += 1

        def done(results: list[AppendResult] | None, error: Exception | None) -> None:
            if express:
                self._express -= 1
            else:
                self._stored -= 1
            self._settle(flight, drafts, results, error)

        try:
            faults.hit("log.append.commit")
        except OSError as error:
            done(None, error)
        else:
            self._store.append(flight.commit(drafts), done)

    def _send_locked(self, upload: Upload | None, lanes: list[Lane]) -> None:
        drafts = self._drafts(upload, lanes)
        if drafts:
            for draft in drafts:
                draft.lane.busy = True
            blob_id = self._ids.take() if upload is None else upload.blob_id
            self._locked += 1
            self.flushes += 1
            self._keep(self._append_locked(Flight(upload, blob_id, drafts, self._clock())))

    async def _append_locked(self, flight: Flight) -> None:
        drafts = {draft.lane.partition_id: draft for draft in flight.drafts}
        chosen: list[Draft] = []

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            chosen.clear()
            for each in locked:
                draft = drafts[each.row.partition_id]
                draft.decide_locked(each)
                if draft.taken:
                    chosen.append(draft)
            return flight.commit(chosen)

        results: list[AppendResult] = []
        error: Exception | None = None
        known = {partition_id: draft.known_end for partition_id, draft in drafts.items()}
        try:
            faults.hit("log.append.commit")
            blob_id = -1 if flight.upload is None else flight.blob_id
            results = await self._store.append_locked(known, blob_id, decide, flight.guards())
        except asyncio.CancelledError:
            error = ConnectionError("the broker stops")
        except Exception as raised:
            error = raised
        self._locked -= 1
        if error is None:
            others = [draft for draft in flight.drafts if not draft.taken]
            for draft in flight.drafts:
                self._take_over(draft)
            self._settle(flight, chosen, results, None)
            for draft in others:
                self._undecided(draft)
        else:
            self._settle(flight, flight.drafts, None, error)
        self._pump()

    def _take_over(self, draft: Draft) -> None:
        """Rows that were read under locks bring the view up to where the commit began."""
        view = self._views.get(draft.lane.partition_id)
        if draft.went_back and draft.locked.row.alive and view is not None:
            self._refresher.went_back_to(draft.locked.row.end_offset, view, draft.known_end)
        elif not draft.is_behind or not draft.locked.row.alive:
            self._refresher.take_over(*draft.locked)
        draft.lane.contended = bool(draft.locked.extents)
        self._answer_repeats(draft)

    def _undecided(self, draft: Draft) -> None:
        """Under locks nothing was taken of this head."""
        lane = draft.lane
        lane.busy = False
        if not draft.locked.row.alive:
            self._answers.fail_ready(lane, error_codes.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted")
        elif draft.refused is not None:
            self._answers.fail(lane, draft.refused.error_code, str(draft.refused))
        elif draft.is_behind or draft.went_back:
            self._freshen(lane)
            return
        self._place(lane)

    # -- what became of them ------------------------------------------------------------------------------------------

    def _settle(
        self, flight: Flight, drafts: list[Draft], results: list[AppendResult] | None, error: Exception | None
    ) -> None:
        if error is None:
            try:
                faults.hit("log.append.committed")
            except OSError as fault:
                results, error = None, fault
        if error is not None:
            log.warning("event=append_failed partitions=%d error='%s'", len(drafts), error)
        for index, draft in enumerate(drafts):
            lane = draft.lane
            lane.busy = False
            result = results[index] if results is not None else None
            if result is None:
                self._views.drop(lane.partition_id)
                lane.doubt()
                self._answers.fail_ready(lane, error_codes.KAFKA_STORAGE_ERROR, str(error))
            elif result.status == APPENDED:
                self._publish(draft, flight, result)
            elif result.status == GONE:
                self._views.drop(lane.partition_id)
                self._answers.fail_ready(lane, error_codes.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted")
            elif result.status == BLOB_GONE:
                assert flight.upload is not None
                self._uploads.again(flight.upload)
            elif result.status == TXN_OVER:
                if not self._over(draft):
                    continue
            else:
                self.lost_races += 1
                lane.contended = True
            self._place(lane)
        self._pump()

    def _over(self, draft: Draft) -> bool:
        """The transaction that the head opens is over. A marker may be news to the view, and says better why; then, it is refused. Whether it was."""
        if not draft.taken[0].append.refreshed:
            self._freshen(draft.lane)
            return False
        guard = draft.taken[0].append.guard
        assert guard is not None
        # those behind it as well: each is asked about anew, and must not be refused for the one that is not there yet
        why = "the transaction is over, or does not name the partition"
        gone = self._answers.fail_guarded(draft.lane, guard, error_codes.INVALID_TXN_STATE, why)
        self._uploads.withdraw(gone)
        return True

    def _publish(self, draft: Draft, flight: Flight, result: AppendResult) -> None:
        lane = draft.lane
        view = self._views.get(lane.partition_id)
        offset = draft.base
        if view is not None and view.high_watermark == offset:
            flight.show(view, self._cache, draft, result)
        elif view is not None:
            # caught up already, with what is ours; or built from rows that were read before our commit
            self._refresher.hint(lane.partition_id, draft.end)
        if self._published is not None:
            self._published(lane.partition_id, draft.end)
        if lane.doubted:
            for queued in draft.taken:
                lane.doubted.pop(queued.append.header.producer_id, None)
        for queued in draft.taken:
            assert queued is lane.queue[0], (
                f"partition {lane.partition_id}: what was committed at {offset} is not the head"
            )
            self._answers.appended(lane, offset)
            offset += queued.offsets

    def _freshen(self, lane: Lane) -> None:
        """Its view is not in memory, or a refusal must not be decided on it: ask the store, then go on."""
        lane.busy = True
        self._keep(self._go_on_fresh(lane))

    async def _go_on_fresh(self, lane: Lane) -> None:
        head = lane.queue[0].append
        code, message = 0, ""
        try:
            view = await self._refresher.refresh(lane.partition_id)
        except asyncio.CancelledError:
            code, message = error_codes.KAFKA_STORAGE_ERROR, "the broker stops"
        except Exception as error:
            code, message = error_codes.KAFKA_STORAGE_ERROR, str(error)
        else:
            if view is None:
                code, message = error_codes.UNKNOWN_TOPIC_OR_PARTITION, "the topic was deleted"
        lane.busy = False
        if code:
            lane.doubt()
            self._answers.fail_ready(lane, code, message)
        else:
            head.refreshed = True
        self._place(lane)
        self._pump()

    def _answer_repeats(self, draft: Draft) -> None:
        for _, base_offset in draft.repeats:
            self._answers.appended(draft.lane, base_offset)

    def _keep(self, job: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(job, name="moldau-append")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
