"""The logs as a history shows them: for each partition what is at each offset, by everybody who saw or was told."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator

from .history import OK, Final, History, Look, Op, Poll, Seen, Send


class PartitionLog:
    """Offset to the values said to be there, each with the first operation that said so; and the other way round."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.at: dict[int, dict[str, Op]] = defaultdict(dict)
        self.where: dict[str, dict[int, Op]] = defaultdict(dict)
        self.sends: list[Send] = []
        self.read: set[str] = set()
        """Values that somebody read (not only was told of)."""
        self.read_to = -1
        """The last offset that somebody read."""
        self.final: Final | None = None
        self._known: list[int] | None = None

    def tell(self, offset: int, value: str, op: Op) -> None:
        self.at[offset].setdefault(value, op)
        self.where[value].setdefault(offset, op)

    @property
    def known(self) -> list[int]:
        """Every offset that has a record, in order. Complete once all operations were told."""
        if self._known is None:
            self._known = sorted(self.at)
        return self._known

    def between(self, after: int, before: int) -> list[int]:
        """The known offsets in the open interval."""
        return self.known[bisect_right(self.known, after) : bisect_left(self.known, before)]


class Logs:
    """All partitions of a history, and its operations by kind."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.partitions: dict[int, PartitionLog] = {}
        for op in history:
            if isinstance(op, Send):
                log = self.of(op.partition)
                log.sends.append(op)
                if op.result == OK:
                    log.tell(op.offset, op.value, op)
            elif isinstance(op, Final):
                self.of(op.partition).final = op
            for seen in seen_by(op):
                log = self.of(seen.partition)
                log.tell(seen.offset, seen.value, op)
                log.read.add(seen.value)
                log.read_to = max(log.read_to, seen.offset)

    def of(self, partition: int) -> PartitionLog:
        log = self.partitions.get(partition)
        if log is None:
            log = self.partitions[partition] = PartitionLog(partition)
        return log

    def __iter__(self) -> Iterator[PartitionLog]:
        return iter(self.partitions[partition] for partition in sorted(self.partitions))


def seen_by(op: Op) -> list[Seen]:
    """The records that it read."""
    return op.records if isinstance(op, Poll | Look | Final) else []
