"""The state of one classic group, and the one `apply` that changes what survives a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from moldau.coordination.config import GroupConfig
from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.records import CLASSIC_GROUP, ClassicGroupValue
from moldau.coordination.replies import JoinReply, SyncReply
from moldau.coordination.subscription import PROTOCOL_TYPE, subscribed_topics
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import FENCED_INSTANCE_ID, NONE, UNKNOWN_MEMBER_ID

from .member import ClassicMember
from .states import CAN_REBALANCE, DEAD, EMPTY, PREDECESSORS, STABLE, InvalidTransition

STORY_LENGTH = 32


class ClassicGroup:
    """Members, their protocols, the generation, and every deadline of a group.

    The handlers (join, sync, leave, ...) change what lives in memory only: parked requests, timers, and members and
    generation of a rebalance under way. State Stable and Empty are entered by `apply` alone, once their record is
    durable.
    """

    __slots__ = (
        "awaiting_join",
        "config",
        "generation_id",
        "group_id",
        "initial_delay_ms",
        "initial_remaining_ms",
        "join_deadline",
        "leader_id",
        "members",
        "new_member_added",
        "pending_members",
        "pending_sync",
        "persisted",
        "previous_state",
        "protocol_name",
        "protocol_type",
        "protocols_supported",
        "state",
        "state_timestamp",
        "static_members",
        "story",
        "subscribed_topics",
        "sync_deadline",
        "wake_at",
    )

    type_name = "classic"

    def __init__(self, group_id: str, config: GroupConfig, now: int) -> None:
        self.group_id = group_id
        self.config = config
        self.state = EMPTY
        self.previous_state = DEAD
        self.state_timestamp = now
        self.generation_id = 0
        self.protocol_type: str | None = None
        self.protocol_name: str | None = None
        self.leader_id: str | None = None
        self.members: dict[str, ClassicMember] = {}
        self.static_members: dict[str, str] = {}
        """Instance id to member id."""
        self.pending_members: dict[str, int] = {}
        """Ids handed out with MEMBER_ID_REQUIRED that have not joined yet, and when they lapse."""
        self.pending_sync: set[str] = set()
        """Members of this generation that have not sent SyncGroup yet."""
        self.protocols_supported: dict[str, int] = {}
        """How many members support each protocol."""
        self.awaiting_join = 0
        """How many members have a parked JoinGroup."""
        self.subscribed_topics: frozenset[str] | None = None
        """Of the generation at hand; None when unknown (another protocol type, or metadata that we cannot read)."""
        self.new_member_added = False
        """Somebody joined during this step of the initial rebalance delay."""
        self.initial_delay_ms = 0
        self.initial_remaining_ms = -1
        """How far the initial rebalance may still be put off; -1 in other rebalances."""
        self.join_deadline = NEVER
        self.sync_deadline = NEVER
        self.wake_at = NEVER
        """No deadline is earlier than this one.

        It may be too early (a heartbeat moves its member's deadline, not this), never too late.
        """
        self.persisted = False
        """There is a record of the group in the store."""
        self.story: deque[tuple[int, str, str, str]] = deque(maxlen=STORY_LENGTH)

    # -- members

    def add(self, member: ClassicMember, protocol_type: str) -> None:
        if member.instance_id is not None:
            if member.instance_id in self.static_members:
                raise self.broken(f"instance id {member.instance_id!r} is added twice")
            self.static_members[member.instance_id] = member.member_id
        if not self.members:
            self.protocol_type = protocol_type
        if self.leader_id is None:
            self.leader_id = member.member_id
        self.members[member.member_id] = member
        self._count_protocols(member, 1)
        if member.join_ticket is not None:
            self.awaiting_join += 1
        self.pending_members.pop(member.member_id, None)

    def remove(self, member_id: str, out: Decision) -> None:
        """Forget the member, pending or full.

        Its parked requests are answered UNKNOWN_MEMBER_ID, so that it joins anew if it lives.
        """
        self.pending_members.pop(member_id, None)
        self.pending_sync.discard(member_id)
        member = self.members.pop(member_id, None)
        if member is None:
            return
        self._count_protocols(member, -1)
        if member.instance_id is not None:
            self.static_members.pop(member.instance_id, None)
        self.answer_join(member, JoinReply(UNKNOWN_MEMBER_ID, ""), out)
        self.answer_sync(member, SyncReply(UNKNOWN_MEMBER_ID), out)
        if self.leader_id == member_id:
            self.leader_id = next(iter(self.members), None)

    def replace_static(self, old: ClassicMember, new: ClassicMember, out: Decision) -> None:
        """`new` takes the place (role, leadership, assignment) of `old`, the same instance under an earlier member
        id, which is fenced.
        """
        self.answer_join(old, JoinReply(FENCED_INSTANCE_ID, old.member_id), out)
        self.answer_sync(old, SyncReply(FENCED_INSTANCE_ID), out)
        del self.members[old.member_id]
        self._count_protocols(old, -1)
        self.members[new.member_id] = new
        self._count_protocols(new, 1)
        if new.join_ticket is not None:
            self.awaiting_join += 1
        if new.instance_id is not None:
            self.static_members[new.instance_id] = new.member_id
        if self.leader_id == old.member_id:
            self.leader_id = new.member_id
        if old.member_id in self.pending_sync:
            self.pending_sync.remove(old.member_id)
            self.pending_sync.add(new.member_id)

    def set_protocols(self, member: ClassicMember, protocols: tuple[tuple[str, bytes], ...]) -> None:
        self._count_protocols(member, -1)
        member.protocols = protocols
        self._count_protocols(member, 1)

    def _count_protocols(self, member: ClassicMember, step: int) -> None:
        counts = self.protocols_supported
        for name in {name for name, _ in member.protocols}:
            count = counts.get(name, 0) + step
            if count:
                counts[name] = count
            else:
                del counts[name]

    def validate_member(self, member_id: str, instance_id: str | None) -> int:
        """NONE, UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when another member id has taken over the instance
        (KIP-345).
        """
        if instance_id is not None:
            current = self.static_members.get(instance_id)
            if current is None:
                return UNKNOWN_MEMBER_ID
            if current != member_id:
                return FENCED_INSTANCE_ID
        return NONE if member_id in self.members else UNKNOWN_MEMBER_ID

    @property
    def all_joined(self) -> bool:
        return self.awaiting_join == len(self.members) and not self.pending_members

    @property
    def rebalance_timeout_ms(self) -> int:
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    @property
    def is_leaderless(self) -> bool:
        """It was a consumer group until now: what its members have is no generation of theirs, so they have to join."""
        return self.leader_id is None and bool(self.members) and self.state is STABLE

    @property
    def is_empty(self) -> bool:
        return self.state is EMPTY

    @property
    def can_rebalance(self) -> bool:
        return self.state in CAN_REBALANCE

    @property
    def is_blank(self) -> bool:
        """Nothing would be lost if the group were forgotten."""
        return self.state is EMPTY and not self.persisted and not self.pending_members

    # -- protocols

    def supports(self, protocol_type: str, protocols: tuple[tuple[str, bytes], ...]) -> bool:
        """May a member with these protocols take part? In an empty group any may that has some."""
        if self.state is EMPTY:
            return bool(protocol_type and protocols)
        size = len(self.members)
        return protocol_type == self.protocol_type and any(
            self.protocols_supported.get(name, 0) == size for name, _ in protocols
        )

    def compute_subscribed_topics(self) -> frozenset[str] | None:
        if self.protocol_type != PROTOCOL_TYPE:
            return None
        topics: set[str] = set()
        try:
            for member in self.members.values():
                topics.update(subscribed_topics(member.metadata(self.protocol_name)))
        except ValueError:
            return None
        return frozenset(topics)

    def is_subscribed(self, topic_name: str) -> bool:
        """A consumer group whose subscriptions are unknown counts as subscribed to everything."""
        if self.subscribed_topics is None:
            return self.protocol_type == PROTOCOL_TYPE
        return topic_name in self.subscribed_topics

    # -- parked requests and timers

    def park_join(self, member: ClassicMember, ticket: Any, superseded: JoinReply, out: Decision) -> None:
        """Keep a JoinGroup until the join phase ends. An earlier one of the member is answered `superseded`."""
        if member.join_ticket is None:
            self.awaiting_join += 1
        else:
            out.reply(member.join_ticket, superseded)
        member.join_ticket = ticket

    def answer_join(self, member: ClassicMember, reply: JoinReply, out: Decision) -> None:
        if member.join_ticket is not None:
            out.reply(member.join_ticket, reply)
            member.join_ticket = None
            self.awaiting_join -= 1

    def answer_sync(self, member: ClassicMember, reply: SyncReply, out: Decision) -> None:
        if member.sync_ticket is not None:
            out.reply(member.sync_ticket, reply)
            member.sync_ticket = None

    def touch(self, member: ClassicMember, now: int) -> None:
        """The member is alive: its session begins anew."""
        member.session_deadline = deadline = now + member.session_timeout_ms
        if deadline < self.wake_at:
            self.wake_at = deadline

    def arm(self, deadline: int) -> None:
        """Some timer of the group was set to `deadline`."""
        if deadline < self.wake_at:
            self.wake_at = deadline

    def rearm(self) -> None:
        """Find the earliest deadline exactly."""
        earliest = min(self.join_deadline, self.sync_deadline)
        for deadline in self.pending_members.values():
            earliest = min(earliest, deadline)
        for member in self.members.values():
            earliest = min(earliest, member.session_deadline)
        self.wake_at = earliest

    # -- state

    def enter(self, state: str, timestamp: int) -> None:
        """The one place where the state changes."""
        if self.state not in PREDECESSORS[state]:
            raise self.broken(f"{state} cannot follow {self.state}")
        self.previous_state = self.state
        self.state = state
        self.state_timestamp = timestamp

    def broken(self, what: str) -> InvalidTransition:
        return InvalidTransition(self.group_id, what, self.story)

    def tell(self, now: int, event: str, detail: str) -> None:
        """Add to the story that `InvalidTransition` prints."""
        self.story.append((now, self.state, event, detail))

    def value(self) -> ClassicGroupValue:
        """What of the group survives a restart (members are shared, not copied).

        Only of a group that is Stable or Empty.
        """
        return ClassicGroupValue(
            self.state,
            self.state_timestamp,
            self.generation_id,
            self.protocol_type,
            self.protocol_name,
            self.leader_id,
            list(self.members.values()),
        )

    def record(self, value: ClassicGroupValue | None) -> GroupRecord:
        return GroupRecord(CLASSIC_GROUP, self.group_id, "", None if value is None else value.encode())

    def apply(self, record: GroupRecord, now: int) -> None:
        """Take over a durable record: of a decision just written, or while the broker starts.

        Members that were here keep what lives in memory; those that are new get a fresh session.
        """
        if record.value is None:
            self.enter(DEAD, now)
            self.persisted = False
            return
        value = ClassicGroupValue.decode(record.value)
        if value.state is EMPTY and self.members and value.generation_id == self.generation_id:
            self.persisted = (
                True  # offsets of a group that has no generation in the store yet: it only says that the group is
            )
            return
        if self.state is EMPTY and not self.persisted:
            self.state = value.state
        elif self.state is not value.state:
            self.enter(value.state, value.state_timestamp)
        self.state_timestamp = value.state_timestamp
        self.persisted = True
        self.generation_id = value.generation_id
        self.protocol_type, self.protocol_name = value.protocol_type, value.protocol_name
        self._take_members(value.members, now)
        self.leader_id = value.leader_id
        self.subscribed_topics = self.compute_subscribed_topics()
        if self.is_leaderless:
            self.arm(now)
        if self.state is EMPTY:
            self.join_deadline = self.sync_deadline = NEVER

    def _take_members(self, members: Iterable[ClassicMember], now: int) -> None:
        present, instances = self.members, self.static_members
        self.members = {}
        self.protocols_supported = {}
        self.static_members = {}
        self.awaiting_join = 0
        for member in members:
            known = present.get(member.member_id)
            if known is None:
                self.touch(member, now)
                before = instances.get(member.instance_id) if member.instance_id is not None else None
                if before in self.pending_sync:
                    self.pending_sync.remove(before)
                    self.pending_sync.add(member.member_id)
            else:
                if known.join_ticket is not None or known.sync_ticket is not None:
                    raise self.broken(f"{known!r} is parked while a record is applied")
                member.is_new, member.session_deadline = known.is_new, known.session_deadline
            self.members[member.member_id] = member
            self._count_protocols(member, 1)
            if member.instance_id is not None:
                self.static_members[member.instance_id] = member.member_id

    def __repr__(self) -> str:
        return f"ClassicGroup({self.group_id!r}, {self.state}, {self.generation_id}, {len(self.members)} members)"


def select_protocol(members: Iterable[ClassicMember]) -> str:
    """The protocol of the next generation: of those that every member supports, the one that most members like best.

    Each votes for the first of its list that all support. A tie goes to the one voted for first. Raises ValueError
    when there is none.
    """
    lists = [[name for name, _ in member.protocols] for member in members]
    candidates = set(lists[0]).intersection(*lists[1:]) if lists else set()
    votes: dict[str, int] = {}
    for names in lists:
        for name in names:
            if name in candidates:
                votes[name] = votes.get(name, 0) + 1
                break
    return max(votes, key=votes.__getitem__)
