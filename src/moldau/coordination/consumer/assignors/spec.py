"""What an assignor of consumer groups is given, and what it answers. A package may bring its own (`moldau.coordination.assignors`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from moldau.coordination.consumer.events import Partitions


class MemberSpec(NamedTuple):
    """A member as an assignor sees it: `topics` are ids of topics that there are, `current` is its target so far, which may name topics and
    partitions that it does not subscribe to or that are gone.
    """

    member_id: str
    instance_id: str | None
    rack_id: str | None
    topics: frozenset[bytes]
    current: Partitions


class AssignmentSpec(NamedTuple):
    """`members` are in the order in which they will be heard of next, and can be told something: an assignor that has a choice does well to let the first
    of them give up and take. `topics`: how many partitions each subscribed topic has. `racks`: where each partition is, (topic id, partition) to racks; empty unless
    the assignor has `uses_racks`.
    """

    members: list[MemberSpec]
    topics: dict[bytes, int]
    racks: Mapping[tuple[bytes, int], frozenset[str]] = {}

    @property
    def size(self) -> int:
        """What the work grows with."""
        return len(self.members) + sum(self.topics.values())


class Assignor(Protocol):
    """Pure, and fast: it may run in a thread, for a snapshot of the group. What it raises is logged, and the group keeps what it has."""

    name: str
    """Members ask for it by this name (`group.remote.assignor`)."""
    uses_racks: bool

    def assign(self, spec: AssignmentSpec) -> dict[str, Partitions]:
        """Member id to its partitions. Each partition of `spec.topics` that somebody subscribes to goes to exactly one of these."""
        ...


def packed(partitions: Mapping[bytes, list[int]]) -> Partitions:
    """An answer of lists as one of sets."""
    return {topic_id: frozenset(each) for topic_id, each in partitions.items() if each}
