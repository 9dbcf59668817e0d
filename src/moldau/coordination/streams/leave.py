"""A member goes: by its own word, or because its time is over."""

from __future__ import annotations

import logging

from moldau.coordination.decision import NEVER, Decision
from moldau.protocol.error_codes import NONE

from . import admission
from .draft import Draft
from .events import LEAVING_FOR_A_WHILE, Refused, StreamsHeartbeat, StreamsReply
from .group import StreamsGroup
from .reconcile import STABLE, UNREVOKED_TASKS
from .tasks import Held

log = logging.getLogger(__name__)


def leave(group: StreamsGroup, event: StreamsHeartbeat, out: Decision) -> None:
    try:
        if event.instance_id is None:
            member = admission.member_of(group, event.member_id)
        else:
            member = admission.static_member(group, event)
    except Refused as refused:
        out.reply(event.ticket, StreamsReply(refused.error_code, refused.message))
        return
    if event.shutdown_application and group.shutdown_by is None:
        group.shutdown_by = member.member_id
    if event.instance_id is not None and event.member_epoch == LEAVING_FOR_A_WHILE:
        away = member.copy()
        away.member_epoch = LEAVING_FOR_A_WHILE
        away.state = STABLE
        away.assigned = Held(dict.fromkeys(member.assigned.active, 0), member.assigned.standby, member.assigned.warmup)
        away.revoking = Held()
        out.records.append(group.member_record(away))
    else:
        out.records += group.without([member])
    log.info("group=%s member=%s left epoch=%d", group.group_id, member.member_id, event.member_epoch)
    out.reply(event.ticket, StreamsReply(NONE, member_id=member.member_id, member_epoch=event.member_epoch))


def tick(group: StreamsGroup, now: int, out: Decision) -> None:
    """Members that were silent for too long are out, and those that did not give up their tasks in time. The wait for a new group's members may be over."""
    late = []
    for member in group.members.values():
        if member.session_deadline <= now:
            reason = "session timed out"
        elif member.state == UNREVOKED_TASKS and member.rebalance_deadline <= now:
            reason = f"tasks not given up within {member.rebalance_timeout_ms} ms"
        else:
            continue
        late.append(member)
        log.info("group=%s member=%s removed reason='%s'", group.group_id, member.member_id, reason)
    if late:
        out.records += group.without(late)
    elif group.initial_deadline <= now:
        group.initial_deadline = NEVER
        _deal_at_last(group, now, out)
    group.rearm()


def _deal_at_last(group: StreamsGroup, now: int, out: Decision) -> None:
    if not group.members or group.topology is None or group.header.group_epoch <= group.header.assignment_epoch:
        return
    draft = Draft(group)
    configured, _ = group.look(group.topology)
    draft.deal(configured, group.settings, now)
    draft.write(out)
