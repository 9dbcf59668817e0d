"""What a commit would make of the head of a lane: decided on copies, so that nothing has to be taken back when the commit loses its race.

Pure, and safe on any thread: the copies hold what the view knows of just those producers whose batches are in the head.
"""

from __future__ import annotations

from moldau.metadata.rows import LOCKED_NOTHING, AppendEntry, Extent, LockedPartition
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes
from moldau.records.batch import BatchHeader, set_base_offset

from . import fold
from .commit_lanes import Lane, Queued
from .producer_state import ProducerStates, Refused
from .view import PartitionView


class Draft:
    """The head of one lane, decided again as often as need be. After `decide`:

    `repeats`: batches at its beginning that the log has already, each with its offset there. `taken`: the batches behind them that would be
    appended as one extent from `base` to `end` (exclusive). `refused`: why the batch behind the repeats must not be appended; then nothing is
    taken. `guards`: that of the first one taken, if it opens a transaction. What is behind all these waits for the next commit: a batch that repeats one of `taken`, would be refused after it, or
    opens a transaction.
    """

    __slots__ = (
        "base",
        "end",
        "folds",
        "guards",
        "head",
        "known_end",
        "lane",
        "leader_epoch",
        "length",
        "locked",
        "max_timestamp",
        "position",
        "producer_ids",
        "refused",
        "repeats",
        "states",
        "taken",
    )

    def __init__(self, lane: Lane, view: PartitionView, head: list[Queued]) -> None:
        self.lane = lane
        self.head = head
        self.known_end = view.high_watermark
        self.producer_ids = {queued.append.header.producer_id for queued in head}
        self.states = view.producers.copy_of(self.producer_ids)
        self.locked = LOCKED_NOTHING
        self._reset(view.high_watermark, view.leader_epoch)

    def _reset(self, base: int, leader_epoch: int) -> None:
        self.base = self.end = base
        self.leader_epoch = leader_epoch
        self.position = 0
        self.length = 0
        self.max_timestamp = -1
        self.folds: list[bytes] = []
        self.guards: list[TxnGuard] = []
        self.taken: list[Queued] = []
        self.repeats: list[tuple[Queued, int]] = []
        self.refused: Refused | None = None

    def decide(self) -> None:
        """As the view is. Once only: the copies of what it knows change."""
        self._decide(self.states)

    def decide_locked(self, locked: LockedPartition) -> None:
        """As the partition is under its lock. Nothing is taken where it is gone, `went_back`, or is further ahead than what was read of it."""
        self.locked = locked
        self._reset(locked.row.end_offset, locked.row.leader_epoch)
        if locked.row.alive and not self.went_back and not self.is_behind:
            states = self.states.copy_of(self.producer_ids)
            for extent in locked.extents:
                self._fold(states, extent)
            self._decide(states)

    @property
    def went_back(self) -> bool:
        """The store lost what it had said was committed."""
        return self.locked.row.end_offset < self.known_end

    @property
    def is_behind(self) -> bool:
        """What was read of the partition does not lead from what was known of it to its end."""
        row, extents = self.locked
        if row.end_offset == self.known_end:
            return False
        return not extents or extents[0].base_offset != self.known_end or extents[-1].last_offset + 1 != row.end_offset

    def _fold(self, states: ProducerStates, extent: Extent) -> None:
        if extent.fold:
            for entry in fold.unpack(extent.fold):
                if entry[0] in self.producer_ids:
                    states.apply(entry, extent.base_offset, extent.appended_at)

    def _decide(self, states: ProducerStates) -> None:
        for queued in self.head:
            header = queued.append.header
            if header.producer_id >= 0:
                try:
                    self._check_order(states, header)
                    repeated = queued.append.check(states)
                except Refused as refused:
                    if not self.taken:
                        self.refused = refused
                    return
                if repeated is not None:
                    if self.taken:
                        return
                    self.repeats.append((queued, repeated.base_offset))
                    continue
            if self.taken and queued.append.guard is not None and states.opens(header):
                return  # at the head of the next commit: if its guard does not hold, it is known whose it was
            if not self.taken:
                self.position = queued.position
            elif queued.upload is not None and queued.position != self.position + self.length:
                return
            self._take(states, queued)

    def _check_order(self, states: ProducerStates, header: BatchHeader) -> None:
        """A producer of which nothing is known may begin anywhere, but not behind a batch whose outcome it must find out first. Raises Refused."""
        doubted = self.lane.doubted.get(header.producer_id)
        if doubted is None:
            return
        if (
            header.producer_id not in states.by_id
            and doubted[0] == header.producer_epoch
            and header.base_sequence > doubted[1]
        ):
            raise Refused(
                error_codes.KAFKA_STORAGE_ERROR,
                f"producer {header.producer_id}: its batch of sequence {doubted[1]} failed before; that one comes first",
            )

    def _take(self, states: ProducerStates, queued: Queued) -> None:
        header, guard = queued.append.header, queued.append.guard
        base = self.end
        if guard is not None and states.opens(header):
            self.guards.append(guard)
        self.end = base + queued.offsets
        if queued.upload is None:
            set_base_offset(queued.append.batch, 0, base, self.leader_epoch)
        if header.producer_id >= 0:
            states.add_batch(header, base, 0)
            self.folds.append(fold.of_batch(header, base - self.base))
        self.taken.append(queued)
        self.length += queued.size
        if header.max_timestamp > self.max_timestamp:
            self.max_timestamp = header.max_timestamp

    def entry(self) -> AppendEntry:
        """Its row in a commit."""
        return AppendEntry(
            self.lane.partition_id,
            self.base,
            self.end - self.base,
            self.position,
            self.length,
            self.max_timestamp,
            b"".join(self.folds),
        )
