"""Share groups as a type of group."""

from __future__ import annotations

from typing import Any

from moldau.coordination.decision import Decision
from moldau.coordination.events import Event, Heartbeat, OffsetCommit, Tick
from moldau.coordination.listing import DescribedGroup, ListedGroup, not_classic
from moldau.coordination.modern.group import RETRY_MS
from moldau.coordination.modern.member import JOIN_EPOCH
from moldau.coordination.refusal import Refused
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import (
    GROUP_ID_NOT_FOUND,
    NON_EMPTY_GROUP,
    NONE,
    UNKNOWN_MEMBER_ID,
)

from .events import DescribedShareGroup, DescribedShareMember, ShareAssigned, ShareHeartbeat, ShareReply, ShareReset
from .group import ShareGroup
from .heartbeat import assigned, check, heartbeat, tick
from .records import SHARE_GROUP, SHARE_MEMBER, GroupValue, gone_record, group_record


class ShareType:
    """`moldau.coordination.group_type.GroupType` for share groups."""

    __slots__ = ("_around",)

    name = "share"
    kinds = frozenset((SHARE_GROUP, SHARE_MEMBER))
    owns: frozenset[type[Event]] = frozenset((ShareHeartbeat, ShareAssigned, ShareReset))

    def __init__(self, around: Surroundings) -> None:
        self._around = around

    def create(self, group_id: str, now: int) -> ShareGroup:
        return ShareGroup(group_id, self._around, now)

    def admit(self, event: Event, other: tuple[Any, Any] | None, now: int, out: Decision) -> ShareGroup | None:
        if isinstance(event, ShareReset):
            if other is None:
                return self.create(event.group_id, now)
            out.reply(event.ticket, ShareReply(GROUP_ID_NOT_FOUND, f"Group {event.group_id} is not a share group."))
            return None
        if not isinstance(event, ShareHeartbeat):
            return None  # what a thread found for a group that is gone
        try:
            check(event)
        except Refused as refused:
            out.reply(event.ticket, ShareReply(refused.error_code, refused.message))
            return None
        if other is not None and other[0].name == "classic" and other[1].is_empty and event.member_epoch == JOIN_EPOCH:
            out.records += other[0].tombstones(other[1])
            out.again = event
            return None
        if other is not None or event.member_epoch != JOIN_EPOCH:
            why = f"Group {event.group_id} {'not found' if other is None else 'is not a share group'}."
            out.reply(event.ticket, ShareReply(GROUP_ID_NOT_FOUND, why))
            return None
        return self.create(event.group_id, now)

    def handle(self, group: ShareGroup, event: Event, now: int, out: Decision) -> None:
        if isinstance(event, ShareHeartbeat):
            try:
                check(event)
                heartbeat(group, event, now, out)
            except Refused as refused:
                out.records.clear()
                out.reply(event.ticket, ShareReply(refused.error_code, refused.message))
        elif isinstance(event, ShareReset):
            if group.members:
                out.reply(event.ticket, ShareReply(NON_EMPTY_GROUP, f"Group {event.group_id} is not empty."))
                return
            if not group.persisted:
                out.records.append(
                    group_record(group.group_id, GroupValue(group.group_epoch, group.assignment_epoch, b""))
                )
            out.reply(event.ticket, ShareReply(NONE))
        elif isinstance(event, ShareAssigned):
            assigned(group, event, now, out)
        elif isinstance(event, Tick):
            tick(group, now, out)

    def heartbeat(self, group: ShareGroup, event: Heartbeat, now: int) -> int:
        return UNKNOWN_MEMBER_ID

    def loaded(self, group: ShareGroup, now: int, out: Decision) -> None:
        group.rearm()

    def write_failed(self, group: ShareGroup, now: int, out: Decision) -> None:
        """Nothing has changed; what time had asked for is tried again a little later."""
        group.topics_version = -1
        group.computing = -1
        group.wake_at = max(group.wake_at, now + RETRY_MS)

    def validate_commit(self, group: ShareGroup, event: OffsetCommit) -> int:
        """Share groups commit no offsets."""
        return GROUP_ID_NOT_FOUND if event.knows_group_id_not_found else UNKNOWN_MEMBER_ID

    def committed(self, group: ShareGroup, event: OffsetCommit, now: int, out: Decision) -> None:
        raise AssertionError("no commit of a share group is valid")

    def validate_fetch(self, group: ShareGroup, member_id: str | None, member_epoch: int) -> int:
        return NONE

    def validate_offset_delete(self, group: ShareGroup) -> int:
        return GROUP_ID_NOT_FOUND

    def validate_delete(self, group: ShareGroup) -> int:
        return NONE if group.is_empty else NON_EMPTY_GROUP

    def tombstones(self, group: ShareGroup) -> list[GroupRecord]:
        gone = [gone_record(group.group_id, member_id) for member_id in group.members]
        return [*gone, group_record(group.group_id, None)]

    def offsets_expire_from(self, group: ShareGroup) -> int | None:
        """Never: it has none, and how far it is in its partitions stays until it is deleted."""
        return None

    def listed(self, group: ShareGroup) -> ListedGroup:
        return ListedGroup(group.group_id, self.name, "share", group.state)

    def described(self, group: ShareGroup) -> DescribedGroup:
        return not_classic(group.group_id)

    def details(self, group: ShareGroup) -> DescribedShareGroup:
        members = [
            DescribedShareMember(
                member.member_id,
                member.rack_id,
                member.member_epoch,
                member.client_id,
                member.client_host,
                member.topics,
                member.assigned,
            )
            for member in group.members.values()
        ]
        return DescribedShareGroup(group.state, group.group_epoch, group.assignment_epoch, "simple", members)
