"""What was acknowledged is there, once, where it was said to be; what was refused is not."""

from __future__ import annotations

from collections.abc import Iterator

from ..anomaly import Anomaly
from ..history import FAILED, OK
from ..log import Logs, PartitionLog


def check(logs: Logs) -> Iterator[Anomaly]:
    sent = {send.value: log.partition for log in logs for send in log.sends}
    for log in logs:
        yield from _missing(log)
        yield from _offsets(log)
        yield from _holes(log)
        for value in log.read:
            if sent.get(value) != log.partition:
                known = value in sent
                text = f"{value} was sent to partition {sent[value]}" if known else f"nobody sent {value!r}"
                kind = "wrong partition" if known else "never sent"
                yield Anomaly(kind, log.partition, text, list(log.where[value].values()))


def _missing(log: PartitionLog) -> Iterator[Anomaly]:
    final = set() if log.final is None else {seen.value for seen in log.final.records}
    for send in log.sends:
        if send.result == FAILED and send.value in log.read:
            yield Anomaly("refused write", log.partition, send.value, [send, *log.where[send.value].values()])
        if send.result != OK:
            continue
        if log.final is not None:
            gone, beyond = send.value not in final, send.offset > _last(log)
        else:
            gone, beyond = send.value not in log.read, send.offset > log.read_to
        if gone:
            text = f"{send.value} at {send.offset}; read to {log.read_to}"
            evidence = [send, *(op for offset, op in log.where[send.value].items() if op is not send)]
            yield Anomaly("unseen" if beyond else "lost write", log.partition, text, evidence)


def _last(log: PartitionLog) -> int:
    assert log.final is not None
    return log.final.records[-1].offset if log.final.records else -1


def _offsets(log: PartitionLog) -> Iterator[Anomaly]:
    for offset, values in log.at.items():
        if len(values) > 1:
            text = f"at {offset} are {' and '.join(values)}"
            yield Anomaly("inconsistent offset", log.partition, text, list(values.values()))
    may_repeat = {send.value for send in log.sends if send.repeats}
    for value, offsets in log.where.items():
        if len(offsets) > 1 and value not in may_repeat:
            text = f"{value} is at {' and at '.join(map(str, offsets))}"
            yield Anomaly("duplicate", log.partition, text, list(offsets.values()))


def _holes(log: PartitionLog) -> Iterator[Anomaly]:
    """The topics of a run have no transactions, no compaction and no retention: offsets are contiguous."""
    if log.final is None:
        return
    there = {seen.offset for seen in log.final.records}
    holes = sorted(set(range(log.final.high_watermark)) - there)
    if holes:
        text = f"{len(holes)} of {log.final.high_watermark}: {holes[:10]}"
        evidence = [op for hole in holes[:3] for op in log.at.get(hole, {}).values()]
        yield Anomaly("hole", log.partition, text, [log.final, *evidence])
