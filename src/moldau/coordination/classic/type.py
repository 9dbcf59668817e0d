"""Classic groups as a type of group: which handler takes which event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moldau.coordination.config import GroupConfig
from moldau.coordination.decision import Decision
from moldau.coordination.events import Event, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, SyncGroup, Tick
from moldau.coordination.listing import DescribedGroup, ListedGroup
from moldau.coordination.records import CLASSIC_GROUP, ClassicGroupValue
from moldau.coordination.replies import JoinReply
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import INCONSISTENT_GROUP_PROTOCOL, NONE, UNKNOWN_MEMBER_ID

from . import commit_rules, describe, rebalance
from .expiry import tick
from .group import ClassicGroup
from .heartbeat import heartbeat
from .join import join
from .leave import leave
from .states import COMPLETING_REBALANCE, EMPTY, PREPARING_REBALANCE, STABLE
from .sync import sync

_HANDLERS: dict[type[Event], Callable[[ClassicGroup, Any, int, Decision], None]] = {
    JoinGroup: join,
    SyncGroup: sync,
    LeaveGroup: leave,
}


class ClassicType:
    """`moldau.coordination.group_type.GroupType` for classic groups."""

    __slots__ = ("_config",)

    name = ClassicGroup.type_name
    kinds = frozenset((CLASSIC_GROUP,))
    owns = frozenset(_HANDLERS)

    def __init__(self, config: GroupConfig) -> None:
        self._config = config

    def create(self, group_id: str, now: int) -> ClassicGroup:
        return ClassicGroup(group_id, self._config, now)

    def admit(self, event: Event, other: tuple[Any, Any] | None, now: int, out: Decision) -> ClassicGroup | None:
        """A JoinGroup for no group, or for a consumer group without members, which ends with it."""
        assert isinstance(event, JoinGroup)
        if other is not None and other[0].name != "consumer":
            out.reply(event.ticket, JoinReply(INCONSISTENT_GROUP_PROTOCOL, event.member_id))
        elif event.member_id:
            out.reply(event.ticket, JoinReply(UNKNOWN_MEMBER_ID, event.member_id))
        elif other is None:
            return self.create(event.group_id, now)
        else:
            out.records += other[0].tombstones(other[1])
            out.again = event
        return None

    def handle(self, group: ClassicGroup, event: Event, now: int, out: Decision) -> None:
        if type(event) is Tick:
            group.tell(now, "Tick", "")
            tick(group, now, out)
        else:
            group.tell(now, type(event).__name__, _who(event))
            _HANDLERS[type(event)](group, event, now, out)

    def heartbeat(self, group: ClassicGroup, event: Heartbeat, now: int) -> int:
        return heartbeat(group, event, now)

    def loaded(self, group: ClassicGroup, now: int, out: Decision) -> None:
        if group.state is STABLE and len(group.members) > self._config.group_max_size:
            rebalance.prepare(group, "more members than group.max.size after a restart", now, out)

    def write_failed(self, group: ClassicGroup, now: int, out: Decision) -> None:
        """An assignment that is not durable is none: join again. An empty group tries again a little later."""
        group.tell(now, "write failed", "")
        if group.state is COMPLETING_REBALANCE:
            rebalance.prepare(group, "the assignment could not be stored", now, out)
        elif group.state is PREPARING_REBALANCE and not group.members:
            group.join_deadline = now + rebalance.RETRY_MS
            group.arm(group.join_deadline)

    def validate_commit(self, group: ClassicGroup, event: OffsetCommit) -> int:
        return commit_rules.validate_commit(group, event)

    def committed(self, group: ClassicGroup, event: OffsetCommit, now: int, out: Decision) -> None:
        if not event.transactional:
            commit_rules.commit_keeps_session(group, event, now)
        if not group.persisted:
            value = ClassicGroupValue(
                EMPTY, group.state_timestamp, group.generation_id, group.protocol_type, None, None, []
            )
            out.records.append(group.record(value))

    def validate_fetch(self, group: ClassicGroup, member_id: str | None, member_epoch: int) -> int:
        """Anybody may."""
        return NONE

    def validate_offset_delete(self, group: ClassicGroup) -> int:
        return commit_rules.validate_offset_delete(group)

    def validate_delete(self, group: ClassicGroup) -> int:
        return commit_rules.validate_delete(group)

    def tombstones(self, group: ClassicGroup) -> list[GroupRecord]:
        return [group.record(None)]

    def offsets_expire_from(self, group: ClassicGroup) -> int | None:
        return commit_rules.offsets_expire_from(group)

    def listed(self, group: ClassicGroup) -> ListedGroup:
        return describe.listed(group)

    def described(self, group: ClassicGroup) -> DescribedGroup:
        return describe.described(group)

    def details(self, group: ClassicGroup) -> DescribedGroup:
        return describe.described(group)


def _who(event: Event) -> str:
    if isinstance(event, LeaveGroup):
        return ", ".join(member.member_id or str(member.instance_id) for member in event.members)
    if isinstance(event, JoinGroup | SyncGroup):
        return event.member_id or f"new {event.instance_id or ''}".rstrip()
    return ""
