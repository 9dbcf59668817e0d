"""What a streams group becomes by one event, before it is durable."""

from __future__ import annotations

from moldau.coordination.decision import Decision

from .configure import ConfiguredTopology
from .group import StreamsGroup
from .member import StreamsMember
from .settings import Settings
from .target import deal


class Draft:
    """Begins as the group is; `write` makes records of what is different at the end. A heartbeat that changes nothing copies nothing."""

    __slots__ = ("_changed", "group", "header", "replaced", "topology")

    def __init__(self, group: StreamsGroup) -> None:
        self.group = group
        self.header = group.header
        self.topology = group.topology
        self.replaced: StreamsMember | None = None
        """A static member whose place a new member id takes."""
        self._changed: dict[str, StreamsMember] = {}

    def put(self, member: StreamsMember) -> None:
        self._changed[member.member_id] = member

    def replace(self, old: StreamsMember, new: StreamsMember) -> None:
        self.put(new)
        self.replaced = old

    def get(self, member_id: str) -> StreamsMember:
        return self._changed.get(member_id) or self.group.members[member_id]

    def members(self) -> dict[str, StreamsMember]:
        found = {**self.group.members, **self._changed}
        if self.replaced is not None:
            del found[self.replaced.member_id]
        return found

    def deal(self, configured: ConfiguredTopology, settings: Settings, now: int) -> None:
        """Targets for the epoch that the group has now."""
        for member in deal(self.members(), configured, settings, self.group.reported):
            self.put(member)
        self.header = self.header._replace(assignment_epoch=self.header.group_epoch, assigned_at=now)

    def write(self, out: Decision) -> None:
        """Records for what has changed. A new static member comes before its predecessor goes, so that the group is never empty between."""
        group = self.group
        if self.header != group.header or not group.persisted:
            out.records.append(group.header_record(self.header))
        if self.topology is not None and self.topology is not group.topology:
            out.records.append(group.topology_record(self.topology))
        for member_id, member in self._changed.items():
            known = group.members.get(member_id)
            if known is None or member.durable() != known.durable():
                out.records.append(group.member_record(member))
        if self.replaced is not None:
            out.records.append(group.member_record(self.replaced)._replace(value=None))
