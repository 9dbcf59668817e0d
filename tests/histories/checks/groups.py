"""A group's offset goes up only, is kept once acknowledged, and passes no record that no member was given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush

from ..anomaly import Anomaly
from ..history import OK, UNKNOWN, Commit, Committed, Op, Poll
from ..log import Logs


def check(logs: Logs) -> Iterator[Anomaly]:
    by_group: dict[str, list[Commit | Committed]] = defaultdict(list)
    for op in logs.history:
        if isinstance(op, Commit | Committed):
            by_group[op.group].append(op)
    for group, ops in by_group.items():
        ops.sort(key=lambda op: op.start)
        for partition in sorted({p for op in ops for p in op.offsets}):
            yield from _back(group, partition, ops)
        yield from _skipped(logs, group, ops)


def _back(group: str, partition: int, ops: list[Commit | Committed]) -> Iterator[Anomaly]:
    """What was acknowledged, or read, before an operation began is a floor for what it says."""
    ending: list[tuple[float, int, int, Op]] = []
    floor, by = -1, ops[0]
    for number, op in enumerate(ops):
        while ending and ending[0][0] < op.start:
            _, _, offset, ended = heappop(ending)
            if offset > floor:
                floor, by = offset, ended  # type: ignore[assignment]
        said = op.offsets.get(partition, -1)
        if isinstance(op, Commit) and (op.result != OK or partition not in op.offsets):
            continue
        if isinstance(op, Committed) and partition not in op.partitions:
            continue
        if said < floor:
            text = f"the group {group} is at {said}, and was at {floor} before"
            yield Anomaly("commit went back", partition, text, [by, op])
        heappush(ending, (op.end, number, said, op))


def _skipped(logs: Logs, group: str, ops: list[Commit | Committed]) -> Iterator[Anomaly]:
    members = {op.process for op in ops if isinstance(op, Commit)}
    given: dict[int, set[int]] = defaultdict(set)
    for op in logs.history:
        if isinstance(op, Poll) and op.process in members:
            for seen in op.records:
                given[seen.partition].add(seen.offset)
    furthest: dict[int, tuple[int, Op]] = {}
    for op in ops:
        if isinstance(op, Commit) and op.result not in (OK, UNKNOWN):
            continue
        for partition, offset in op.offsets.items():
            if offset > furthest.get(partition, (-1, op))[0]:
                furthest[partition] = offset, op
    for partition, (offset, op) in furthest.items():
        missing = [each for each in logs.of(partition).between(-1, offset) if each not in given[partition]]
        if missing:
            text = f"the group {group} committed {offset}; no member was given {missing[:10]}"
            yield Anomaly("group skip", partition, text, [op, next(iter(logs.of(partition).at[missing[0]].values()))])
