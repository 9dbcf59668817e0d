"""What clients did and what they were told: one value for each operation, and the file that keeps them, one JSON object a line.

Times are seconds since the run began. `process` is who did it; one process does one thing after the other, but for a producer, whose sends overlap. Offsets
of a `Commit` are Kafka's: the next one to read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

OK = "ok"
FAILED = "failed"
"""It was refused, and must not be in the log."""
UNKNOWN = "unknown"
"""It may be in the log, or not."""


class Seen(NamedTuple):
    """One record as somebody read it."""

    partition: int
    offset: int
    value: str
    leader_epoch: int = -1


@dataclass(slots=True)
class Op:
    """What all operations have."""

    kind: ClassVar[str] = ""
    process: str
    start: float
    end: float


@dataclass(slots=True)
class Send(Op):
    """One record. `number` is its place among the sends of its process.

    `repeats`: the producer may write it twice, and out of order. `fenced`: without an answer it cannot come later than the next one of the process.
    """

    kind: ClassVar[str] = "send"
    partition: int
    value: str
    number: int
    result: str
    offset: int = -1
    error: str = ""
    repeats: bool = False
    fenced: bool = False


@dataclass(slots=True)
class Poll(Op):
    """What a consumer was given, in the order in which it was given."""

    kind: ClassVar[str] = "poll"
    records: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [Seen(*record) for record in self.records]


@dataclass(slots=True)
class Assign(Op):
    """From now on the process reads these partitions, each from that offset (-1: from where its group, or a policy, says)."""

    kind: ClassVar[str] = "assign"
    positions: dict[int, int] = field(default_factory=dict)
    why: str = "assign"

    def __post_init__(self) -> None:
        self.positions = _ints(self.positions)


@dataclass(slots=True)
class Commit(Op):
    """A group's offsets were to be stored."""

    kind: ClassVar[str] = "commit"
    group: str = ""
    offsets: dict[int, int] = field(default_factory=dict)
    result: str = OK
    error: str = ""

    def __post_init__(self) -> None:
        self.offsets = _ints(self.offsets)


@dataclass(slots=True)
class Committed(Op):
    """A group's offsets were asked for; those it has (a partition without one is left out)."""

    kind: ClassVar[str] = "committed"
    group: str = ""
    partitions: list[int] = field(default_factory=list)
    offsets: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.offsets = _ints(self.offsets)


@dataclass(slots=True)
class Txn(Op):
    """One transaction. `outputs` are what was to be written (an offset is known only where it was told, else -1), `inputs` what was read and is committed with it
    as `offsets` of `group`. `asked` is when its commit was asked for first (-1: never). `result`: OK: committed; FAILED: surely not; UNKNOWN.
    """

    kind: ClassVar[str] = "txn"
    number: int = 0
    outputs: list[Seen] = field(default_factory=list)
    inputs: list[Seen] = field(default_factory=list)
    group: str = ""
    offsets: dict[int, int] = field(default_factory=dict)
    asked: float = -1
    result: str = OK
    error: str = ""

    def __post_init__(self) -> None:
        self.outputs = [Seen(*record) for record in self.outputs]
        self.inputs = [Seen(*record) for record in self.inputs]
        self.offsets = _ints(self.offsets)


@dataclass(slots=True)
class Look(Op):
    """A request of its own to one broker, whoever leads: where the partition ends there, and what one fetch at `offset` gave."""

    kind: ClassVar[str] = "look"
    node: int = 0
    partition: int = 0
    high_watermark: int = -1
    offset: int = -1
    records: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [Seen(*record) for record in self.records]


@dataclass(slots=True)
class Final(Op):
    """Everything in a partition, read by somebody new after all was mended and quiet."""

    kind: ClassVar[str] = "final"
    partition: int = 0
    high_watermark: int = -1
    records: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.records = [Seen(*record) for record in self.records]


@dataclass(slots=True)
class Note(Op):
    """What was broken or mended, or is worth knowing to a reader."""

    kind: ClassVar[str] = "note"
    text: str = ""


KINDS: dict[str, type[Op]] = {
    each.kind: each for each in (Send, Poll, Assign, Commit, Committed, Txn, Look, Final, Note)
}
History = list[Op]


def write(path: Path, history: Iterable[Op]) -> None:
    """As JSON lines."""
    with path.open("w") as out:
        for op in history:
            out.write(json.dumps({"kind": op.kind, **asdict(op)}, separators=(",", ":")) + "\n")


def read(path: Path) -> History:
    """Raises ValueError with the line that is none of ours."""
    return list(_lines(path))


def _lines(path: Path) -> Iterator[Op]:
    with path.open() as lines:
        for number, line in enumerate(lines, 1):
            try:
                fields = json.loads(line)
                yield KINDS[fields.pop("kind")](**fields)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}:{number} is no operation ({error}): {line[:200]}") from error


def _ints(given: dict[Any, int]) -> dict[int, int]:
    """JSON has only strings as keys."""
    return {int(key): value for key, value in given.items()}


def story(op: Op) -> str:
    """One line about it, for people."""
    when = f"{op.start:9.3f} - {op.end:9.3f}  {op.process:<10} {op.kind}"
    match op:
        case Send():
            said = {OK: f"acknowledged at {op.offset}"}.get(op.result, f"{op.result} {op.error}")
            return f"{when} {op.value} to partition {op.partition}: {said}"
        case Poll() | Final():
            return f"{when} {_ranges(op.records)}"
        case Look():
            return f"{when} of broker {op.node}, partition {op.partition}: ends at {op.high_watermark}; from {op.offset}: {_ranges(op.records)}"
        case Assign():
            return f"{when} ({op.why}) {op.positions}"
        case Commit():
            return f"{when} of {op.group}: {op.offsets} {op.result} {op.error}".rstrip()
        case Txn():
            ending = "never asked to commit" if op.asked < 0 else f"commit asked at {op.asked:.3f}"
            return f"{when} {op.number}: {_ranges(op.inputs)} -> {[each.value for each in op.outputs][:4]}, {ending}: {op.result} {op.error}".rstrip()
        case Committed():
            return f"{when} of {op.group}: {op.offsets}"
        case Note():
            return f"{when} {op.text}"
    return when


def _ranges(records: list[Seen]) -> str:
    """0: 17-25, 3: 4."""
    parts: list[list[int]] = []
    for record in records:
        if parts and parts[-1][0] == record.partition and parts[-1][2] + 1 == record.offset:
            parts[-1][2] = record.offset
        else:
            parts.append([record.partition, record.offset, record.offset])
    return ", ".join(f"{p}: {a}-{b}" if b > a else f"{p}: {a}" for p, a, b in parts) or "nothing"
