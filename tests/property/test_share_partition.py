"""A share-partition beside a naive one that knows each offset by itself: whatever members do, the two say the same."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from moldau.coordination.share.deliveries import STATES, count_deliveries
from moldau.coordination.share.packed import pack, unpack
from moldau.coordination.share.partition import Acknowledgement, Limits, SharePartition
from moldau.coordination.share.run import (
    ACCEPT,
    ACKNOWLEDGED,
    ACQUIRED,
    ARCHIVED,
    ARCHIVING,
    AVAILABLE,
    GAP,
    REJECT,
    RELEASE,
    RENEW,
)
from moldau.protocol.error_codes import INVALID_RECORD_STATE, INVALID_REQUEST, NONE

LIMITS = Limits(lock_ms=100, max_deliveries=4, max_locks=60, dead_letters=True)
MEMBERS = ("a", "b", "c")


class Naive:
    """One dict entry for each offset: (state, count, member, until)."""

    def __init__(self, start: int) -> None:
        self.start = self.end = start
        self.at: dict[int, tuple[int, int, str, int]] = {}

    def advance(self) -> None:
        while self.start < self.end and self.at[self.start][0] in (ACKNOWLEDGED, ARCHIVED):
            del self.at[self.start]
            self.start += 1

    def take(self, given: list[tuple[int, int, int]], member: str, now: int) -> None:
        """What the real one gave, checked offset by offset."""
        for first, last, count in given:
            for offset in range(first, last + 1):
                if offset < self.end:
                    state, before, _, _ = self.at[offset]
                    assert state == AVAILABLE, offset
                    assert before + 1 == count, offset
                else:
                    assert count == 1
                    if not self.at and offset > self.end:
                        self.start = self.end = offset
                    for hole in range(self.end, offset):
                        self.at[hole] = (ARCHIVED, 0, "", 0)
                    self.end = offset + 1
                self.at[offset] = (ACQUIRED, count, member, now + LIMITS.lock_ms)

    def back(self, offset: int, state: int) -> None:
        count = self.at[offset][1]
        if state == AVAILABLE and count >= LIMITS.max_deliveries:
            state = ARCHIVING
        self.at[offset] = (state, count, "", 0)

    def acknowledge(self, member: str, acks: list[Acknowledgement], now: int) -> int:
        for first, last, _ in acks:
            if last < self.start:
                continue
            if last >= self.end:
                return INVALID_REQUEST
            for offset in range(max(first, self.start), last + 1):
                if self.at[offset][0] != ACQUIRED or self.at[offset][2] != member:
                    return INVALID_RECORD_STATE
        for first, last, types in acks:
            for offset in range(max(first, self.start), last + 1):
                kind = types[0] if len(types) == 1 else types[offset - first]
                if kind == RENEW:
                    self.at[offset] = (*self.at[offset][:3], now + LIMITS.lock_ms)
                else:
                    self.back(
                        offset, {GAP: ARCHIVED, ACCEPT: ACKNOWLEDGED, RELEASE: AVAILABLE, REJECT: ARCHIVING}[kind]
                    )
        return NONE


def explode(partition: SharePartition) -> dict[int, tuple[int, int, str, int]]:
    found = {}
    at = partition.start
    for run in partition.runs:
        assert run.first == at <= run.last
        at = run.last + 1
        for offset in range(run.first, run.last + 1):
            held = run.state == ACQUIRED
            found[offset] = (run.state, run.count, run.member if held else "", run.until if held else 0)
    assert at == partition.end
    return found


class Story:
    """One run: a log of batches with holes, three members, and whatever happens to them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000
        first = self.random.choice((0, 0, 7))
        self.batches: list[tuple[int, int]] = []
        at = first
        for _ in range(60):
            at += self.random.choice((0, 0, 0, 0, 1, 5))
            last = at + self.random.choice((0, 0, 2, 9, 24))
            self.batches.append((at, last))
            at = last + 1
        self.real, self.naive = SharePartition(first), Naive(first)
        self.letters: set[int] = set()
        """Offsets that were given up and are not buried."""

    def fetch(self) -> None:
        real, naive = self.real, self.naive
        assert real.next_offset == next(
            (o for o in range(naive.start, naive.end) if naive.at[o][0] == AVAILABLE), naive.end
        )
        read_from = real.next_offset
        seen = [batch for batch in self.batches if batch[1] >= read_from][: self.random.randint(1, 6)]
        if not seen:
            return
        most, strict, size = (
            self.random.choice((1, 3, 10, 50)),
            self.random.random() < 0.4,
            self.random.choice((1, 5, 100)),
        )
        room = LIMITS.max_locks - (real.end - real.start)
        was_end = real.end
        member = self.random.choice(MEMBERS)
        could = real.can_acquire(LIMITS)
        given = real.acquire(member, read_from, seen, most, size, strict, self.now, LIMITS)
        for offset in range(max(read_from, naive.start), min(seen[0][0], naive.end)):  # compacted away meanwhile
            if naive.at[offset][0] == AVAILABLE:
                naive.at[offset] = (ARCHIVED, *naive.at[offset][1:])
        naive.advance()
        if not naive.at and given and given[0].first >= naive.end:
            naive.start = naive.end = given[0].first
        naive.take([tuple(each) for each in given], member, self.now)  # type: ignore[misc]
        taken = sum(last - first + 1 for first, last, _ in given)
        if strict:
            assert taken <= most
        if given:
            assert could
            assert given[0].first >= read_from
            assert given[-1].last <= seen[-1][1]
        if real.end > was_end:
            assert room > 0
            assert strict or any(last == real.end - 1 for _, last in seen), "new ones come in whole batches"
            if strict:
                assert sum(last - first + 1 for first, last, _ in given if first >= was_end) <= room
        elif room > 0 and not taken and seen[-1][1] >= real.end:
            raise AssertionError("there was something, and room for it")

    def batches_from(self, offset: int) -> list[tuple[int, int]]:
        return [batch for batch in self.batches if batch[1] >= offset][:8]

    def acknowledge(self) -> None:
        member = self.random.choice(MEMBERS)
        offsets = sorted(o for o, (state, _, who, _) in self.naive.at.items() if state == ACQUIRED and who == member)
        if self.random.random() < 0.1:
            offsets = list(range(max(self.naive.start - 2, 0), self.naive.end + self.random.choice((0, 0, 2))))
        acks: list[Acknowledgement] = []
        while offsets:
            length = self.random.randint(1, 12)
            run = offsets[:1]
            for offset in offsets[1:length]:
                if offset != run[-1] + 1:
                    break
                run.append(offset)
            offsets = offsets[len(run) :]
            if self.random.random() < 0.3:
                continue
            kinds = [self.random.choice((GAP, ACCEPT, ACCEPT, RELEASE, RELEASE, REJECT, RENEW)) for _ in run]
            types = kinds if self.random.random() < 0.5 else kinds[:1]
            acks.append(Acknowledgement(run[0], run[-1], types))
        code, changed = self.real.acknowledge(member, acks, self.now, LIMITS)
        assert code == self.naive.acknowledge(member, acks, self.now)
        if code == NONE:
            others = any(kind != RENEW for first, last, types in acks for kind in types)
            assert not changed or others
            self.naive.advance()

    def release(self) -> None:
        member = self.random.choice(MEMBERS)
        self.real.release(member, LIMITS)
        for offset, (state, _, who, _) in list(self.naive.at.items()):
            if state == ACQUIRED and who == member:
                self.naive.back(offset, AVAILABLE)
        self.naive.advance()

    def time(self) -> None:
        self.now += self.random.choice((1, 30, 120))
        self.real.expire(self.now, LIMITS)
        for offset, (state, _, _, until) in list(self.naive.at.items()):
            if state == ACQUIRED and until <= self.now:
                self.naive.back(offset, AVAILABLE)
        self.naive.advance()
        untils = [until for state, _, _, until in self.naive.at.values() if state == ACQUIRED]
        assert not untils or self.real.deadline <= min(untils)

    def collect(self) -> None:
        for first, last, count, rejected in self.real.take_letters():
            offsets = set(range(first, last + 1))
            assert not offsets & self.letters
            assert rejected or count == LIMITS.max_deliveries
            self.letters |= offsets
        waiting = {offset for offset, (state, *_) in self.naive.at.items() if state == ARCHIVING}
        assert waiting <= self.letters
        self.letters = waiting  # of the others the log is gone
        found = self.real.unburied(LIMITS.max_deliveries)
        assert waiting == {offset for first, last, *_ in found for offset in range(first, last + 1)}

    def bury(self) -> None:
        if self.random.random() < 0.3 or not self.letters:
            return
        first = self.random.choice(sorted(self.letters)) - self.random.choice((0, 0, 2))
        last = first + self.random.choice((0, 1, 7))
        found = {offset for offset in self.letters if first <= offset <= last}
        assert self.real.bury(first, last) == bool(found)
        for offset in found:
            self.naive.at[offset] = (ARCHIVED, *self.naive.at[offset][1:])
        self.letters -= found
        self.naive.advance()

    def bury_all(self) -> None:
        """Letters keep their place in the window until they are written: without this nothing goes on."""
        for first, last, *_ in self.real.take_letters():
            self.real.bury(first, last)
            for offset in range(first, last + 1):
                if offset in self.naive.at:
                    self.naive.at[offset] = (ARCHIVED, *self.naive.at[offset][1:])
        self.naive.advance()

    def retention(self) -> None:
        if self.random.random() > 0.1:
            return
        start = self.naive.start + self.random.choice((1, 5, 100))
        assert self.real.raise_log_start(start)
        for offset in range(self.naive.start, min(start, self.naive.end)):
            del self.naive.at[offset]
        self.naive.start = start
        self.naive.end = max(self.naive.end, start)
        self.naive.advance()

    def restart(self) -> None:
        if self.random.random() > 0.2:
            return
        self.real = unpack(self.real.start, pack(self.real))
        naive = self.naive
        for offset, (state, count, _, _) in list(naive.at.items()):
            if state == ACQUIRED:
                naive.at[offset] = (AVAILABLE, count - 1, "", 0)
            elif state not in (AVAILABLE, ARCHIVING):
                naive.at[offset] = (state, 0, "", 0)
        while naive.end > naive.start and naive.at[naive.end - 1][:2] == (AVAILABLE, 0):
            naive.end -= 1
            del naive.at[naive.end]

    def step(self) -> None:
        steps = (
            self.fetch,
            self.fetch,
            self.fetch,
            self.acknowledge,
            self.acknowledge,
            self.release,
            self.time,
            self.bury,
        )
        self.random.choice((*steps, self.retention, self.restart))()
        assert (self.real.start, self.real.end) == (self.naive.start, self.naive.end)
        assert explode(self.real) == self.naive.at
        self.collect()
        final = sum(state in (ACKNOWLEDGED, ARCHIVED) for state, *_ in self.naive.at.values())
        assert self.real.final_count == final
        self.count()

    def count(self) -> None:
        """What is told of the deliveries is what the naive one's offsets add up to."""
        counted = count_deliveries(self.real.runs)
        states = [state for state, *_ in self.naive.at.values()]
        assert counted.by_state() == {name: states.count(state) for state, name in STATES.items()}
        assert sum(counted.by_state().values()) == self.real.end - self.real.start
        assert counted.members == Counter(who for state, _, who, _ in self.naive.at.values() if state == ACQUIRED)
        open_counts = [
            count for state, count, *_ in self.naive.at.values() if state in (ACQUIRED, AVAILABLE, ARCHIVING)
        ]
        assert counted.delivery_count_max == max(open_counts, default=0)


@pytest.mark.parametrize("block", range(4))
def test_it_does_what_a_naive_one_does(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        story = Story(seed)
        for number in range(60):
            try:
                story.step()
            except Exception as error:
                raise AssertionError(f"seed {seed} step {number}: {story.real.runs}") from error


def test_everything_is_delivered_in_the_end() -> None:
    for seed in range(5):
        story = Story(seed)
        for _ in range(400):
            story.time()
            story.fetch()
            story.acknowledge()
            story.bury_all()
            if story.real.next_offset > story.batches[-1][1]:
                break
        story.now += 1000
        while story.real.expire(story.now, LIMITS) or story.real.next_offset <= story.batches[-1][1]:
            story.bury_all()
            given = story.real.acquire(
                "a",
                story.real.next_offset,
                story.batches_from(story.real.next_offset),
                50,
                50,
                False,
                story.now,
                LIMITS,
            )
            assert given or not story.batches_from(story.real.next_offset)
            story.real.acknowledge(
                "a", [Acknowledgement(first, last, [ACCEPT]) for first, last, _ in given], story.now, LIMITS
            )
            story.now += 1000
        story.bury_all()
        assert story.real.start == story.batches[-1][1] + 1
