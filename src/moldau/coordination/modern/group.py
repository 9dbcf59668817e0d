"""What groups of the three modern types have in common: members with epochs and deadlines, and the epochs of the group.

Theory of operation (KIP-848). The *group epoch* rises with everything that asks for another assignment: members come, go or subscribe to
something else, topics come, go or grow. The *assignment epoch* is the group epoch that the target assignment was made for; it follows when
the coordinator has computed one. Each member then goes, heartbeat by heartbeat, from what it has to its target; its *member epoch* is the
assignment epoch that it has come to. Nothing waits for anybody: there is no moment at which all members stop.

    members none                        Empty
    group epoch > assignment epoch      Assigning
    a member is not at its target       Reconciling
    else                                Stable
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from moldau.coordination.decision import NEVER
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord

from .member import ModernMember

EMPTY = "Empty"
ASSIGNING = "Assigning"
RECONCILING = "Reconciling"
STABLE = "Stable"
DEAD = "Dead"

STORY_LENGTH = 32
RETRY_MS = 1_000
"""How soon what could not be written because of a tick is tried again."""
FIRST_EPOCH = 1
"""The group epoch and the assignment epoch before anybody has joined, as in Kafka: the first member comes to epoch 2."""

M = TypeVar("M", bound=ModernMember)


class ModernGroup(Generic[M]):
    """A subclass says how records are read (`apply`), and when a member is at its target (`is_settled`).

    What is stored changes in `apply` alone. Handlers may change what lives in memory: deadlines, and `computing`.
    """

    __slots__ = (
        "around",
        "assign_deadline",
        "assigned_at",
        "assignment_epoch",
        "computing",
        "group_epoch",
        "group_id",
        "members",
        "metadata_hash",
        "persisted",
        "static_members",
        "story",
        "topics_version",
        "wake_at",
    )

    def __init__(self, group_id: str, around: Surroundings, now: int) -> None:
        self.group_id = group_id
        self.around = around
        self.members: dict[str, M] = {}
        self.static_members: dict[str, str] = {}
        """Instance id to member id."""
        self.group_epoch = FIRST_EPOCH
        self.assignment_epoch = FIRST_EPOCH
        self.assigned_at = -1
        """When the assignment epoch last rose, in the coordinator's time; -1: never, or before the group came here."""
        self.metadata_hash = b""
        """Of the topics that members subscribe to, as they were when the group epoch last rose for them."""
        self.topics_version = -1
        """Of the topic image that `metadata_hash` was last held against."""
        self.computing = -1
        """The group epoch that a thread computes an assignment for, or -1."""
        self.assign_deadline = NEVER
        """When an assignment that was put off is due."""
        self.wake_at = NEVER
        """No deadline is earlier; it may be too early, never too late."""
        self.persisted = False
        self.story: deque[tuple[int, str, str, str]] = deque(maxlen=STORY_LENGTH)

    # -- to be said by the type

    def apply(self, record: GroupRecord, now: int) -> None:
        """Take over a durable record."""
        raise NotImplementedError

    def is_settled(self, member: M) -> bool:
        """It has what the target of this assignment epoch gives it."""
        raise NotImplementedError

    def session_timeout_ms(self, member: M) -> int:
        raise NotImplementedError

    def is_subscribed(self, topic_name: str) -> bool:
        raise NotImplementedError

    # -- state

    @property
    def state(self) -> str:
        if not self.members:
            return EMPTY
        if self.group_epoch > self.assignment_epoch:
            return ASSIGNING
        return STABLE if all(map(self.is_settled, self.members.values())) else RECONCILING

    @property
    def is_empty(self) -> bool:
        return not self.members

    @property
    def is_blank(self) -> bool:
        return not self.persisted and not self.members

    def static_member(self, instance_id: str | None) -> M | None:
        member_id = self.static_members.get(instance_id) if instance_id is not None else None
        return None if member_id is None else self.members[member_id]

    # -- members; called by `apply`

    def put(self, member: M, now: int) -> M | None:
        """A member as it is now. One that was here keeps its deadlines, a new one has a session from now on. Returns who it was before."""
        known = self.members.get(member.member_id)
        self.members[member.member_id] = member
        if member.instance_id is not None:
            self.static_members[member.instance_id] = member.member_id
        if known is None:
            self.touch(member, now)
        else:
            member.session_deadline = known.session_deadline
            member.rebalance_deadline = known.rebalance_deadline
        return known

    def drop(self, member_id: str) -> M | None:
        """A member goes. Returns who it was."""
        known = self.members.pop(member_id, None)
        if (
            known is not None
            and known.instance_id is not None
            and self.static_members.get(known.instance_id) == member_id
        ):
            del self.static_members[known.instance_id]
        return known

    # -- deadlines

    def touch(self, member: M, now: int) -> None:
        """The member is alive: its session begins anew."""
        member.session_deadline = deadline = now + self.session_timeout_ms(member)
        if deadline < self.wake_at:
            self.wake_at = deadline

    def arm(self, deadline: int) -> None:
        """Some deadline of the group was set."""
        if deadline < self.wake_at:
            self.wake_at = deadline

    def rearm(self) -> None:
        """Find the earliest deadline exactly."""
        earliest = self.assign_deadline
        for member in self.members.values():
            earliest = min(earliest, member.session_deadline, member.rebalance_deadline)
        self.wake_at = earliest

    def overdue(self, now: int) -> list[tuple[M, str]]:
        """Members whose time is over, and why."""
        found = []
        for member in self.members.values():
            if member.session_deadline <= now:
                found.append((member, "session timed out"))
            elif member.rebalance_deadline <= now:
                found.append((member, "has not given up its partitions in time"))
        return found

    # -- when to assign

    def may_assign_at(self, interval_ms: int) -> int:
        """The earliest time of the next assignment (KIP-1263): so many ms after the last one."""
        return 0 if self.assigned_at < 0 or not interval_ms else self.assigned_at + interval_ms

    def broken(self, what: str) -> BrokenGroup:
        return BrokenGroup(self.group_id, what, self.story)

    def tell(self, now: int, event: str, detail: str) -> None:
        """Add to the story that `BrokenGroup` prints."""
        self.story.append((now, f"{self.group_epoch}/{self.assignment_epoch}", event, detail))

    def __repr__(self) -> str:
        epochs = f"{self.group_epoch}/{self.assignment_epoch}"
        return f"{type(self).__name__}({self.group_id!r}, {self.state}, {epochs}, {len(self.members)} members)"


class BrokenGroup(Exception):
    """A group did what it never may: a defect of ours. The text tells the group's recent story."""

    def __init__(self, group_id: str, what: str, story: Iterable[tuple[int, str, str, Any]]) -> None:
        lines = [f"  {now} epochs {epochs}: {event} {detail}".rstrip() for now, epochs, event, detail in story]
        super().__init__("\n".join([f"group {group_id!r}: {what}; what happened before:", *lines]))
