"""Streams groups as a type of group: which handler takes which event."""

from __future__ import annotations

from typing import Any

from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.events import Event, Heartbeat, OffsetCommit, Tick
from moldau.coordination.group_type import GroupType
from moldau.coordination.listing import DescribedGroup, ListedGroup, not_classic
from moldau.coordination.modern.group import RETRY_MS
from moldau.coordination.offsets import FROM_COMMIT
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, NONE, UNKNOWN_MEMBER_ID

from . import commits
from .describe import DescribedStreamsGroup, describe
from .description import take
from .events import JOINING, StreamsHeartbeat, StreamsReply, TopologyDescription
from .group import StreamsGroup
from .heartbeat import heartbeat
from .leave import leave, tick
from .records import STREAMS_DESCRIPTION, STREAMS_GROUP, STREAMS_MEMBER, STREAMS_TOPOLOGY


class StreamsType:
    """`moldau.coordination.group_type.GroupType` for streams groups."""

    __slots__ = ("_around",)

    name = StreamsGroup.type_name
    kinds = frozenset((STREAMS_GROUP, STREAMS_TOPOLOGY, STREAMS_MEMBER, STREAMS_DESCRIPTION))
    owns: frozenset[type[Event]] = frozenset((StreamsHeartbeat, TopologyDescription))

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def create(self, group_id: str, now: int) -> StreamsGroup:
        return StreamsGroup(group_id, self._around)

    def admit(self, event: Event, other: tuple[GroupType, Any] | None, now: int, out: Decision) -> StreamsGroup | None:
        """A member that joins makes the group. An empty classic group becomes a streams group and keeps its offsets; others stay what they are."""
        if isinstance(event, TopologyDescription):
            out.reply(
                event.ticket,
                StreamsReply(UNKNOWN_MEMBER_ID, f"Member {event.member_id} is not a member of group {event.group_id}."),
            )
            return None
        joins = isinstance(event, StreamsHeartbeat) and event.member_epoch == JOINING
        if other is None and joins:
            return self.create(event.group_id, now)
        if other is not None and joins and other[0].name == "classic" and other[1].is_empty:
            out.records = other[0].tombstones(other[1])
            out.again = event
            return None
        if other is None:
            text = f"Streams group {event.group_id} not found."
        else:
            text = f"Group {event.group_id} is not a streams group."
        out.reply(event.ticket, StreamsReply(GROUP_ID_NOT_FOUND, text))
        return None

    def handle(self, group: StreamsGroup, event: Event, now: int, out: Decision) -> None:
        if isinstance(event, StreamsHeartbeat):
            if event.member_epoch < JOINING:
                leave(group, event, out)
            else:
                heartbeat(group, event, now, out)
        elif isinstance(event, TopologyDescription):
            take(group, event, out)
        elif isinstance(event, Tick):
            tick(group, now, out)

    def heartbeat(self, group: StreamsGroup, event: Heartbeat, now: int) -> int:
        return UNKNOWN_MEMBER_ID

    def loaded(self, group: StreamsGroup, now: int, out: Decision) -> None:
        """The members of a group that was loaded have been together for a while: nobody waits for more."""
        group.initial_deadline = NEVER
        group.rearm()

    def write_failed(self, group: StreamsGroup, now: int, out: Decision) -> None:
        """What was not written was not applied. A tick tries again a little later."""
        group.rearm()
        group.wake_at = max(group.wake_at, now + RETRY_MS)

    def validate_commit(self, group: StreamsGroup, event: OffsetCommit) -> int:
        return commits.validate_commit(group, event)

    def committed(self, group: StreamsGroup, event: OffsetCommit, now: int, out: Decision) -> None:
        """A streams group is always known to the store, and only heartbeats keep members in it."""

    def validate_fetch(self, group: StreamsGroup, member_id: str | None, member_epoch: int) -> int:
        return commits.validate_fetch(group, member_id, member_epoch)

    def validate_offset_delete(self, group: StreamsGroup) -> int:
        return NONE

    def validate_delete(self, group: StreamsGroup) -> int:
        return NONE if group.is_empty else NON_EMPTY_GROUP

    def tombstones(self, group: StreamsGroup) -> list[GroupRecord]:
        return group.tombstones()

    def offsets_expire_from(self, group: StreamsGroup) -> int | None:
        return FROM_COMMIT

    def listed(self, group: StreamsGroup) -> ListedGroup:
        return ListedGroup(group.group_id, self.name, "streams", group.state)

    def described(self, group: StreamsGroup) -> DescribedGroup:
        return not_classic(group.group_id)

    def details(self, group: StreamsGroup) -> DescribedStreamsGroup:
        return describe(group)
