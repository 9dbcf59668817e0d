"""All checks of a history, and what is said about them."""

from __future__ import annotations

from collections import Counter

from .anomaly import KINDS, Anomaly
from .checks import groups, order, polls, realtime, writes
from .history import History
from .log import Logs

CHECKS = (writes.check, order.check, polls.check, groups.check, realtime.check)


def check(history: History) -> list[Anomaly]:
    """Every anomaly, those of one kind together."""
    logs = Logs(history)
    found = [anomaly for each in CHECKS for anomaly in each(logs)]
    names = list(KINDS)
    return sorted(found, key=lambda anomaly: (names.index(anomaly.kind), anomaly.partition))


def report(anomalies: list[Anomaly], each_max: int = 5) -> str:
    """The first few of each kind with their evidence."""
    if not anomalies:
        return "no anomaly"
    counts = Counter(anomaly.kind for anomaly in anomalies)
    lines = []
    for kind, count in counts.items():
        lines.append(f"{kind} ({KINDS[kind]}): {count}")
        first = [anomaly for anomaly in anomalies if anomaly.kind == kind][:each_max]
        lines += [f"  {line}" for anomaly in first for line in str(anomaly).splitlines()]
    return "\n".join(lines)
