"""What a decision makes of a group, before it is written: members that change or go, and the epochs."""

from __future__ import annotations

from moldau.coordination.decision import Decision
from moldau.coordination.modern.subscribed import metadata_hash

from .events import Partitions
from .group import ConsumerGroup
from .member import ConsumerMember
from .records import GroupValue, gone_record, group_record, member_record


class Plan:
    """`members` are those that there will be. `emit` makes records of the difference."""

    __slots__ = ("assigned_at", "assignment_epoch", "group", "group_epoch", "members", "metadata_hash")

    def __init__(self, group: ConsumerGroup) -> None:
        self.group = group
        self.members: dict[str, ConsumerMember] = dict(group.members)
        self.group_epoch = group.group_epoch
        self.assignment_epoch = group.assignment_epoch
        self.assigned_at = group.assigned_at
        self.metadata_hash = group.metadata_hash

    def put(self, member: ConsumerMember) -> None:
        self.members[member.member_id] = member

    def drop(self, member_id: str) -> None:
        del self.members[member_id]

    def replace(self, member_id: str, member: ConsumerMember) -> None:
        """A static member comes back under another id and takes over what it had."""
        del self.members[member_id]
        self.members[member.member_id] = member

    def look_at_topics(self) -> bool:
        """Are the topics that are subscribed to other ones than before, or larger?"""
        group = self.group
        group.checked_version = group.around.topics.version
        now = metadata_hash(group.around.topics, group.subscribed_names(self.members.values()))
        changed = now != self.metadata_hash
        self.metadata_hash = now
        return changed

    def take_targets(self, targets: dict[str, Partitions], epoch: int, now: int) -> None:
        """The target assignment of that epoch. Who is not in it has none: it came later."""
        self.assignment_epoch = epoch
        self.assigned_at = now
        for member_id, member in self.members.items():
            target = targets.get(member_id, {})
            if target != member.target:
                self.members[member_id] = member.but(target=target)

    def emit(self, out: Decision) -> None:
        """First those that go, then those that come, so that no partition has two owners on the way."""
        group = self.group
        before = group.members if group.persisted else {}
        out.records += [gone_record(group.group_id, each) for each in before if each not in self.members]
        for member_id, member in self.members.items():
            known = before.get(member_id)
            if known is not member and known != member:
                out.records.append(member_record(group.group_id, member))
        value = GroupValue(self.group_epoch, self.assignment_epoch, self.assigned_at, self.metadata_hash)
        if (
            value != (group.group_epoch, group.assignment_epoch, group.assigned_at, group.metadata_hash)
            or not group.persisted
        ):
            out.records.append(group_record(group.group_id, value))
