"""Consumer groups (KIP-848) as a type of group: which handler takes which event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.events import Event, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, SyncGroup, Tick
from moldau.coordination.listing import DescribedGroup, ListedGroup, not_classic
from moldau.coordination.modern.group import RETRY_MS
from moldau.coordination.offsets import FROM_COMMIT
from moldau.coordination.refusal import Refused
from moldau.coordination.surroundings import Surroundings
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import GROUP_ID_NOT_FOUND, NONE

from . import classic_members, commit_rules, describe, migration
from .assigning import computed
from .events import AssignmentComputed, ConsumerHeartbeat, ConsumerHeartbeatReply
from .fence import tick
from .group import ConsumerGroup
from .heartbeat import heartbeat, quick, validate
from .patterns import Patterns
from .records import CONSUMER_GROUP, CONSUMER_MEMBER

if TYPE_CHECKING:
    from moldau.coordination.group_type import GroupType

log = logging.getLogger(__name__)

_CLASSIC: dict[type[Event], Callable[[ConsumerGroup, Any, int, Decision], None]] = {
    JoinGroup: classic_members.join,
    SyncGroup: classic_members.sync,
    LeaveGroup: classic_members.leave,
}


class ConsumerType:
    """`moldau.coordination.group_type.GroupType` for consumer groups."""

    __slots__ = ("_around", "_patterns")

    name = ConsumerGroup.type_name
    kinds = frozenset((CONSUMER_GROUP, CONSUMER_MEMBER))
    owns: frozenset[type[Event]] = frozenset((ConsumerHeartbeat, AssignmentComputed, *_CLASSIC))

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._patterns = Patterns()

    def create(self, group_id: str, now: int) -> ConsumerGroup:
        return ConsumerGroup(group_id, self._around, self._patterns, now)

    def admit(self, event: Event, other: tuple[GroupType, Any] | None, now: int, out: Decision) -> ConsumerGroup | None:
        """A member that joins makes the group, also in place of a classic one that is empty, or of one that can be upgraded."""
        if not isinstance(event, ConsumerHeartbeat):
            return None  # the group went while something was computed for it
        try:
            self._validate(event)
            if event.member_epoch != 0:
                why = "not found." if other is None else "is not a consumer group."
                raise Refused(GROUP_ID_NOT_FOUND, f"Group {event.group_id} {why}")
            if other is None:
                return self.create(event.group_id, now)
            if other[0].name != "classic":
                raise Refused(GROUP_ID_NOT_FOUND, f"Group {event.group_id} is not a consumer group.")
            if other[1].is_empty:
                out.records += other[0].tombstones(other[1])
                out.again = event
                return None
            group = self.create(event.group_id, now)
            migration.upgrade(other[1], group, now)
            return group
        except Refused as refused:
            out.reply(event.ticket, _refusal(refused))
            return None

    def _validate(self, event: ConsumerHeartbeat) -> None:
        validate(event, self._around.broker_value("group.consumer.assignors"))

    def handle(self, group: ConsumerGroup, event: Event, now: int, out: Decision) -> None:
        if isinstance(event, ConsumerHeartbeat):
            if quick(group, event, now, out):
                return
            group.tell(now, "Heartbeat", f"{event.member_id} epoch {event.member_epoch}")
            try:
                self._validate(event)
                heartbeat(group, event, now, out)
                if group.replaces is not None:
                    migration.finish_upgrade(group, out)
            except Refused as refused:
                out.reply(event.ticket, _refusal(refused))
        elif isinstance(event, AssignmentComputed):
            group.tell(now, "Computed", f"epoch {event.epoch}")
            computed(group, event, now, out)
        elif type(event) in _CLASSIC:
            group.tell(now, type(event).__name__, "")
            _CLASSIC[type(event)](group, event, now, out)
        else:
            assert isinstance(event, Tick)
            group.tell(now, "Tick", "")
            try:
                tick(group, now, out)
            except Refused as refused:
                log.error("group=%s not assigned error='%s'", group.group_id, refused.message)
                group.rearm()

    def heartbeat(self, group: ConsumerGroup, event: Heartbeat, now: int) -> int:
        return classic_members.heartbeat(group, event, now)

    def loaded(self, group: ConsumerGroup, now: int, out: Decision) -> None:
        """Sessions have begun anew with `apply`."""
        group.put_off_assignment(now)

    def write_failed(self, group: ConsumerGroup, now: int, out: Decision) -> None:
        """Nothing has changed. Members will ask again; what time had asked for is tried again a little later."""
        group.tell(now, "write failed", "")
        group.computing = -1
        if group.assign_deadline == NEVER:
            group.put_off_assignment(now)
        group.wake_at = max(min(group.wake_at, group.assign_deadline), now + RETRY_MS)

    def validate_commit(self, group: ConsumerGroup, event: OffsetCommit) -> int:
        return commit_rules.validate_commit(group, event)

    def committed(self, group: ConsumerGroup, event: OffsetCommit, now: int, out: Decision) -> None:
        """A commit is no sign of life: heartbeats come beside it."""

    def validate_fetch(self, group: ConsumerGroup, member_id: str | None, member_epoch: int) -> int:
        return commit_rules.validate_fetch(group, member_id, member_epoch)

    def validate_offset_delete(self, group: ConsumerGroup) -> int:
        """Each topic is looked at."""
        return NONE

    def validate_delete(self, group: ConsumerGroup) -> int:
        return commit_rules.validate_delete(group)

    def tombstones(self, group: ConsumerGroup) -> list[GroupRecord]:
        return migration.tombstones(group)

    def offsets_expire_from(self, group: ConsumerGroup) -> int | None:
        return FROM_COMMIT

    def listed(self, group: ConsumerGroup) -> ListedGroup:
        return describe.listed(group)

    def described(self, group: ConsumerGroup) -> DescribedGroup:
        return not_classic(group.group_id)

    def details(self, group: ConsumerGroup) -> describe.ConsumerDescription:
        return describe.details(group)


def _refusal(refused: Refused) -> ConsumerHeartbeatReply:
    return ConsumerHeartbeatReply(refused.error_code, error_message=refused.message)
