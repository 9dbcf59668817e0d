"""A member to which nothing has happened since a heartbeat of it changed nothing.

What a heartbeat says is held against the member once (`moldau.coordination.consumer.heartbeat.quick`). A member is never changed in place, so while
the group has this very one, the same heartbeat still says nothing new; what is left to ask is whether the group has anything new for the member.
"""

from __future__ import annotations

from .group import ConsumerGroup
from .member import STABLE, ConsumerMember


class MemberStanding:
    """`moldau.coordination.decision.Standing` of a consumer group; `interval_ms` is the heartbeat interval that the member was told."""

    __slots__ = ("_interval_ms", "_member", "group")

    def __init__(self, group: ConsumerGroup, member: ConsumerMember, interval_ms: int) -> None:
        self.group = group
        self._member = member
        self._interval_ms = interval_ms

    def repeat(self, now: int) -> bool:
        group, member = self.group, self._member
        if (
            group.members.get(member.member_id) is not member
            or group.group_epoch != member.member_epoch
            or group.assignment_epoch != member.member_epoch
            or member.state is not STABLE
            or group.topics_version != group.around.topics.version
        ):
            return False
        settings = group.around.settings(group.group_id)
        if settings["consumer.heartbeat.interval.ms"] != self._interval_ms:
            return False
        member.session_deadline = deadline = now + settings["consumer.session.timeout.ms"]
        if deadline < group.wake_at:
            group.wake_at = deadline
        return True
