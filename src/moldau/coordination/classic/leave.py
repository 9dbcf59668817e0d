"""LeaveGroup: members go of their own will, or static ones are sent away by an administrator (KIP-345)."""

from __future__ import annotations

import logging

from moldau.coordination.decision import Decision
from moldau.coordination.events import LeaveGroup, LeavingMember
from moldau.coordination.replies import LeaveReply
from moldau.protocol.error_codes import COORDINATOR_NOT_AVAILABLE, NONE, UNKNOWN_MEMBER_ID

from . import rebalance
from .group import ClassicGroup
from .states import COMPLETING_REBALANCE, DEAD, STABLE

log = logging.getLogger(__name__)


def leave(group: ClassicGroup, event: LeaveGroup, now: int, out: Decision) -> None:
    """Each member gets its own error code. All that go, go in one rebalance.

    A pending member that leaves is no reason for a rebalance of a group that never knew it (Kafka makes one).
    """
    if group.state is DEAD:
        out.reply(event.ticket, LeaveReply(COORDINATOR_NOT_AVAILABLE, []))
        return
    size = len(group.members)
    answers = [(leaving.member_id, leaving.instance_id, _remove(group, leaving, out)) for leaving in event.members]
    out.reply(event.ticket, LeaveReply(NONE, answers))
    if group.state in (STABLE, COMPLETING_REBALANCE):
        if len(group.members) < size:
            gone = ", ".join(
                member_id or f"instance {instance}" for member_id, instance, code in answers if code == NONE
            )
            rebalance.prepare(group, f"LeaveGroup of {gone}", now, out)
    else:
        rebalance.complete_if_all_joined(group, now, out)


def _remove(group: ClassicGroup, leaving: LeavingMember, out: Decision) -> int:
    member_id = leaving.member_id
    if member_id == "":
        found = group.static_members.get(leaving.instance_id) if leaving.instance_id is not None else None
        if found is None:
            return UNKNOWN_MEMBER_ID
        member_id = found
    elif member_id not in group.pending_members:
        error = group.validate_member(member_id, leaving.instance_id)
        if error != NONE:
            return error
    log.info("group=%s member=%s leaves reason=%r", group.group_id, member_id, leaving.reason or "not provided")
    group.remove(member_id, out)
    return NONE
