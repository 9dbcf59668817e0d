"""A share-partition: which records of one partition a share group has processed, has in hand, or may still get (KIP-932). Pure.

Offsets below `start` are done with; those from `end` on were never delivered; between the two lies a window of `Run`s without holes,
at most `max_locks` long. An acknowledgement is taken whole or not at all. Gaps of the log (compaction, control records) that were handed out
are acknowledged by members as gaps; those between two batches that were read become archived here.

What changes is to be stored (`packed`) before anybody is told; a delivery changes nothing that is stored: its count is stored when it
ends without success. So a broker that dies has delivered once more, uncounted, what was in hand, as in Kafka.

Cost: a step costs O(runs it touches) and one splice of a list of at most `max_locks` runs; tens of thousands of steps a second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from moldau.protocol.error_codes import INVALID_RECORD_STATE, INVALID_REQUEST, NONE

from .run import ACQUIRED, ARCHIVED, ARCHIVING, AVAILABLE, NOBODY, OUTCOMES, REJECT, RENEW, Run

NEVER = 2**63 - 1
_ALONE_FROM = 2
"""With a limit of so few deliveries a record's last one is not made alone."""

_first = attrgetter("first")


class Limits(NamedTuple):
    """What a group's configs say now."""

    lock_ms: int = 30_000
    """`share.record.lock.duration.ms`"""
    max_deliveries: int = 5
    """`share.delivery.count.limit`"""
    max_locks: int = 2_000
    """`share.partition.max.record.locks`"""
    dead_letters: bool = False
    """The group has a dead-letter topic (`errors.deadletterqueue.topic.name`): what is given up goes there first."""

    @property
    def throttle_from(self) -> int:
        """Records delivered this often are given out in smaller parts, so that a bad one does not spoil its neighbours."""
        return max(2, (self.max_deliveries + 1) // 2)


class Acquired(NamedTuple):
    """Records handed to a member: first and last offset, and how often they were delivered, this time included."""

    first: int
    last: int
    deliveries: int


class Acknowledgement(NamedTuple):
    """What a member says of the offsets `first` to `last`: one type for all of them, or one for each."""

    first: int
    last: int
    types: Sequence[int]


class Letter(NamedTuple):
    """Records that were given up, for the group's dead-letter topic: `rejected` by a member, or delivered too often."""

    first: int
    last: int
    deliveries: int
    rejected: bool


class SharePartition:
    """See the module's text. `now` is ms of a clock that never goes back."""

    __slots__ = ("_available", "_deadline", "_letters", "_runs", "end", "start")

    def __init__(self, start: int, runs: Iterable[Run] = ()) -> None:
        self.start = start
        self._runs: list[Run] = list(runs)
        self.end = self._runs[-1].last + 1 if self._runs else start
        self._available = sum(run.size for run in self._runs if run.state == AVAILABLE)
        self._deadline = NEVER
        self._letters: list[Letter] = []
        self._move_start()

    # -- what is asked ------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> list[Run]:
        """The window, in order; not to be changed."""
        return self._runs

    @property
    def final_count(self) -> int:
        """How many offsets of the window are done with."""
        return sum(run.size for run in self._runs if run.is_final)

    @property
    def deadline(self) -> int:
        """No lock is over earlier; NEVER if there is none."""
        return self._deadline

    @property
    def next_offset(self) -> int:
        """From where records are to be read for the next delivery."""
        if self._available:
            for run in self._runs:
                if run.state == AVAILABLE:
                    return run.first
        return self.end

    def can_acquire(self, limits: Limits) -> bool:
        """Whether anything may be delivered, if the log has it."""
        return self._available > 0 or self.end - self.start < limits.max_locks

    def take_letters(self) -> list[Letter]:
        """What was given up since this was last asked. Each stays ARCHIVING until it is `buried`."""
        letters, self._letters = self._letters, []
        return letters

    def unburied(self, max_deliveries: int) -> list[Letter]:
        """All that is ARCHIVING. Why is not stored, and concluded from the count, as in Kafka."""
        return [
            Letter(run.first, run.last, run.count, run.count < max_deliveries)
            for run in self._runs
            if run.state == ARCHIVING
        ]

    # -- delivery -----------------------------------------------------------------------------------------------------

    def acquire(
        self,
        member: str,
        read_from: int,
        batches: Sequence[tuple[int, int]],
        max_records: int,
        batch_size: int,
        strict: bool,
        now: int,
        limits: Limits,
    ) -> list[Acquired]:
        """Hand records to a member. `batches` are (first, last) offset of the log's batches that were read from `read_from` on.

        Whole batches are given, so `max_records` may be passed by the last of them; never if it is `strict` (KIP-1206). What is given
        comes in pieces of about `batch_size`, cut between batches.
        """
        if not batches or max_records <= 0:
            return []
        base, last = batches[0][0], batches[-1][1]
        if read_from < base:
            self._archive(read_from, base - 1)
        room = limits.max_locks - (self.end - self.start)
        most = min(max_records, room) if room > 0 else max_records
        until = now + limits.lock_ms
        given: list[Acquired] = []
        taken, goes_on = 0, True
        if self._available and base < self.end:
            taken, goes_on = self._again(
                member, max(base, self.start), min(last, self.end - 1), most, strict, until, limits, given
            )
        if goes_on and taken < most and room > 0 and last >= self.end:
            self._anew(member, batches, most - taken, batch_size, strict, until, given)
        if given and until < self._deadline:
            self._deadline = until
        return given

    def _again(
        self,
        member: str,
        first: int,
        last: int,
        most: int,
        strict: bool,
        until: int,
        limits: Limits,
        given: list[Acquired],
    ) -> tuple[int, bool]:
        """Available offsets of the window from `first` to `last`. How many were taken, and whether more may be."""
        taken = 0
        index = self._find(first)
        while index < len(self._runs) and taken < most:
            run = self._runs[index]
            if run.first > last:
                break
            if run.state != AVAILABLE:
                index += 1
                continue
            size = min(run.last, last) - max(run.first, first) + 1
            throttled = run.count >= limits.throttle_from
            if limits.max_deliveries > _ALONE_FROM and run.count >= limits.max_deliveries - 1:
                size = 1
                throttled = True
            elif throttled:
                size = min(size, max(1, run.batch >> (run.count - limits.throttle_from + 1)))
            if throttled and taken:
                return taken, False
            if strict:
                size = min(size, most - taken)
            begin = max(run.first, first)
            index = self._cut(begin, begin + size - 1)
            run = self._runs[index]
            run.state = ACQUIRED
            run.count += 1
            run.member = member
            run.until = until
            self._available -= size
            taken += size
            if given and given[-1].last + 1 == run.first and given[-1].deliveries == run.count and run.batch > size:
                given[-1] = given[-1]._replace(last=run.last)
            else:
                given.append(Acquired(run.first, run.last, run.count))
            if throttled:
                return taken, False
            index += 1
        return taken, True

    def _anew(
        self,
        member: str,
        batches: Sequence[tuple[int, int]],
        most: int,
        batch_size: int,
        strict: bool,
        until: int,
        given: list[Acquired],
    ) -> None:
        """Records that were never delivered: the window grows."""
        new = [batch for batch in batches if batch[1] >= self.end]
        first = max(self.end, new[0][0])
        if not self._runs:
            self.start = first
        most_last, last, piece = first + most - 1, first - 1, first
        pieces: list[tuple[int, int]] = []
        for base, end in new:
            if base > most_last:
                break
            if (last + 1 < base and last >= first) or (base - piece >= batch_size and not strict):
                pieces.append((piece, last))
                piece = base
            last = min(end, most_last) if strict else end
            if end >= most_last:
                break
        pieces.append((piece, last))
        for begin, end in pieces:
            if self._runs and self._runs[-1].last + 1 < begin:  # a hole of the log
                self._runs.append(Run(self._runs[-1].last + 1, begin - 1, ARCHIVED, 0))
            self._runs.append(Run(begin, end, ACQUIRED, 1, member, until))
            given.append(Acquired(begin, end, 1))
        self.end = last + 1

    # -- outcomes -----------------------------------------------------------------------------------------------------

    def acknowledge(
        self, member: str, acknowledgements: Sequence[Acknowledgement], now: int, limits: Limits
    ) -> tuple[int, bool]:
        """(error code, whether anything is to be stored). With an error nothing has changed.

        INVALID_REQUEST for offsets that were never delivered, INVALID_RECORD_STATE for those the member does not have now (its lock
        is over, or somebody else has them). Offsets below `start` are passed over.
        """
        for first, last, _ in acknowledgements:
            if last < self.start:
                continue
            if last >= self.end:
                return INVALID_REQUEST, False
            index = self._find(max(first, self.start))
            while index < len(self._runs) and (run := self._runs[index]).first <= last:
                if run.state != ACQUIRED or run.member != member:
                    return INVALID_RECORD_STATE, False
                index += 1
        changed = False
        for first, last, types in acknowledgements:
            for begin, end, kind in _same(first, last, types):
                if end >= self.start:
                    changed |= self._settle(max(begin, self.start), end, kind, now + limits.lock_ms, limits)
        if changed:
            self._move_start()
        return NONE, changed

    def _settle(self, first: int, last: int, kind: int, until: int, limits: Limits) -> bool:
        index = self._cut(first, last)
        while index < len(self._runs) and (run := self._runs[index]).first <= last:
            if kind == RENEW:
                run.until = until
            else:
                self._end_delivery(run, OUTCOMES[kind], limits, kind == REJECT)
            index += 1
        return kind != RENEW

    def _end_delivery(self, run: Run, state: int, limits: Limits, rejected: bool = False) -> None:
        given_up = state == AVAILABLE and run.count >= limits.max_deliveries
        if given_up or rejected:
            state = ARCHIVED
            if limits.dead_letters:
                state = ARCHIVING
                self._letters.append(Letter(run.first, run.last, run.count, rejected))
        run.state = state
        run.member = NOBODY
        if state == AVAILABLE:
            self._available += run.size

    def release(self, member: str, limits: Limits) -> bool:
        """The member's session is over: what it has goes back. True if there was anything.

        These deliveries count, as in Kafka since 4.3: the member may have died of a record.
        """
        found = False
        for run in self._runs:
            if run.state == ACQUIRED and run.member == member:
                self._end_delivery(run, AVAILABLE, limits)
                found = True
        if found:
            self._move_start()
        return found

    def expire(self, now: int, limits: Limits) -> bool:
        """Locks that are over. True if there were any: then something is to be stored, and may be delivered."""
        if now < self._deadline:
            return False
        found = False
        deadline = NEVER
        for run in self._runs:
            if run.state == ACQUIRED:
                if run.until <= now:
                    self._end_delivery(run, AVAILABLE, limits)
                    found = True
                elif run.until < deadline:
                    deadline = run.until
        self._deadline = deadline
        if found:
            self._move_start()
        return found

    def bury(self, first: int, last: int) -> bool:
        """These offsets are in the dead-letter topic, or will never be. True if that changed anything."""
        first, last = max(first, self.start), min(last, self.end - 1)
        if first > last:
            return False
        found = False
        index = self._cut(first, last)
        while index < len(self._runs) and (run := self._runs[index]).first <= last:
            if run.state == ARCHIVING:
                run.state = ARCHIVED
                found = True
            index += 1
        if found:
            self._move_start()
        return found

    def raise_log_start(self, log_start_offset: int) -> bool:
        """The log begins later now. True if that changed anything."""
        if log_start_offset <= self.start:
            return False
        if log_start_offset >= self.end:
            self.start = self.end = log_start_offset
            self._runs.clear()
            self._available = 0
            return True
        index = self._cut(log_start_offset, self.end - 1)
        self._available -= sum(run.size for run in self._runs[:index] if run.state == AVAILABLE)
        del self._runs[:index]
        self.start = log_start_offset
        self._move_start()
        return True

    def pass_over(self, first: int, last: int) -> None:
        """The log has nothing for members at these offsets: markers, aborted records. Those behind the window count if they follow it."""
        self._archive(first, last)
        if first <= self.end <= last:
            if self._runs:
                self._runs.append(Run(self.end, last, ARCHIVED, 0))
            else:
                self.start = last + 1
            self.end = last + 1
            self._move_start()

    # -- the window ---------------------------------------------------------------------------------------------------

    def _find(self, offset: int) -> int:
        """Index of the run that holds the offset."""
        return max(bisect_right(self._runs, offset, key=_first) - 1, 0)

    def _cut(self, first: int, last: int) -> int:
        """Split runs so that one begins at `first` and one ends at `last`; the index of the former."""
        index = self._find(first)
        run = self._runs[index]
        if run.first < first:
            self._runs.insert(index, _part(run, run.first, first - 1))
            run.first = first
            index += 1
        at = index if run.last >= last else self._find(last)
        run = self._runs[at]
        if run.last > last:
            self._runs.insert(at, _part(run, run.first, last))
            run.first = last + 1
        return index

    def _archive(self, first: int, last: int) -> None:
        """A read found nothing at these offsets: available ones are not in the log any more."""
        first, last = max(first, self.start), min(last, self.end - 1)
        if not self._available or first > last:
            return
        index = self._cut(first, last)
        while index < len(self._runs) and (run := self._runs[index]).first <= last:
            if run.state == AVAILABLE:
                run.state = ARCHIVED
                self._available -= run.size
            index += 1
        self._move_start()

    def _move_start(self) -> None:
        done = 0
        for run in self._runs:
            if not run.is_final:
                break
            done += 1
        if done:
            self.start = self._runs[done - 1].last + 1
            del self._runs[:done]
        if not self._runs:
            self.start = self.end


def _part(run: Run, first: int, last: int) -> Run:
    return Run(first, last, run.state, run.count, run.member, run.until, run.batch)


def _same(first: int, last: int, types: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last, type) of offsets that are said the same of."""
    if len(types) == 1:
        return [(first, last, types[0])]
    found: list[tuple[int, int, int]] = []
    begin = 0
    for index in range(1, len(types) + 1):
        if index == len(types) or types[index] != types[begin]:
            found.append((first + begin, first + index - 1, types[begin]))
            begin = index
    return found
