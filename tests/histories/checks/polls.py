"""A consumer is given every record, in order, within a poll ("internal") and from one poll to the next ("external")."""

from __future__ import annotations

from collections.abc import Iterator

from ..anomaly import Anomaly
from ..history import Assign, Final, Look, Op, Poll, Seen
from ..log import Logs, seen_by


class _Position:
    """Where a process is in one partition: the offset of the last record it was given, or the one before its first."""

    __slots__ = ("at", "op")

    def __init__(self, at: int, op: Op) -> None:
        self.at = at
        self.op = op


def check(logs: Logs) -> Iterator[Anomaly]:
    positions: dict[str, dict[int, _Position]] = {}
    for op in sorted(logs.history, key=lambda op: op.start):
        if isinstance(op, Assign):
            positions[op.process] = {p: _Position(at - 1, op) for p, at in op.positions.items() if at >= 0}
        elif isinstance(op, Poll):
            mine = positions.setdefault(op.process, {})
            for seen in op.records:
                yield from _step(logs, mine, seen, op)
        elif isinstance(op, Look | Final):
            # one answer, read from `offset` on
            start = op.offset if isinstance(op, Look) else 0
            alone = {op.partition: _Position(start - 1, op)}
            for seen in seen_by(op):
                yield from _step(logs, alone, seen, op)


def _step(logs: Logs, positions: dict[int, _Position], seen: Seen, op: Op) -> Iterator[Anomaly]:
    before = positions.get(seen.partition)
    positions[seen.partition] = _Position(seen.offset, op)
    if before is None:
        return
    how = "internal" if before.op is op else "external"
    evidence = [op] if before.op is op else [before.op, op]
    if seen.offset <= before.at:
        text = f"{how}: {op.process} was given {seen.offset} after {before.at}"
        yield Anomaly("nonmonotonic poll", seen.partition, text, evidence)
        return
    log = logs.of(seen.partition)
    skipped = log.between(before.at, seen.offset)
    if skipped:
        text = f"{how}: {op.process} was given {seen.offset} after {before.at}, and not {skipped[:10]}"
        missed = next(iter(log.at[skipped[0]].values()))
        yield Anomaly("poll skip", seen.partition, text, [*evidence, missed])
