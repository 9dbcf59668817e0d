"""SyncGroup: followers wait for the leader's assignment; the leader's makes the group stable, once it is durable."""

from __future__ import annotations

import logging

from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.events import SyncGroup
from moldau.coordination.records import ClassicGroupValue
from moldau.coordination.replies import SyncReply
from moldau.protocol.error_codes import (
    COORDINATOR_NOT_AVAILABLE,
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
)

from .group import ClassicGroup
from .member import ClassicMember
from .states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE

log = logging.getLogger(__name__)


def sync(group: ClassicGroup, event: SyncGroup, now: int, out: Decision) -> None:
    error = _validate(group, event)
    if error != NONE:
        out.reply(event.ticket, SyncReply(error))
        return
    member = group.members[event.member_id]
    group.pending_sync.discard(event.member_id)
    if not group.pending_sync:
        group.sync_deadline = NEVER
    if group.state is STABLE:
        group.touch(member, now)
        out.reply(event.ticket, SyncReply(NONE, member.assignment, group.protocol_type, group.protocol_name))
        return
    if member.sync_ticket is not None:
        out.reply(member.sync_ticket, SyncReply(REBALANCE_IN_PROGRESS))
    member.sync_ticket = event.ticket
    if group.leader_id == event.member_id:
        _assign(group, event, now, out)


def _validate(group: ClassicGroup, event: SyncGroup) -> int:
    if group.state is DEAD:
        return COORDINATOR_NOT_AVAILABLE
    if group.state is EMPTY:
        return UNKNOWN_MEMBER_ID
    error = group.validate_member(event.member_id, event.instance_id)
    if error != NONE:
        return error
    if event.generation_id != group.generation_id:
        return ILLEGAL_GENERATION
    if _differ(event.protocol_type, group.protocol_type) or _differ(event.protocol_name, group.protocol_name):
        return INCONSISTENT_GROUP_PROTOCOL
    if group.state is PREPARING_REBALANCE:
        return REBALANCE_IN_PROGRESS
    assert group.state in (COMPLETING_REBALANCE, STABLE)
    return NONE


def _differ(asked: str | None, has: str | None) -> bool:
    return asked is not None and has is not None and asked != has


def _assign(group: ClassicGroup, event: SyncGroup, now: int, out: Decision) -> None:
    """Write everybody's assignment; `apply` makes the group stable. Whom the leader left out gets an empty one."""
    forgotten = [member_id for member_id in group.members if member_id not in event.assignments]
    if forgotten:
        log.info("group=%s generation=%d without assignment: %s", group.group_id, group.generation_id, forgotten)
    members = []
    for member in group.members.values():
        assignment = event.assignments.get(member.member_id, b"")
        members.append(_with_assignment(member, assignment))
        if member.sync_ticket is not None:
            group.answer_sync(member, SyncReply(NONE, assignment, group.protocol_type, group.protocol_name), out)
            group.touch(member, now)
    out.records.append(
        group.record(
            ClassicGroupValue(
                STABLE, now, group.generation_id, group.protocol_type, group.protocol_name, group.leader_id, members
            )
        )
    )


def _with_assignment(member: ClassicMember, assignment: bytes) -> ClassicMember:
    return ClassicMember(
        member.member_id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.session_timeout_ms,
        member.rebalance_timeout_ms,
        member.protocols,
        assignment,
    )
