"""Members that are no more: they left, or their time was over."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from moldau.coordination.decision import NEVER, Decision

from .assigning import assign_if_due
from .group import ConsumerGroup
from .member import ConsumerMember
from .migration import downgrade, may_downgrade
from .plan import Plan

log = logging.getLogger(__name__)


def fence(group: ConsumerGroup, gone: Iterable[ConsumerMember], now: int, out: Decision) -> None:
    """Their partitions are free at once. When only members of the classic protocol are left, the group becomes a classic one."""
    plan = Plan(group)
    for member in gone:
        plan.drop(member.member_id)
    if may_downgrade(plan):
        downgrade(plan, now, out)
        return
    plan.look_at_topics()
    plan.group_epoch += 1
    log.info("group=%s epoch=%d members=%d", group.group_id, plan.group_epoch, len(plan.members))
    plan.emit(out)


def tick(group: ConsumerGroup, now: int, out: Decision) -> None:
    """Time has passed. Who is overdue goes; if nobody is, a group of classic members becomes a classic group, and an assignment that was
    put off is made.
    """
    overdue = group.overdue(now)
    if overdue:
        for member, why in overdue:
            log.info("group=%s member=%s removed reason='%s'", group.group_id, member.member_id, why)
        fence(group, [member for member, _ in overdue], now, out)
    elif may_downgrade(plan := Plan(group)):
        downgrade(plan, now, out)
    elif group.assign_deadline <= now:
        group.assign_deadline = NEVER
        assign_if_due(plan, now, out)
        plan.emit(out)
    group.rearm()
