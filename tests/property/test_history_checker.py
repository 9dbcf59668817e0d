"""The checker of histories: histories that one correct log could have given have no anomaly; each kind of damage is found and named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from histories import history as h
from histories.anomaly import KINDS
from histories.checker import check, report
from histories.checks.realtime import LATE_SECONDS
from histories.history import FAILED, OK, UNKNOWN, Assign, Commit, Committed, Final, History, Look, Op, Poll, Seen, Send
from hypothesis import assume, given, settings
from hypothesis import strategies as st

PARTITIONS = 2


class Model:
    """One true log for each partition, and clients that see it at random moments; every operation takes effect between its start and its end."""

    def __init__(self, seed: int, sends: int = 60) -> None:
        self.random = random.Random(seed)
        self.logs: list[list[tuple[float, Seen]]] = [[] for _ in range(PARTITIONS)]
        self.history: History = []
        effects = [(self.random.uniform(1, 50), number) for number in range(sends)]
        numbers = {"p0": 0, "p1": 0}
        for at, number in sorted(effects):
            process = f"p{number % 2}"
            numbers[process] += 1
            self._send(process, numbers[process], at)
        for name in ("c0", "c1"):
            self._consume(name)
        self._group()
        for number in range(20):
            self._look(f"look{number % 3}", self.random.uniform(1, 55))
        for partition in range(PARTITIONS):
            log = [seen for _, seen in self.logs[partition]]
            self.history.append(Final("final", 70, 71, partition, len(log), log))
        self.random.shuffle(self.history)

    def _send(self, process: str, number: int, at: float) -> None:
        partition = self.random.randrange(PARTITIONS)
        value = f"{process}-{number}"
        start, end = at - self.random.uniform(0.01, 3), at + self.random.uniform(0.01, 3)
        result = self.random.choices([OK, UNKNOWN, FAILED], [8, 1, 1])[0]
        offset = -1
        if result == OK or (result == UNKNOWN and self.random.random() < 0.5):
            offset = len(self.logs[partition])
            self.logs[partition].append((at, Seen(partition, offset, value, int(at // 20))))
        shown = offset if result == OK else -1
        self.history.append(Send(process, start, end, partition, value, number, result, shown, fenced=True))

    def _end(self, partition: int, at: float) -> int:
        return sum(1 for when, _ in self.logs[partition] if when <= at)

    def _poll(self, process: str, at: float, positions: dict[int, int]) -> None:
        records: list[Seen] = []
        for partition in sorted(positions):
            there = [seen for when, seen in self.logs[partition] if when <= at][positions[partition] :]
            taken = there[: self.random.randint(0, 8)]
            positions[partition] += len(taken)
            records += taken
        self.history.append(Poll(process, at - 0.2, at + 0.1, records))

    def _consume(self, process: str) -> None:
        positions = dict.fromkeys(range(PARTITIONS), 0)
        self.history.append(Assign(process, 0.1, 0.2, dict(positions)))
        at = 1.0
        while at < 60:
            at += self.random.uniform(0.4, 2)
            self._poll(process, at, positions)
            if self.random.random() < 0.1:
                positions = {p: self.random.randint(0, self._end(p, at)) for p in positions}
                self.history.append(Assign(process, at + 0.15, at + 0.16, dict(positions), "seek"))

    def _group(self) -> None:
        """Two members by turns; who takes over begins at what was committed."""
        committed: dict[int, int] = dict.fromkeys(range(PARTITIONS), 0)
        at = 1.0
        for turn in range(8):
            process, positions = f"g{turn % 2}", dict(committed)
            self.history.append(Assign(process, at, at, dict.fromkeys(positions, -1), "rebalance"))
            for _ in range(3):
                at += 1
                self._poll(process, at, positions)
                if self.random.random() < 0.7:
                    result = self.random.choice([OK, OK, UNKNOWN])
                    if result == OK or self.random.random() < 0.5:
                        committed = dict(positions)
                    self.history.append(Commit(process, at + 0.3, at + 0.4, "g", dict(positions), result))
                asked = Committed("asks", at + 0.5, at + 0.6, "g", list(positions), dict(committed))
                self.history.append(asked)

    def _look(self, process: str, at: float) -> None:
        partition = self.random.randrange(PARTITIONS)
        end = self._end(partition, at)
        offset = self.random.randint(0, end)
        records = [seen for _, seen in self.logs[partition][offset : min(end, offset + 5)]]
        start, ended = at - self.random.uniform(0.01, 1), at + self.random.uniform(0.01, 1)
        self.history.append(Look(process, start, ended, 1, partition, end, offset, records))


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_a_good_history_has_no_anomaly(seed: int) -> None:
    assert check(Model(seed).history) == []


# -- damage -----------------------------------------------------------------------------------------------------------


def _map(history: History, change: Callable[[Op], Op | None]) -> History:
    return [changed for op in history if (changed := change(op)) is not None]


def _records(history: History, change: Callable[[Op, list[Seen]], list[Seen]]) -> History:
    def one(op: Op) -> Op:
        if isinstance(op, Poll | Look | Final):
            return replace(op, records=change(op, op.records))
        return op

    return _map(history, one)


def _acknowledged(history: History, rng: random.Random, last: bool = False) -> Send:
    """One in the middle of its partition, or the last one."""
    sends = [op for op in history if isinstance(op, Send) and op.result == OK]
    ends = {op.partition: op.high_watermark for op in history if isinstance(op, Final)}
    if last:
        return next(s for s in sends if s.offset == max(o.offset for o in sends if o.partition == s.partition))
    return rng.choice([send for send in sends if 3 < send.offset < ends[send.partition] - 3])


def _without(history: History, lost: Send, beyond: bool = False) -> History:
    """Nobody is given the record (nor those behind it, if `beyond`)."""

    def keeps(seen: Seen) -> bool:
        gone = seen.offset >= lost.offset if beyond else seen.offset == lost.offset
        return not (seen.partition == lost.partition and gone)

    return _records(history, lambda _, records: [seen for seen in records if keeps(seen)])


def lose(history: History, rng: random.Random) -> History:
    return _without(history, _acknowledged(history, rng))


def cut_off(history: History, rng: random.Random) -> History:
    return _without(history, _acknowledged(history, rng), beyond=True)


def keep_refused(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    return _map(history, lambda op: replace(op, result=FAILED, offset=-1) if op is told else op)  # type: ignore[type-var]


def invent(history: History, rng: random.Random) -> History:
    forgotten = _acknowledged(history, rng)
    return [op for op in history if op is not forgotten]


def misplace(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    changed = replace(told, partition=1 - told.partition, result=UNKNOWN, offset=-1)
    return [changed if op is told else op for op in history]


def repeat(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)

    def append(op: Op, records: list[Seen]) -> list[Seen]:
        if isinstance(op, Final) and op.partition == told.partition:
            return [*records, Seen(told.partition, len(records), told.value)]
        return records

    return _records(history, append)


def contradict(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    other = _acknowledged([op for op in history if op is not told], rng)

    def change(op: Op, records: list[Seen]) -> list[Seen]:
        if not isinstance(op, Final):
            return records
        wrong = Seen(told.partition, told.offset, other.value)
        return [wrong if (seen.partition, seen.offset) == wrong[:2] else seen for seen in records]

    return _records(history, change)


def swap_numbers(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    mine = [s for s in history if isinstance(s, Send) and s.process == told.process and s.partition == told.partition]
    other = max((s for s in mine if s.result == OK), key=lambda send: abs(send.number - told.number))
    return [
        replace(op, number=other.number if op is told else told.number)  # type: ignore[type-var]
        if op in (told, other)
        else op
        for op in history
    ]


def send_late(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    return [replace(told, start=58.0, end=59.0) if op is told else op for op in history]


def skip(history: History, rng: random.Random) -> History:
    polls = [op for op in history if isinstance(op, Poll) and op.process == "c0" and len(op.records) > 2]
    fitting = [p for p in polls if p.records[0].partition == p.records[2].partition]
    assume(fitting)  # some models have none
    chosen = rng.choice(fitting)
    return [
        replace(chosen, records=[*chosen.records[:1], *chosen.records[2:]]) if op is chosen else op for op in history
    ]


def step_back(history: History, rng: random.Random) -> History:
    polls = [op for op in history if isinstance(op, Poll) and op.process == "c0" and op.records]
    chosen = rng.choice(polls)
    return [replace(chosen, records=[*chosen.records, chosen.records[0]]) if op is chosen else op for op in history]


def commit_blindly(history: History, rng: random.Random) -> History:
    """A member claims what nobody was given: only at the end are there such records for sure."""
    new = [Seen(0, 1000 + n, f"new{n}") for n in range(3)]
    sends: list[Op] = [Send("p9", 60, 61, 0, seen.value, seen.offset, OK, seen.offset) for seen in new]
    return [*history, *sends, Commit("g1", 62, 63, "g", {0: 1003})]


def uncommit(history: History, rng: random.Random) -> History:
    commits = [op for op in history if isinstance(op, Commit) and op.result == OK and max(op.offsets.values()) > 0]
    chosen = rng.choice(commits)
    asked = Committed("asks", chosen.end + 0.01, chosen.end + 0.02, "g", list(range(PARTITIONS)), {})
    return [*history, asked]


def read_stale(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)
    # at once for ListOffsets, after a while for a fetch
    at, offset = rng.choice([(told.end + 0.01, -1), (told.end + LATE_SECONDS + 0.01, told.offset)])
    return [*history, Look("late", at, at + 0.01, 2, told.partition, told.offset, offset)]


def shrink(history: History, rng: random.Random) -> History:
    looks = [op for op in history if isinstance(op, Look) and op.high_watermark > 0]
    seen = rng.choice(looks)
    late = Look("late", seen.end + 0.01, seen.end + 0.02, 2, seen.partition, seen.high_watermark - 1)
    # without the sends, whose acknowledgements would say it too
    return [op for op in history if not isinstance(op, Send)] + [late]


def confuse_epochs(history: History, rng: random.Random) -> History:
    told = _acknowledged(history, rng)

    def change(op: Op, records: list[Seen]) -> list[Seen]:
        if not isinstance(op, Final) or op.partition != told.partition:
            return records
        return [seen._replace(leader_epoch=9) if seen.offset == told.offset else seen for seen in records]

    return _records(history, change)


DAMAGE = {
    "lost write": lose,
    "unseen": cut_off,
    "refused write": keep_refused,
    "never sent": invent,
    "wrong partition": misplace,
    "duplicate": repeat,
    "inconsistent offset": contradict,
    "hole": lose,
    "producer order": swap_numbers,
    "real-time order": send_late,
    "poll skip": skip,
    "nonmonotonic poll": step_back,
    "group skip": commit_blindly,
    "commit went back": uncommit,
    "stale read": read_stale,
    "end went back": shrink,
    "leader epoch": confuse_epochs,
}


def test_every_kind_has_its_damage() -> None:
    assert set(DAMAGE) == set(KINDS)


@pytest.mark.parametrize("kind", DAMAGE)
@settings(max_examples=15)
@given(seed=st.integers(0, 1 << 32))
def test_damage_is_found(kind: str, seed: int) -> None:
    history = DAMAGE[kind](Model(seed).history, random.Random(seed))
    found = check(history)
    mine = [anomaly for anomaly in found if anomaly.kind == kind]
    assert mine, report(found)
    assert all(anomaly.evidence for anomaly in mine)
    assert kind in report(found)


# -- the file ---------------------------------------------------------------------------------------------------------


def test_a_history_is_kept_as_lines(tmp_path: Path) -> None:
    history = [*Model(7).history, h.Note("faults", 1, 2, "kill broker 1")]
    h.write(tmp_path / "history.jsonl", history)
    assert h.read(tmp_path / "history.jsonl") == history
    (tmp_path / "bad.jsonl").write_text('{"kind": "poll", "process": "c"}\n')
    with pytest.raises(ValueError, match=r"bad\.jsonl:1 is no operation"):
        h.read(tmp_path / "bad.jsonl")


def test_a_record_whose_place_was_not_told_is_looked_for() -> None:
    history, rng = Model(5).history, random.Random(5)
    told = _acknowledged(history, rng)

    def untold(history: History) -> History:
        return [replace(op, offset=-1) if op is told else op for op in history]

    assert check(untold(history)) == []
    assert "lost write" in {anomaly.kind for anomaly in check(untold(_without(history, told)))}


def test_what_may_repeat_is_no_duplicate() -> None:
    sends = [Send("p", n, n + 1, 0, f"v{n}", n, OK, n, repeats=True) for n in range(2)]
    there = [Seen(0, 0, "v0"), Seen(0, 1, "v1"), Seen(0, 2, "v0")]
    assert check([*sends, Final("f", 9, 10, 0, 3, there)]) == []


def test_what_was_not_answered_may_come_late_unless_it_is_fenced() -> None:
    for fenced in (False, True):
        sends = [Send("p", 0, 1, 0, "v0", 0, UNKNOWN, fenced=fenced), Send("p", 2, 3, 0, "v1", 1, OK, 0, fenced=fenced)]
        found = check([*sends, Final("f", 9, 10, 0, 2, [Seen(0, 0, "v1"), Seen(0, 1, "v0")])])
        assert [anomaly.kind for anomaly in found] == ["producer order"] * fenced


def test_a_fetch_of_a_broker_in_trouble_may_be_late() -> None:
    send = Send("p", 1, 2, 0, "v", 1, OK, 0)
    fault = [h.Note("faults", 5, 5, "link-stall broker 2"), h.Note("faults", 8, 8, "link-stall broker 2 is over")]
    for node, offset, late in ((2, 0, False), (1, 0, True), (2, -1, True)):
        found = check([send, *fault, Look("l", 7, 7.1, node, 0, 0, offset)])
        assert [anomaly.kind for anomaly in found if anomaly.kind == "stale read"] == ["stale read"] * late


def test_an_evidence_is_one_line_for_each_operation() -> None:
    first, *_ = check([Send("p", 1, 2, 0, "v", 0, OK, 5), Final("f", 9, 10, 0, 0, [])])
    assert str(first).splitlines() == [
        "unseen, partition 0: v at 5; read to -1",
        "        1.000 -     2.000  p          send v to partition 0: acknowledged at 5",
    ]
