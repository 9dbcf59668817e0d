"""All checks of a history, and what is said about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from .anomaly import KINDS, TRANSACTIONAL, Anomaly
from .checks import groups, order, polls, realtime, transactions, writes
from .history import OK, Final, History, Send, Txn
from .log import Logs

MEANINGS = {**TRANSACTIONAL, **KINDS}
CHECKS = (writes.check, order.check, polls.check, groups.check, realtime.check)


def placed(history: History) -> History:
    """Where a producer was told that a record is there and not where (librdkafka does, of a batch that it had to send again), its place is the first one that a
    last read found it at. One that is nowhere stays at -1, and is lost.
    """
    if not any(isinstance(op, Send) and op.result == OK and op.offset < 0 for op in history):
        return history
    places: dict[tuple[int, str], int] = {}
    for op in history:
        if isinstance(op, Final):
            for seen in op.records:
                places.setdefault((seen.partition, seen.value), seen.offset)
    return [
        replace(op, offset=places.get((op.partition, op.value), -1))
        if isinstance(op, Send) and op.result == OK and op.offset < 0
        else op
        for op in history
    ]


def check(history: History) -> list[Anomaly]:
    """Every anomaly, those of one kind together. A history with transactions has rules of its own."""
    history = placed(history)
    if any(isinstance(op, Txn) for op in history):
        found = list(transactions.check(history))
    else:
        logs = Logs(history)
        found = [anomaly for each in CHECKS for anomaly in each(logs)]
    names = list(MEANINGS)
    return sorted(found, key=lambda anomaly: (names.index(anomaly.kind), anomaly.partition))


def report(anomalies: list[Anomaly], each_max: int = 5) -> str:
    """The first few of each kind with their evidence."""
    if not anomalies:
        return "no anomaly"
    counts = Counter(anomaly.kind for anomaly in anomalies)
    lines = []
    for kind, count in counts.items():
        lines.append(f"{kind} ({MEANINGS[kind]}): {count}")
        first = [anomaly for anomaly in anomalies if anomaly.kind == kind][:each_max]
        lines += [f"  {line}" for anomaly in first for line in str(anomaly).splitlines()]
    return "\n".join(lines)
