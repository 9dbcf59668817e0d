"""Of transactions all is there or nothing, and to readers of committed records only after somebody asked to commit. What is read, processed and written is so once.

Partitions below `OUTPUTS` are those of the inputs, others of the outputs. Who reads what was not committed has a name that begins with "u". The value of an output
names its input: `partition.offset@process#number`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ..anomaly import Anomaly
from ..history import FAILED, OK, Assign, Commit, Committed, Final, History, Look, Op, Poll, Seen, Send, Txn
from ..log import Logs
from . import groups, polls

OUTPUTS = 100
"""The number of the first partition of outputs."""


def output_of(record: Seen, process: str, number: int) -> str:
    """The value of what is made of that input."""
    return f"{record.partition}.{record.offset}@{process}#{number}"


def input_of(value: str) -> tuple[int, int] | None:
    """The partition and offset of the input that it was made of; None: of none."""
    place, at, _ = value.partition("@")
    partition, dot, offset = place.removeprefix("again:").partition(".")
    return (int(partition), int(offset)) if at and dot else None


def is_committed_read(op: Op) -> bool:
    """Whether what it saw was committed."""
    return isinstance(op, Poll | Look | Final) and not op.process.startswith("u")


class Reads:
    """What readers of committed records saw: for each value the first operation; and what is there at the end, by partition and offset."""

    def __init__(self, history: History) -> None:
        self.seen: dict[str, tuple[Op, Seen]] = {}
        self.final: dict[tuple[int, int], str] = {}
        self.there: dict[str, Seen] = {}
        self.whole = False
        for op in sorted(history, key=lambda op: op.end):
            for record in _read(op):
                self.seen.setdefault(record.value, (op, record))
            if isinstance(op, Final) and is_committed_read(op):
                self.whole = True
                for record in op.records:
                    self.final[record.partition, record.offset] = record.value
                    self.there[record.value] = record


def _read(op: Op) -> list[Seen]:
    """Records that it was given as committed ones."""
    if isinstance(op, Txn):
        return op.inputs
    return op.records if is_committed_read(op) else []  # type: ignore[attr-defined]


def check(history: History) -> Iterator[Anomaly]:
    txns = [op for op in history if isinstance(op, Txn)]
    committed = Reads(history)
    yield from _isolated(txns, committed)
    yield from _whole(txns, committed)
    yield from _zombies(txns)
    yield from _once(history, txns, committed)
    yield from _cycles(txns)
    yield from _ended(history)
    for committed_ones in (True, False):
        reads = [
            op for op in history if isinstance(op, Poll | Look | Final) and is_committed_read(op) is committed_ones
        ]
        yield from polls.check(Logs([*reads, *(op for op in history if isinstance(op, Assign))]))
    yield from _offsets(history, txns)
    yield from _sent(history, committed)


def _isolated(txns: list[Txn], committed: Reads) -> Iterator[Anomaly]:
    for txn in txns:
        for output in txn.outputs:
            if output.value not in committed.seen:
                continue
            op, record = committed.seen[output.value]
            if txn.result == FAILED or txn.asked < 0:
                text = f"{output.value} at {record.offset}"
                yield Anomaly("aborted read", record.partition, text, [txn, op])
                break
            if op.end < txn.asked:
                text = f"{output.value} at {record.offset}"
                yield Anomaly("pre-committed read", record.partition, text, [txn, op])
                break


def _whole(txns: list[Txn], committed: Reads) -> Iterator[Anomaly]:
    if not committed.whole:
        return
    for txn in txns:
        there = [each for each in txn.outputs if each.value in committed.there]
        if 0 < len(there) < len(txn.outputs):
            gone = next(each for each in txn.outputs if each.value not in committed.there)
            text = f"{there[0].value} is there, {gone.value} is not"
            yield Anomaly("torn transaction", gone.partition, text, [txn])
        elif txn.outputs and not there and txn.result == OK:
            yield Anomaly("lost transaction", txn.outputs[0].partition, txn.outputs[0].value, [txn])


def _zombies(txns: list[Txn]) -> Iterator[Anomaly]:
    """`process` is transactional id/instance; instances count up, and each begins when its id is its own."""
    first: dict[tuple[str, int], Txn] = {}
    for txn in txns:
        name, _, instance = txn.process.partition("/")
        key = name, int(instance or 0)
        if key not in first or txn.start < first[key].start:
            first[key] = txn
    for txn in txns:
        name, _, instance = txn.process.partition("/")
        for (other, later), begun in first.items():
            if (
                txn.result == OK
                and txn.asked >= 0
                and other == name
                and later > int(instance or 0)
                and begun.start < txn.asked
            ):
                text = f"{txn.process} committed; {begun.process} had begun"
                yield Anomaly("zombie commit", -1, text, [begun, txn])


def _once(history: History, txns: list[Txn], committed: Reads) -> Iterator[Anomaly]:
    by_value = {each.value: txn for txn in txns for each in txn.outputs}
    outputs: dict[tuple[int, int], list[str]] = defaultdict(list)
    for value in committed.there:
        place = input_of(value)
        if place is not None:
            outputs[place].append(value)
    at: dict[int, tuple[int, Op]] = {}
    for op in sorted(history, key=lambda op: op.end):
        if isinstance(op, Committed) and op.process.startswith("final"):
            at.update({partition: (offset, op) for partition, offset in op.offsets.items()})
    for place, values in outputs.items():
        if len(values) > 1:
            text = f"of {place[1]} are made {' and '.join(values)}"
            yield Anomaly("duplicate output", place[0], text, [by_value[each] for each in values if each in by_value])
        if place[0] in at and place[1] >= at[place[0]][0]:
            text = f"{values[0]} is there, the group is at {at[place[0]][0]}"
            evidence: list[Op] = [at[place[0]][1], *(by_value[each] for each in values if each in by_value)]
            yield Anomaly("early output", place[0], text, evidence)
    for (partition, offset), value in committed.final.items():
        if partition in at and offset < at[partition][0] and (partition, offset) not in outputs:
            takers = [txn for txn in txns if any(each[:2] == (partition, offset) for each in txn.inputs)]
            text = f"of {value} at {offset} is nothing made; the group is at {at[partition][0]}"
            yield Anomaly("lost output", partition, text, [at[partition][1], *takers])


def _cycles(txns: list[Txn]) -> Iterator[Anomaly]:
    """An edge leads from a transaction to those that read of it, and to the next one of its process."""
    wrote = {each.value: nth for nth, txn in enumerate(txns) for each in txn.outputs}
    edges: list[set[int]] = [set() for _ in txns]
    last: dict[str, int] = {}
    for nth in sorted(range(len(txns)), key=lambda nth: txns[nth].start):
        txn = txns[nth]
        for record in txn.inputs:
            if record.value in wrote:
                edges[wrote[record.value]].add(nth)
        if txn.process in last:
            edges[last[txn.process]].add(nth)
        last[txn.process] = nth
    state = [0] * len(txns)
    for root in range(len(txns)):
        if state[root]:
            continue
        path: list[int] = []
        stack = [(root, iter(sorted(edges[root])))]
        state[root] = 1
        path.append(root)
        while stack:
            for after in stack[-1][1]:
                if state[after] == 1:
                    ring = path[path.index(after) :]
                    yield Anomaly("cycle", -1, f"{len(ring)} transactions", [txns[each] for each in ring])
                elif not state[after]:
                    state[after] = 1
                    path.append(after)
                    stack.append((after, iter(sorted(edges[after]))))
                    break
            else:
                state[path.pop()] = 2
                stack.pop()


def _ended(history: History) -> Iterator[Anomaly]:
    """What readers of committed records may see ends where the log ends. The ends are those of the final reads."""
    finals = [op for op in history if isinstance(op, Final)]
    stables = {(op.partition, op.process): op for op in finals if is_committed_read(op)}
    for op in finals:
        if not is_committed_read(op):
            stable = stables.get((op.partition, op.process.removeprefix("u")))
            if stable is not None and stable.high_watermark < op.high_watermark:
                text = f"it ends at {op.high_watermark}, and is stable up to {stable.high_watermark}"
                yield Anomaly("open for ever", op.partition, text, [op, stable])


def _offsets(history: History, txns: list[Txn]) -> Iterator[Anomaly]:
    """They go up only, as those that are committed without a transaction."""
    ops: list[Op] = [op for op in history if isinstance(op, Committed)]
    ops += [
        Commit(txn.process, txn.start, txn.end, txn.group, txn.offsets, txn.result)
        for txn in txns
        if txn.group and txn.result == OK
    ]
    for anomaly in groups.check(Logs(ops)):
        if anomaly.kind == "commit went back":
            yield anomaly


def _sent(history: History, committed: Reads) -> Iterator[Anomaly]:
    """What was acknowledged outside of transactions is there."""
    if not committed.whole:
        return
    for op in history:
        if isinstance(op, Send) and op.result == OK and committed.final.get((op.partition, op.offset)) != op.value:
            yield Anomaly("lost write", op.partition, f"{op.value} at {op.offset}", [op])
