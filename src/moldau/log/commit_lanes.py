"""Batches on their way into the log of shared stores, in the order of their arrival, one lane for each partition.

The head of a lane may be committed when its bytes are stored, or ride in the commit; one commit of a lane is under way at a time. What comes
behind waits, even if it was stored earlier. So batches of a partition never change places.
"""

from __future__ import annotations

from collections import deque

from moldau.metadata.rows_txn import TxnGuard
from moldau.records.batch import BatchHeader

from .flush import Append

_DOUBTED_MAX = 1000


class Upload:
    """An object with batches of many partitions, which is being put, or was (`ended`), well or not (`error`)."""

    __slots__ = ("batches", "blob_id", "buffers", "ended", "error", "size", "tries")

    def __init__(self) -> None:
        self.blob_id = -1
        self.batches: list[Queued] = []
        self.buffers: list[bytes | bytearray | memoryview] = []
        self.size = 0
        self.tries = 0
        self.ended = False
        self.error: Exception | None = None


WAITING = Upload()
"""Of batches that are in no object yet."""


class Queued:
    """One batch in its lane. `upload` is None for an express one; `position` is where it lies in its object."""

    __slots__ = ("answered", "append", "at", "lane", "offsets", "position", "size", "upload")

    def __init__(self, append: Append, lane: Lane, at: float) -> None:
        self.append = append
        self.lane = lane
        self.at = at
        self.size = len(append.batch)
        self.offsets = append.header.last_offset_delta + 1
        self.upload: Upload | None = None
        self.position = 0
        self.answered = False

    @property
    def may_commit(self) -> bool:
        """Its bytes are stored or ride along, or could not be stored."""
        return self.upload is None or self.upload.ended


class Lane:
    """`busy` while a commit or a look at the store is under way. `contended`: another broker writes the partition too, append under locks.

    `doubted` holds, of producers of which nothing is in the log, what failed first (epoch, sequence): nothing that follows it may come before it, or
    the producer, when it sends that one again, were told that it is out of order.

    `ahead` counts the offsets of batches that are express or in an object: the end of the log as far as it can be guessed. `standard` and
    `express_bytes` count batches and bytes in the lane.
    """

    __slots__ = ("ahead", "busy", "contended", "doubted", "express_bytes", "partition_id", "queue", "standard")

    def __init__(self, partition_id: int) -> None:
        self.partition_id = partition_id
        self.queue: deque[Queued] = deque()
        self.busy = False
        self.contended = False
        self.ahead = 0
        self.standard = 0
        self.express_bytes = 0
        self.doubted: dict[int, tuple[int, int]] = {}

    def doubt(self) -> None:
        """What became of the head, and of all behind it that could be committed, is not known."""
        for queued in self.queue:
            if not queued.may_commit:
                return
            self.doubt_batch(queued.append.header)

    def doubt_batch(self, header: BatchHeader) -> None:
        """A batch failed. What counts is the first of its producer's."""
        known = self.doubted.get(header.producer_id)
        if header.producer_id >= 0 and (known is None or known[0] != header.producer_epoch):
            if len(self.doubted) >= _DOUBTED_MAX:
                self.doubted.clear()
            self.doubted[header.producer_id] = (header.producer_epoch, header.base_sequence)

    @property
    def may_commit(self) -> bool:
        """Whether something can be done about its head."""
        return not self.busy and bool(self.queue) and self.queue[0].may_commit

    def pop(self) -> Queued:
        """The head is about to be answered."""
        queued = self.queue.popleft()
        queued.answered = True
        self.ahead -= queued.offsets
        if queued.upload is None:
            self.express_bytes -= queued.size
        else:
            self.standard -= 1
        return queued

    def withdraw(self, guard: TxnGuard) -> list[Queued]:
        """Those with that guard leave, wherever they stand; nothing of the lane is under way."""
        gone = [queued for queued in self.queue if queued.append.guard == guard]
        self.queue = deque(queued for queued in self.queue if queued.append.guard != guard)
        for queued in gone:
            queued.answered = True
            if queued.upload is not WAITING:
                self.ahead -= queued.offsets
            if queued.upload is None:
                self.express_bytes -= queued.size
            else:
                self.standard -= 1
        return gone

    def head(self, max_bytes: int) -> list[Queued]:
        """What might be committed together: the first batches of one object, or express ones up to that size, one at least."""
        first = self.queue[0].upload
        taken: list[Queued] = []
        total = 0
        for queued in self.queue:
            total += queued.size
            if queued.upload is not first or (taken and first is None and total > max_bytes):
                break
            taken.append(queued)
        return taken


class Ready:
    """Lanes whose heads may be committed, by the kind of commit that they need, first come first."""

    def __init__(self) -> None:
        self.express: dict[Lane, None] = {}
        self.stored: dict[Upload, dict[Lane, None]] = {}
        self.contended: dict[Lane, None] = {}

    def put(self, lane: Lane) -> None:
        """Where its head belongs."""
        upload = lane.queue[0].upload
        if lane.contended:
            self.contended[lane] = None
        elif upload is None:
            self.express[lane] = None
        else:
            self.stored.setdefault(upload, {})[lane] = None

    def take_express(self, most: int) -> list[Lane]:
        """Some of the lanes."""
        return _take(self.express, most)

    def take_stored(self, most: int) -> tuple[Upload, list[Lane]]:
        """Lanes whose heads are in one object."""
        upload = next(iter(self.stored))
        lanes = _take(self.stored[upload], most)
        if not self.stored[upload]:
            del self.stored[upload]
        return upload, lanes

    def take_contended(self, most: int) -> tuple[Upload | None, list[Lane]]:
        """Lanes whose heads are in one object, or express."""
        upload = next(iter(self.contended)).queue[0].upload
        lanes = []
        for lane in self.contended:
            if lane.queue[0].upload is upload:
                lanes.append(lane)
                if len(lanes) == most:
                    break
        for lane in lanes:
            del self.contended[lane]
        return upload, lanes


def _take(lanes: dict[Lane, None], most: int) -> list[Lane]:
    taken: list[Lane] = []
    while lanes and len(taken) < most:
        lane = next(iter(lanes))
        del lanes[lane]
        taken.append(lane)
    return taken
