"""The state of one consumer group, and the one `apply` that changes what survives a restart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from moldau.coordination.decision import NEVER
from moldau.coordination.modern.group import ModernGroup
from moldau.coordination.modern.member import STATIC_LEAVE_EPOCH
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord

from .member import STABLE, UNREVOKED, Assigned, ConsumerMember
from .patterns import Patterns
from .records import CONSUMER_GROUP, member_of, read_group


class ConsumerGroup(ModernGroup[ConsumerMember]):
    """`owners` says who has each partition, be it assigned or not yet given up: (topic id, partition) to member id."""

    __slots__ = ("checked_version", "owners", "patterns", "phases", "replaces")

    type_name = "consumer"

    def __init__(self, group_id: str, around: Surroundings, patterns: Patterns, now: int) -> None:
        super().__init__(group_id, around, now)
        self.patterns = patterns
        self.owners: dict[tuple[bytes, int], str] = {}
        self.checked_version = -1
        """The topic image's version that the decision at hand looked at."""
        self.phases: dict[str, int] = {}
        """Classic members that are due to send JoinGroup or SyncGroup, and until when."""
        self.replaces: Any = None
        """The classic group that this one is being made of."""

    # -- what ModernGroup asks

    def is_settled(self, member: ConsumerMember) -> bool:
        return member.state == STABLE and member.member_epoch == self.assignment_epoch

    def session_timeout_ms(self, member: ConsumerMember) -> int:
        if member.classic is not None:
            return member.classic.session_timeout_ms
        timeout: int = self.around.settings(self.group_id)["consumer.session.timeout.ms"]
        return timeout

    def is_subscribed(self, topic_name: str) -> bool:
        return topic_name in self.subscribed_names(self.members.values())

    def apply(self, record: GroupRecord, now: int) -> None:
        if record.kind == CONSUMER_GROUP:
            self._apply_group(record, now)
        elif record.value is None:
            self._release(self.drop(record.key))
            self.phases.pop(record.key, None)
        else:
            self._take(member_of(record), now)

    # -- deadlines of classic members

    def overdue(self, now: int) -> list[tuple[ConsumerMember, str]]:
        found = super().overdue(now)
        late = [member_id for member_id, deadline in self.phases.items() if deadline <= now]
        known = {member.member_id for member, _ in found}
        for member_id in late:
            member = self.members.get(member_id)
            if member is None:
                del self.phases[member_id]
            elif member_id not in known:
                found.append((member, "has not joined or synced in time"))
        return found

    def rearm(self) -> None:
        super().rearm()
        for deadline in self.phases.values():
            self.arm(deadline)

    # -- subscriptions

    def names_of(self, member: ConsumerMember) -> frozenset[str]:
        """The topics that a member subscribes to by name, if there are such topics or not, and those that its pattern matches now."""
        names = frozenset(member.topics)
        return names | self.patterns.matches(member.regex, self.around.topics) if member.regex else names

    def subscribed_names(self, members: Iterable[ConsumerMember]) -> frozenset[str]:
        """Of all of them together."""
        found: set[str] = set()
        patterns: set[str] = set()
        for member in members:
            found.update(member.topics)
            if member.regex:
                patterns.add(member.regex)
        return frozenset(found.union(*(self.patterns.matches(each, self.around.topics) for each in patterns)))

    def topic_ids_of(self, member: ConsumerMember) -> frozenset[bytes]:
        """Of the topics that it subscribes to and that there are."""
        found = map(self.around.topics.by_name, self.names_of(member))
        return frozenset(topic.topic_id for topic in found if topic is not None)

    # -- apply

    def _apply_group(self, record: GroupRecord, now: int) -> None:
        if record.value is None:
            self.persisted = False
            return
        value = read_group(record.value)
        self.persisted = True
        self.group_epoch = value.group_epoch
        self.assignment_epoch = value.assignment_epoch
        self.assigned_at = value.assigned_at
        self.metadata_hash = value.metadata_hash
        self.topics_version = self.checked_version
        self.put_off_assignment(now)

    def put_off_assignment(self, now: int) -> None:
        """If there is none for the group epoch, it is due as soon as it may be."""
        if self.group_epoch > self.assignment_epoch and self.members:
            interval: int = self.around.settings(self.group_id)["consumer.assignment.interval.ms"]
            self.assign_deadline = max(self.may_assign_at(interval), now)
            self.arm(self.assign_deadline)
        else:
            self.assign_deadline = NEVER

    def _take(self, member: ConsumerMember, now: int) -> None:
        before = self.put(member, now)
        self._release(before)
        self._claim(member)
        if member.state != UNREVOKED or member.classic is not None or member.member_epoch == STATIC_LEAVE_EPOCH:
            member.rebalance_deadline = NEVER
        elif before is None or before.state != UNREVOKED or before.revoking != member.revoking:
            member.rebalance_deadline = now + member.rebalance_timeout_ms
            self.arm(member.rebalance_deadline)

    def _release(self, member: ConsumerMember | None) -> None:
        if member is not None:
            for partition in _held(member):
                if self.owners.pop(partition, None) != member.member_id:
                    raise self.broken(f"{member.member_id} had {partition} without owning it")

    def _claim(self, member: ConsumerMember) -> None:
        owners = self.owners
        for partition in _held(member):
            other = owners.setdefault(partition, member.member_id)
            if other != member.member_id:
                raise self.broken(f"{partition} would be owned by {other} and by {member.member_id}")


def _held(member: ConsumerMember) -> Iterable[tuple[bytes, int]]:
    """What a member has, be it assigned or not yet given up."""
    yield from _flat(member.assigned)
    if member.revoking:
        yield from _flat(member.revoking)


def _flat(assigned: Assigned) -> Iterable[tuple[bytes, int]]:
    for topic_id, epochs in assigned.items():
        for partition in epochs:
            yield topic_id, partition
