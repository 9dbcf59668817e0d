"""A share group: members, and which partitions each is to fetch (KIP-932). Partitions may be several members' at once.

Nothing has to be given up before another gets it, so a member goes to its target with its next heartbeat, whatever the others do.
"""

from __future__ import annotations

from typing import Any, ClassVar

from moldau.coordination.modern.group import EMPTY, STABLE, ModernGroup
from moldau.coordination.modern.member import ModernMember
from moldau.metadata.rows_groups import GroupRecord

from .events import Partitions


class ShareMember(ModernMember):
    """`assigned` is what it was told last, `target` what it is to be told."""

    __slots__ = ("assigned", "target", "topics")

    durable: ClassVar[tuple[str, ...]] = (*ModernMember.durable, "topics", "assigned", "target")

    def __init__(
        self,
        member_id: str,
        *,
        topics: tuple[str, ...] = (),
        assigned: Partitions | None = None,
        target: Partitions | None = None,
        **common: Any,
    ) -> None:
        super().__init__(member_id, **common)
        self.topics = topics
        self.assigned = assigned or {}
        self.target = target or {}


class ShareGroup(ModernGroup[ShareMember]):
    """See `ModernGroup`."""

    __slots__ = ()

    def apply(self, record: GroupRecord, now: int) -> None:
        from .records import SHARE_GROUP, read_group, read_share_member

        if record.kind == SHARE_GROUP:
            if record.value is None:
                self.persisted = False
                self.members.clear()
                return
            value = read_group(record.value)
            self.persisted = True
            if value.assignment_epoch > self.assignment_epoch:
                self.assigned_at = now
            self.group_epoch, self.assignment_epoch = value.group_epoch, value.assignment_epoch
            self.metadata_hash = value.metadata_hash
        elif record.value is None:
            self.drop(record.key)
        else:
            self.put(read_share_member(record.value), now)

    def is_settled(self, member: ShareMember) -> bool:
        return member.member_epoch == self.assignment_epoch

    @property
    def state(self) -> str:
        """Share groups have two, beside Dead."""
        return STABLE if self.members else EMPTY

    def session_timeout_ms(self, member: ShareMember) -> int:
        return int(self.around.settings(self.group_id)["share.session.timeout.ms"])

    def is_subscribed(self, topic_name: str) -> bool:
        return any(topic_name in member.topics for member in self.members.values())

    @property
    def subscribed(self) -> set[str]:
        """Names of all topics that members want."""
        return {topic for member in self.members.values() for topic in member.topics}
