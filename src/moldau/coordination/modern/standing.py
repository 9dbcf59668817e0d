"""A member to which nothing has happened since a heartbeat of it changed nothing.

What a heartbeat says is held against the member once, when it is decided. A member is never changed in place, so while the group has this very one, the same
heartbeat still says nothing new; what is left to ask is whether the group has anything new for the member.
"""

from __future__ import annotations

from typing import Any

from .group import ModernGroup
from .member import ModernMember


class MemberStanding:
    """`moldau.coordination.decision.Standing` of a member that has come to its group's epoch; `protocol` is "consumer" or "share", as the keys of groups begin.

    `interval_ms` is the heartbeat interval as it is now, which the member is told.
    """

    __slots__ = ("_interval_key", "_member", "_session_key", "group", "interval_ms")

    def __init__(self, group: ModernGroup[Any], member: ModernMember, protocol: str) -> None:
        self.group = group
        self._member = member
        self._session_key = f"{protocol}.session.timeout.ms"
        self._interval_key = f"{protocol}.heartbeat.interval.ms"
        self.interval_ms = int(group.around.settings(group.group_id)[self._interval_key])

    def repeat(self, now: int) -> bool:
        group, member = self.group, self._member
        if (
            group.members.get(member.member_id) is not member
            or group.group_epoch != member.member_epoch
            or group.assignment_epoch != member.member_epoch
            or group.topics_version != group.around.topics.version
        ):
            return False
        settings = group.around.settings(group.group_id)
        if settings[self._interval_key] != self.interval_ms:
            return False
        member.session_deadline = deadline = now + settings[self._session_key]
        if deadline < group.wake_at:
            group.wake_at = deadline
        return True
