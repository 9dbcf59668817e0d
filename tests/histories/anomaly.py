"""Something that must not be, with the operations that show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .history import Op, story


@dataclass(slots=True)
class Anomaly:
    """`kind` is one of `KINDS`, or of `TRANSACTIONAL`."""

    kind: str
    partition: int
    text: str
    evidence: list[Op] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{self.kind}, partition {self.partition}: {self.text}"]
        return "\n".join([*lines, *(f"    {story(op)}" for op in self.evidence)])


KINDS: dict[str, str] = {
    "lost write": "acknowledged, and not there although later offsets were read",
    "unseen": "acknowledged, and beyond all that was read at the end",
    "refused write": "refused for sure, and there",
    "never sent": "read, and nobody sent it",
    "wrong partition": "sent to one partition, read in another",
    "duplicate": "one record at two offsets",
    "inconsistent offset": "two records at one offset",
    "hole": "an offset below the end at which nothing was read at the end",
    "producer order": "records of one producer in another order than it sent them",
    "real-time order": "a record sent after another was acknowledged has the lower offset",
    "poll skip": "a consumer was given a record and not the one before it",
    "nonmonotonic poll": "a consumer was given a record at or below the one before it",
    "group skip": "a group committed beyond a record that no member was given",
    "commit went back": "a group's offset is lower than one that was acknowledged before",
    "stale read": "a request that began after an acknowledgement was answered as if it had not been",
    "end went back": "an end that is lower than one that was seen before",
    "leader epoch": "two epochs for one record, or an epoch lower than that of an earlier offset",
}
"""Every anomaly by its name."""

TRANSACTIONAL: dict[str, str] = {
    "aborted read": "a record of a transaction that was not committed, given to a reader of committed records",
    "pre-committed read": "a record given to a reader of committed records before anybody asked to commit it",
    "lost transaction": "acknowledged as committed, and nothing of it is there",
    "torn transaction": "one part of a transaction is there, another is not",
    "lost output": "the group went beyond an input whose output is not there",
    "duplicate output": "one input has several outputs",
    "early output": "an output is there, and the group did not go beyond its input",
    "zombie commit": "a producer committed after another one with its transactional id had begun",
    "cycle": "transactions that read of one another in a ring",
    "open for ever": "a transaction that nobody ends any more",
}
"""Of transactions."""
