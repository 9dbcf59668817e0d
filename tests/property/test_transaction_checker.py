"""The checks of histories with transactions: what correct brokers could have answered has no anomaly; each kind of damage is found and named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from histories import history as h
from histories.anomaly import TRANSACTIONAL
from histories.checker import check, report
from histories.checks.transactions import OUTPUTS, output_of
from histories.history import FAILED, OK, UNKNOWN, Committed, Final, History, Look, Op, Poll, Seen, Send, Txn
from hypothesis import given, settings
from hypothesis import strategies as st

PARTITIONS = (0, 1, OUTPUTS, OUTPUTS + 1)
GROUP = "g"


class Model:
    """True logs, in which transactions take effect one after the other; whoever reads sees them as they are then."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.at = 1.0
        self.offsets = dict.fromkeys(PARTITIONS, 0)
        """The next one of each partition."""
        self.everything: dict[int, list[Seen]] = {p: [] for p in PARTITIONS}
        self.committed: dict[int, list[Seen]] = {p: [] for p in PARTITIONS}
        self.group = {0: 0, 1: 0}
        self.read = dict.fromkeys((OUTPUTS, OUTPUTS + 1), -1)
        self.history: History = []
        self.instances = {"t0": 1, "w0": 1}
        for number in range(40):
            self._send(number)
            self._transact("t0", number)
            self._transact("w0", number)
            self._look()
        self._end()
        self.random.shuffle(self.history)

    def _later(self) -> float:
        self.at += self.random.uniform(0.01, 0.1)
        return self.at

    def _append(self, partition: int, value: str) -> Seen:
        seen = Seen(partition, self.offsets[partition], value)
        self.offsets[partition] += 1
        self.everything[partition].append(seen)
        return seen

    def _send(self, number: int) -> None:
        partition, start = self.random.randrange(2), self._later()
        seen = self._append(partition, f"i{number}")
        self.committed[partition].append(seen)
        self.history.append(Send("i", start, self._later(), partition, seen.value, number, OK, seen.offset))

    def _transact(self, name: str, number: int) -> None:
        rng = self.random
        if rng.random() < 0.1:
            self.instances[name] += 1
        process = f"{name}/{self.instances[name]}"
        txn = Txn(process, self._later(), 0, number, result=FAILED)
        written = []
        if name == "t0":
            txn.group = GROUP
            for partition, at in self.group.items():
                more = [each for each in self.committed[partition] if each.offset >= at][: rng.randint(0, 3)]
                txn.inputs += more
                txn.offsets[partition] = more[-1].offset + 1 if more else at
            for record in txn.inputs:
                value = output_of(record, process, number)
                again = rng.random() < 0.1 and not record.value.startswith("again:")
                written.append(
                    self._append(rng.randrange(2), f"again:{value}")
                    if again
                    else self._append(OUTPUTS + rng.randrange(2), value)
                )
        else:
            written = [
                self._append(OUTPUTS + rng.randrange(2), f"{process}-{number}-{n}") for n in range(rng.randint(1, 4))
            ]
        txn.outputs = [each._replace(offset=-1) for each in written]
        fate = rng.choice(("commit", "commit", "commit", "abort", "unknown", "gone"))
        if fate != "abort":
            txn.asked = self._later()
        if fate in ("commit", "unknown"):
            for seen in written:
                self.committed[seen.partition].append(seen)
            if name == "t0":
                self.group.update(txn.offsets)
        for partition in {seen.partition for seen in written}:
            self.offsets[partition] += 1  # the marker
        txn.end = self._later()
        txn.result = {"commit": OK, "abort": FAILED, "unknown": UNKNOWN, "gone": UNKNOWN}[fate]
        if fate == "gone":
            txn.asked = txn.end - 0.001
        self.history.append(txn)

    def _look(self) -> None:
        partition = self.random.choice(PARTITIONS[2:])
        log = self.committed[partition]
        if log:
            start = self._later()
            offset = self.random.choice(log).offset
            records = [each for each in log if each.offset >= offset]
            self.history.append(
                Look("l0", start, self._later(), 1, partition, self.offsets[partition], offset, records)
            )
        start = self._later()
        records = [each for p, at in self.read.items() for each in self.committed[p] if each.offset > at]
        self.read.update({each.partition: each.offset for each in records})
        self.history.append(Poll("r0", start, self._later(), records))

    def _end(self) -> None:
        for partition in PARTITIONS:
            end = self.offsets[partition]
            for name, log in (("final@1", self.committed), ("ufinal@1", self.everything)):
                self.history.append(Final(name, self._later(), self._later(), partition, end, list(log[partition])))
        for partition, at in self.group.items():
            self.history.append(Committed("final", self._later(), self._later(), GROUP, [partition], {partition: at}))


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32))
def test_what_correct_brokers_answer_has_no_anomaly(seed: int) -> None:
    found = check(Model(seed).history)
    assert found == [], report(found)


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    history = Model(1).history
    h.write(tmp_path / "history", history)
    assert h.read(tmp_path / "history") == history
    assert all(h.story(op) for op in history)


