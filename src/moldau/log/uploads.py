"""Standard batches of many partitions, gathered into objects and put: a few at a time, at once where there is much, after a while where there is little.

    0       a section header (`moldau.log.sections`): partitions, guessed base offsets, lengths
    ...     the partitions' batches, in the order of its table; of each partition in the order of arrival

Base offsets are guesses: what the partition's end will be if nobody else writes it. Readers put the true ones in, which costs nothing where
the guess was right. An object is put whole before any commit names it, and never changes.

Sketch: a put costs an object store's price of a request and 30 to 150 ms, whatever is in it up to some MiB. So an object of 8 MiB is worth waiting
for only while other puts are under way: with fewer than `EARLY_UPLOADS` one begins at `EARLY_BYTES`. Producers that wait for their answers before they
send more would wait for the linger each time; so one begins, too, when `QUIET_BYTES` are there and nothing has come for `QUIET_SECONDS`. At S3's list
price objects of that size cost to put about what they cost to keep for two months; a lower rate waits for the linger.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from moldau import faults
from moldau.blobs.ports import BlobError, BlobStore
from moldau.clock import Clock
from moldau.records.batch import set_base_offset

from . import sections
from .blob_ids import BlobIds
from .commit_lanes import WAITING, Lane, Queued, Upload
from .storage import AppendRules

log = logging.getLogger(__name__)

EARLY_BYTES = 1 << 20
EARLY_UPLOADS = 2
QUIET_BYTES = 128 << 10
QUIET_SECONDS = 0.003
"""Kafka's producer sends all that it may, five requests, within that time of its answers. Waiting 5 ms instead cost it a tenth of its rate."""
PACE_SECONDS = 0.01
"""Between two that did not fill, where several write; a put and its commit cost some milliseconds of CPU, whatever is in them."""
PARTITIONS_MAX = 200
"""In one object: what a section's header may have."""
TRIES_MAX = 3
"""Puts of the same batches; each is tried again by the blob store itself."""
TRY_AGAIN_SECONDS = 20.0
"""No new put after this time."""
_PAUSE_SECONDS = 0.2

Guess = Callable[[Lane], tuple[int, int]]
"""Where the log of a partition will end, and its leader epoch."""


