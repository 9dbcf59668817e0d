"""A member of a consumer group."""

from __future__ import annotations

from typing import Any, ClassVar

from moldau.coordination.modern.member import ModernMember
from moldau.coordination.value import Value

from .events import Partitions

STABLE = "stable"
"""It has come to the epoch that its `member_epoch` names, with all that the target gave it."""
UNREVOKED = "unrevoked"
"""It was asked to give partitions up and has not yet said that it did."""
UNRELEASED = "unreleased"
"""It waits for partitions that others have not given up yet."""

Assigned = dict[bytes, dict[int, int]]
"""Topic id to partition to the member epoch in which the member got it."""


class ClassicSide(Value):
    """What is known of a member that still speaks the classic protocol: `protocols` as it joined with them."""

    __slots__ = ("protocols", "session_timeout_ms")

    def __init__(self, session_timeout_ms: int, protocols: tuple[tuple[str, bytes], ...]) -> None:
        self.session_timeout_ms = session_timeout_ms
        self.protocols = protocols


class ConsumerMember(ModernMember):
    """`topics` are sorted names; `regex` is RE2, "" or None for none. What it has is `assigned` and `revoking`, what it is to have `target`;
    these are never changed in place.
    """

    __slots__ = (
        "assigned",
        "assignor",
        "classic",
        "regex",
        "revoking",
        "state",
        "target",
        "topics",
    )

    durable: ClassVar[tuple[str, ...]] = (
        *ModernMember.durable,
        "topics",
        "regex",
        "assignor",
        "state",
        "assigned",
        "revoking",
        "target",
        "classic",
    )

    def __init__(
        self,
        member_id: str,
        *,
        topics: tuple[str, ...] = (),
        regex: str | None = None,
        assignor: str | None = None,
        state: str = STABLE,
        assigned: Assigned | None = None,
        revoking: Assigned | None = None,
        target: Partitions | None = None,
        classic: ClassicSide | None = None,
        **common: Any,
    ) -> None:
        super().__init__(member_id, **common)
        self.topics = topics
        self.regex = regex
        self.assignor = assignor
        self.state = state
        self.assigned = assigned or {}
        self.revoking = revoking or {}
        self.target = target or {}
        self.classic = classic


def partitions(assigned: Assigned) -> Partitions:
    """Without the epochs."""
    return {topic_id: frozenset(epochs) for topic_id, epochs in assigned.items()}
