"""A request that began after an acknowledgement, or after an end was seen, knows of it, whichever broker is asked.

A fetch that gave records is free to know of no later ones: whoever reads on asks again. Its end is only a hint then, as a follower's is in Kafka.
A fetch at the end that gave nothing may be late by `LATE_SECONDS`: brokers tell each other of new ends, and look for themselves once a second; that is
latency, and nothing is skipped. One that was cut from its store, or its peers, or slept, may be as late as that lasted. For ListOffsets there is no such time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

from ..anomaly import Anomaly
from ..history import OK, Final, History, Look, Note, Op
from ..log import Logs

LATE_SECONDS = 2.0


def check(logs: Logs) -> Iterator[Anomaly]:
    hard = _hard_times(logs.history)
    looks: dict[int, list[Look | Final]] = defaultdict(list)
    for op in logs.history:
        if isinstance(op, Look | Final):
            looks[op.partition].append(op)
    for log in logs:
        mine = looks[log.partition]
        ends = [(op.end, op.high_watermark, op) for op in mine]
        bound = [(_knows(op), op) for op in mine if isinstance(op, Final) or not (op.records or _excused(op, hard))]
        acknowledged = [(send.end, send.offset + 1, send) for send in log.sends if send.result == OK]
        yield from _floor("stale read", log.partition, bound, acknowledged)
        yield from _floor("end went back", log.partition, bound, ends)


def _hard_times(history: History) -> dict[str, list[tuple[float, float]]]:
    """By broker ("" is all of them): when a fault held, and a while after. The notes are those of `histories.faults`."""
    begun: dict[str, float] = {}
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for op in sorted((op for op in history if isinstance(op, Note)), key=lambda op: op.start):
        what = op.text.removesuffix(" is over")
        if what == op.text:
            begun.setdefault(what, op.start)
        elif what in begun:
            found[what.partition(" broker ")[2]].append((begun.pop(what), op.end + LATE_SECONDS))
    for what, start in begun.items():
        found[what.partition(" broker ")[2]].append((start, float("inf")))
    return found


def _excused(look: Look, hard: dict[str, list[tuple[float, float]]]) -> bool:
    if look.offset < 0:
        return False
    times = [*hard.get("", ()), *hard.get(str(look.node), ())]
    return any(start < look.end and look.start - LATE_SECONDS < end for start, end in times)


def _knows(op: Look | Final) -> float:
    """What was known before that time, it must know."""
    return op.start - LATE_SECONDS if isinstance(op, Look) and op.offset >= 0 else op.start


def _floor(
    kind: str, partition: int, looks: Sequence[tuple[float, Look | Final]], known: Sequence[tuple[float, int, Op]]
) -> Iterator[Anomaly]:
    """Each look's end is at least what was known to somebody by then."""
    waiting: list[tuple[float, int, int, Op]] = []
    for number, (end, offset, op) in enumerate(known):
        heappush(waiting, (end, number, offset, op))
    floor, by = 0, None
    for start, look in sorted(looks, key=lambda each: each[0]):
        while waiting and waiting[0][0] < start:
            _, _, offset, op = heappop(waiting)
            if offset > floor:
                floor, by = offset, op
        if by is not None and look.high_watermark < floor:
            text = f"{look.process} saw the end at {look.high_watermark}; it was at {floor} at least before it asked"
            yield Anomaly(kind, partition, text, [by, look])
