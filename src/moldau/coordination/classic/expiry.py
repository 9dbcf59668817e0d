"""What happens to a group because time passes.

Four kinds of deadlines: pending members (ids handed out, never used), sessions, the end of the join phase, the end of
the sync phase.
"""

from __future__ import annotations

import logging

from moldau.coordination.decision import NEVER, Decision

from . import rebalance
from .group import ClassicGroup
from .states import COMPLETING_REBALANCE, PREPARING_REBALANCE, STABLE

log = logging.getLogger(__name__)


def tick(group: ClassicGroup, now: int, out: Decision) -> None:
    """Do all that is due. Stops early when a record has to be written first; the next tick, due at once, goes on."""
    if group.is_leaderless:
        rebalance.prepare(group, "it was a consumer group", now, out)
    for step in (_pending, _sessions, _join_phase, _sync_phase):
        step(group, now, out)
        if out.records:
            break
    group.rearm()


def _pending(group: ClassicGroup, now: int, out: Decision) -> None:
    lapsed = [member_id for member_id, deadline in group.pending_members.items() if deadline <= now]
    for member_id in lapsed:
        log.info("group=%s member=%s removed reason='never joined with its id'", group.group_id, member_id)
        group.remove(member_id, out)
    if lapsed:
        rebalance.complete_after_loss(group, now, out)


def _sessions(group: ClassicGroup, now: int, out: Decision) -> None:
    """Remove members that were silent for their session timeout, in one rebalance. Parked ones are excused.

    An excused member has no session timer until its request is answered.
    """
    dead = []
    for member in group.members.values():
        if member.session_deadline <= now:
            if member.excused:
                member.session_deadline = NEVER
            else:
                dead.append(member.member_id)
    for member_id in dead:
        log.info("group=%s member=%s removed reason='session timed out'", group.group_id, member_id)
        group.remove(member_id, out)
    if dead:
        if group.state in (STABLE, COMPLETING_REBALANCE):
            rebalance.prepare(group, f"session timeout of {', '.join(dead)}", now, out)
        else:
            rebalance.complete_after_loss(group, now, out)


def _join_phase(group: ClassicGroup, now: int, out: Decision) -> None:
    if group.state is PREPARING_REBALANCE and group.join_deadline <= now:
        rebalance.delay_is_over(group, now, out)


def _sync_phase(group: ClassicGroup, now: int, out: Decision) -> None:
    """Members that have not asked for their assignment within the rebalance timeout are out."""
    if group.sync_deadline > now or group.state not in (COMPLETING_REBALANCE, STABLE):
        return
    group.sync_deadline = NEVER
    late = [member_id for member_id in group.members if member_id in group.pending_sync]
    if late:
        for member_id in late:
            log.info("group=%s member=%s removed reason='no SyncGroup in time'", group.group_id, member_id)
            group.remove(member_id, out)
        rebalance.prepare(group, f"no SyncGroup of {', '.join(late)}", now, out)
