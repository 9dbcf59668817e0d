"""A run in a table."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

from .history import OK, Commit, Committed, Final, History, Look, Note, Poll, Send, Txn
from .log import Logs, seen_by


def table(history: History) -> str:
    """Operations by kind and result, and for each partition how long anybody waited."""
    sends = [op for op in history if isinstance(op, Send)]
    results = Counter(send.result for send in sends)
    lines = [
        f"sends {len(sends)}: " + ", ".join(f"{count} {result}" for result, count in sorted(results.items())),
        f"polls {_count(history, Poll)}, looks {_count(history, Look)}, "
        f"commits {_count(history, Commit)} ({sum(isinstance(op, Commit) and op.result == OK for op in history)} ok), "
        f"committed offsets asked {_count(history, Committed)}, final reads {_count(history, Final)}",
    ]
    txns = [op for op in history if isinstance(op, Txn)]
    if txns:
        ends = Counter(op.result if op.asked >= 0 or op.result != "failed" else "aborted" for op in txns)
        lines.append(
            f"transactions {len(txns)}: " + ", ".join(f"{count} {result}" for result, count in sorted(ends.items()))
        )
        said = Counter(op.error for op in txns if op.error)
        if said:
            lines.append(
                "errors of transactions: " + ", ".join(f"{count} {name}" for name, count in said.most_common())
            )
    errors = Counter(send.error for send in sends if send.error)
    if errors:
        lines.append("errors of sends: " + ", ".join(f"{count} {name}" for name, count in errors.most_common()))
    may_repeat = {send.value for send in sends if send.repeats}
    repeated = sum(len(at) > 1 for log in Logs(history) for value, at in log.where.items() if value in may_repeat)
    if repeated:
        lines.append(f"written twice by producers that may: {repeated}")
    notes = [op for op in history if isinstance(op, Note) and op.process == "faults"]
    faults = Counter(
        note.text.split(" ")[0] for note in notes if "is over" not in note.text and "all is" not in note.text
    )
    lines.append("faults: " + (", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())) or "none"))
    lines.append("partition  records  no ack for  slowest ack  nothing new read for  slowest ack to read")
    lines += _partitions(history, sends)
    return "\n".join(lines)


def _count(history: History, kind: type) -> int:
    return sum(isinstance(op, kind) for op in history)


def _partitions(history: History, sends: list[Send]) -> list[str]:
    first_read: dict[tuple[int, int], float] = {}
    for op in history:
        if not isinstance(op, Poll):
            continue
        for seen in seen_by(op):
            key = seen.partition, seen.offset
            first_read[key] = min(op.end, first_read.get(key, op.end))
    read_at: dict[int, list[float]] = defaultdict(list)
    for (partition, _), at in first_read.items():
        read_at[partition].append(at)
    lines = []
    for partition in sorted({send.partition for send in sends}):
        acked = [send for send in sends if send.partition == partition and send.result == OK]
        late = [first_read.get((partition, send.offset), send.end) - send.end for send in acked]
        cells = (
            _gap([send.end for send in acked]),
            max((send.end - send.start for send in acked), default=0.0),
            _gap(read_at[partition]),
            max(late, default=0.0),
        )
        lines.append(
            f"{partition:9}  {len(acked):7}  {cells[0]:8.2f} s  {cells[1]:9.2f} s  {cells[2]:18.2f} s  {cells[3]:17.2f} s"
        )
    return lines


def _gap(times: list[float]) -> float:
    """The longest time between two neighbours."""
    return max((after - before for before, after in pairwise(sorted(times))), default=0.0)