Damage = Callable[[History, random.Random], History]


def _txns(history: History, wanted: Callable[[Txn], object]) -> list[Txn]:
    return [op for op in history if isinstance(op, Txn) and op.outputs and wanted(op)]


def _there(history: History) -> set[str]:
    return {each.value for op in history if isinstance(op, Final) and op.process == "final@1" for each in op.records}


def _map(history: History, change: Callable[[Op], Op]) -> History:
    return [change(op) for op in history]


def _without(history: History, values: set[str]) -> History:
    """Nobody ever read them."""

    def change(op: Op) -> Op:
        if isinstance(op, Poll | Look | Final):
            return replace(op, records=[each for each in op.records if each.value not in values])
        return op

    return _map(history, change)


def _aborted_read(history: History, rng: random.Random) -> History:
    txn = rng.choice(_txns(history, lambda txn: txn.result == OK))
    return _map(history, lambda op: replace(txn, result=FAILED) if op is txn else op)


def _pre_committed_read(history: History, rng: random.Random) -> History:
    read = {each.value: op.end for op in history if isinstance(op, Poll) for each in op.records}
    txn = rng.choice(_txns(history, lambda txn: txn.result == OK and any(each.value in read for each in txn.outputs)))
    late = max(read.get(each.value, 0) for each in txn.outputs) + 1
    return _map(history, lambda op: replace(txn, asked=late, end=late + 1) if op is txn else op)


def _lost_transaction(history: History, rng: random.Random) -> History:
    txn = rng.choice(_txns(history, lambda txn: txn.result == OK))
    return _without(history, {each.value for each in txn.outputs})


def _torn(history: History, rng: random.Random) -> History:
    there = _there(history)
    txn = rng.choice(_txns(history, lambda txn: len(txn.outputs) > 1 and txn.outputs[0].value in there))
    return _without(history, {rng.choice(txn.outputs).value})


def _duplicate_output(history: History, rng: random.Random) -> History:
    there = _there(history)
    values = [value for value in there if "@" in value]
    twice = rng.choice(values) + "1"
    return _map(
        history,
        lambda op: (
            replace(op, records=[*op.records, Seen(OUTPUTS, op.high_watermark, twice)])
            if isinstance(op, Final) and op.partition == OUTPUTS
            else op
        ),
    )


def _lost_output(history: History, rng: random.Random) -> History:
    txn = rng.choice(_txns(history, lambda txn: txn.group and txn.outputs[0].value in _there(history)))
    gone = {each.value for each in txn.outputs}
    return [op for op in _without(history, gone) if op is not txn]


def _early_output(history: History, rng: random.Random) -> History:
    def change(op: Op) -> Op:
        if isinstance(op, Committed) and op.process == "final":
            return replace(op, offsets=dict.fromkeys(op.offsets, 0))
        return op

    return _map(history, change)


def _zombie(history: History, rng: random.Random) -> History:
    txns = sorted(_txns(history, lambda txn: txn.process.startswith("w")), key=lambda op: op.start)
    txn = rng.choice([each for each in txns[:-1] if each.result == OK])
    after = next(each for each in txns if each.start > txn.start)
    name, _, instance = txn.process.partition("/")
    newer = replace(after, process=f"{name}/{int(instance) + 9}", start=txn.asked - 0.001)
    return _map(history, lambda op: newer if op is after else op)


def _cycle(history: History, rng: random.Random) -> History:
    ones = _txns(history, lambda txn: txn.result == OK and txn.process.startswith("w"))
    pairs = [(a, b) for a in ones for b in ones if a.process == b.process and a.start < b.start]
    first, last = rng.choice(pairs)
    return _map(history, lambda op: replace(first, inputs=[last.outputs[0]._replace(offset=7)]) if op is first else op)


def _open(history: History, rng: random.Random) -> History:
    def change(op: Op) -> Op:
        if isinstance(op, Final) and op.process == "final@1" and op.partition == OUTPUTS and op.records:
            return replace(op, high_watermark=op.high_watermark - 1)
        return op

    return _map(history, change)


DAMAGE: dict[str, Damage] = {
    "aborted read": _aborted_read,
    "pre-committed read": _pre_committed_read,
    "lost transaction": _lost_transaction,
    "torn transaction": _torn,
    "lost output": _lost_output,
    "duplicate output": _duplicate_output,
    "early output": _early_output,
    "zombie commit": _zombie,
    "cycle": _cycle,
    "open for ever": _open,
}


def test_every_kind_has_its_damage() -> None:
    assert set(DAMAGE) == set(TRANSACTIONAL)


@pytest.mark.parametrize("kind", DAMAGE)
@settings(max_examples=12)
@given(seed=st.integers(0, 1 << 32))
def test_damage_is_found(kind: str, seed: int) -> None:
    found = check(DAMAGE[kind](Model(seed).history, random.Random(seed)))
    mine = [anomaly for anomaly in found if anomaly.kind == kind]
    assert mine, report(found)
    assert all(anomaly.evidence for anomaly in mine)
    assert kind in report(found)
