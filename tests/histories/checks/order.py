"""Offsets keep the order of a producer, and of time; leader epochs follow offsets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import pairwise

from ..anomaly import Anomaly
from ..history import OK, Op, Send
from ..log import Logs, PartitionLog, seen_by


def check(logs: Logs) -> Iterator[Anomaly]:
    for log in logs:
        yield from _of_producers(log)
        yield from _of_time(log)
    yield from _epochs(logs)


def _of_producers(log: PartitionLog) -> Iterator[Anomaly]:
    """By the lowest place of each value, be it acknowledged or only read. What was not answered may come at any time, unless it is fenced."""
    sends: dict[str, list[Send]] = defaultdict(list)
    for send in log.sends:
        if not send.repeats and (send.fenced or send.result == OK) and send.value in log.where:
            sends[send.process].append(send)
    for process, mine in sends.items():
        mine.sort(key=lambda send: send.number)
        for before, after in pairwise(mine):
            first, second = min(log.where[before.value]), min(log.where[after.value])
            if second < first:
                text = f"{process} sent {before.value}, then {after.value}; they are at {first} and {second}"
                yield Anomaly("producer order", log.partition, text, [before, after])


def _of_time(log: PartitionLog) -> Iterator[Anomaly]:
    """Sweep over the sends by their starts, with the highest offset acknowledged so far."""
    acknowledged = sorted((send for send in log.sends if send.result == OK), key=lambda send: send.start)
    ending: list[tuple[float, int, Send]] = []
    highest: Send | None = None
    for number, send in enumerate(acknowledged):
        while ending and ending[0][0] < send.start:
            ended = heappop(ending)[2]
            if highest is None or ended.offset > highest.offset:
                highest = ended
        if highest is not None and highest.offset > send.offset and not send.repeats:
            text = f"{send.value} is at {send.offset}, below {highest.value} at {highest.offset}, which was acknowledged before it was sent"
            yield Anomaly("real-time order", log.partition, text, [highest, send])
        heappush(ending, (send.end, number, send))


def _epochs(logs: Logs) -> Iterator[Anomaly]:
    said: dict[int, dict[int, tuple[int, Op]]] = defaultdict(dict)
    for op in logs.history:
        for seen in seen_by(op):
            if seen.leader_epoch < 0:
                continue
            epoch, by = said[seen.partition].setdefault(seen.offset, (seen.leader_epoch, op))
            if epoch != seen.leader_epoch:
                text = f"the record at {seen.offset} has epoch {epoch}, and epoch {seen.leader_epoch}"
                yield Anomaly("leader epoch", seen.partition, text, [by, op])
    for partition, offsets in said.items():
        for before, after in pairwise(sorted(offsets)):
            if offsets[after][0] < offsets[before][0]:
                text = f"epoch {offsets[before][0]} at {before}, and epoch {offsets[after][0]} at {after}"
                yield Anomaly("leader epoch", partition, text, [offsets[before][1], offsets[after][1]])