class Uploads:
    """On the loop's thread. `ended` is called when an object is stored, or could not be."""

    def __init__(
        self,
        blobs: BlobStore,
        ids: BlobIds,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        rules: AppendRules,
        guess: Guess,
        ended: Callable[[Upload], None],
    ) -> None:
        self._blobs = blobs
        self._ids = ids
        self._loop = loop
        self._clock = clock
        self._rules = rules
        self._linger = rules.upload_linger_ms / 1000
        self._guess = guess
        self._ended = ended
        self._waiting: deque[Queued] = deque()
        self._waiting_bytes = 0
        self._added_at = 0.0
        self._paced_until = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.draining = False
        """Nothing lingers."""
        self.puts = 0

    @property
    def running(self) -> int:
        """Uploads under way."""
        return len(self._running)

    def add(self, queued: Queued) -> None:
        """It is part of an object that begins with some later `pump`."""
        self._waiting.append(queued)
        self._waiting_bytes += queued.size
        self._added_at = queued.at

    def pump(self) -> None:
        """Begin what should begin now. Once in a turn of the loop, after all sockets were read."""
        most = self._rules.uploads_max
        while self._waiting and len(self._running) < most and self._loop.time() >= self._due - 0.001:
            self._start(self._form(self._gather()))
        if self._waiting and len(self._running) < most:
            at = self._due
            if self._timer is not None and self._timer.when() > at:
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._timer = self._loop.call_at(at, self._timed)

    @property
    def _due(self) -> float:
        """When the next upload is to begin, if nothing more comes."""
        waiting = self._waiting_bytes
        early = len(self._running) < EARLY_UPLOADS
        if waiting >= self._rules.upload_max_bytes or (early and waiting >= EARLY_BYTES) or self.draining:
            return 0.0
        due = max(self._waiting[0].at + self._linger, self._paced_until)
        return min(due, self._added_at + QUIET_SECONDS) if early and waiting >= QUIET_BYTES else due

    def _timed(self) -> None:
        self._timer = None
        self.pump()

    def withdraw(self, gone: list[Queued]) -> None:
        """These need no object any more, if they are in none yet."""
        left = [queued for queued in self._waiting if not queued.answered]
        if len(left) < len(self._waiting):
            self._waiting_bytes -= sum([queued.size for queued in gone if queued.upload is WAITING])
            self._waiting = deque(left)

    def again(self, upload: Upload) -> None:
        """Its bytes may be deleted before a commit names them: put what is not answered once more."""
        left = [queued for queued in upload.batches if queued.upload is upload and not queued.answered]
        if not left:
            return
        for queued in left:
            queued.lane.ahead -= queued.offsets
        following = self._form(left)
        following.tries = upload.tries
        if following.tries < TRIES_MAX:
            self._start(following)
        else:
            following.error = BlobError(f"blob {upload.blob_id:016x} was deleted before a commit named it")
            self._end(following)

    # -- one object ---------------------------------------------------------------------------------------------------

    def _gather(self) -> list[Queued]:
        """What comes first, up to the limits."""
        taken: list[Queued] = []
        lanes: set[Lane] = set()
        total = 0
        while self._waiting:
            queued = self._waiting[0]
            total += queued.size
            lanes.add(queued.lane)
            if taken and (total > self._rules.upload_max_bytes or len(lanes) > PARTITIONS_MAX):
                break
            taken.append(self._waiting.popleft())
            self._waiting_bytes -= queued.size
        return taken

    def _form(self, batches: list[Queued]) -> Upload:
        """Give each batch its place and its guess."""
        upload = Upload()
        upload.batches = batches
        parts: dict[Lane, list[Queued]] = {}
        for queued in batches:
            parts.setdefault(queued.lane, []).append(queued)
        position = sections.header_bytes(len(parts))
        table = []
        upload.buffers.append(b"")
        for lane, part in parts.items():
            base, leader_epoch = self._guess(lane)
            began, first = position, base
            for queued in part:
                queued.upload = upload
                queued.position = position
                set_base_offset(queued.append.batch, 0, base, leader_epoch)
                upload.buffers.append(queued.append.batch)
                position += queued.size
                base += queued.offsets
            lane.ahead += base - first
            table.append((lane.partition_id, first, position - began))
        checks = sections.sum_of(upload.buffers[1:])
        upload.buffers[0] = sections.pack_header(sections.NO_BLOB, self._clock(), 0, checks, table)
        upload.size = position
        return upload

    def _start(self, upload: Upload) -> None:
        # one batch: perhaps of a producer that waits for each answer, and no other would share the next object with it
        self._paced_until = self._loop.time() + PACE_SECONDS if len(upload.batches) > 1 else 0.0
        task = self._loop.create_task(self._put(upload), name="moldau-upload")
        self._running.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            if task.cancelled():
                upload.error = BlobError("the broker stops")
            elif task.exception() is not None:
                # our fault; those who wait must be told all the same
                upload.error = BlobError(f"the put failed: {task.exception()!r}")
                context = {"message": "an upload failed", "exception": task.exception()}
                self._loop.call_exception_handler(context)
            self._end(upload)

        task.add_done_callback(done)

    def _end(self, upload: Upload) -> None:
        upload.ended = True
        upload.buffers = []
        self._ended(upload)

    async def _put(self, upload: Upload) -> None:
        began = self._loop.time()
        while True:
            upload.blob_id = self._ids.take()
            upload.tries += 1
            self.puts += 1
            try:
                faults.hit("log.upload.put")
                await self._blobs.put(upload.blob_id, upload.buffers)
                faults.hit("log.upload.stored")
                return
            except (BlobError, OSError) as error:
                if upload.tries >= TRIES_MAX or self._loop.time() - began > TRY_AGAIN_SECONDS:
                    log.warning("event=upload_failed bytes=%d tries=%d error='%s'", upload.size, upload.tries, error)
                    upload.error = error
                    return
                log.info("event=upload_retry bytes=%d tries=%d error='%s'", upload.size, upload.tries, error)
            await asyncio.sleep(_PAUSE_SECONDS * upload.tries)
