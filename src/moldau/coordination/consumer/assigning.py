"""When a group gets a new target assignment, and who computes it.

At most once in `consumer.assignment.interval.ms` (KIP-1263), so that a thousand members that come within a second cost one assignment; the
first one of a group is made at once. What waits is done at its time by a tick, or by the first heartbeat after it. An assignment of more
than `BIG` members and partitions goes to the thread for such, if `consumer.assignor.offload.enable` lets it; the group goes on meanwhile. Its
result counts, even if the group has changed since: it is a goal that was right a moment ago, and dropping it would starve a group that
changes all the time. Members that are gone by then fall out of it, those that came since get theirs from the next one.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from moldau.coordination.assignors import UnknownAssignor, assignor
from moldau.coordination.decision import NEVER, Computation, Decision
from moldau.coordination.modern.group import FIRST_EPOCH
from moldau.coordination.refusal import Refused
from moldau.protocol.error_codes import UNKNOWN_SERVER_ERROR

from .assignors.spec import AssignmentSpec, Assignor, MemberSpec
from .events import AssignmentComputed, Partitions
from .group import ConsumerGroup
from .member import ConsumerMember
from .plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

BIG = 3_000
"""Members and partitions together; so many take some 5 ms."""
RETRY_MS = 5_000
"""How soon an assignor that failed is asked again."""


def assign_if_due(plan: Plan, now: int, out: Decision) -> None:
    """Give the plan a target for its group epoch, if it has none, and if it is time. Raises Refused when the assignor fails."""
    group = plan.group
    if plan.group_epoch <= plan.assignment_epoch or not plan.members:
        return
    settings = group.around.settings(group.group_id)
    first = plan.assignment_epoch <= FIRST_EPOCH and plan.assigned_at < 0
    earliest = 0 if first else group.may_assign_at(settings["consumer.assignment.interval.ms"])
    if now < earliest:
        group.assign_deadline = earliest
        group.arm(earliest)
        return
    if group.computing >= 0:
        return  # when its result comes, it is seen that there is more to do
    chosen = find_assignor(group, plan.members.values())
    spec = spec_of(plan, chosen, now)
    group.assign_deadline = NEVER
    if not first and spec.size > BIG and settings["consumer.assignor.offload.enable"]:
        group.computing = plan.group_epoch
        out.computation = Computation(
            partial(chosen.assign, spec), partial(AssignmentComputed, group.group_id, plan.group_epoch)
        )
        return
    try:
        targets = chosen.assign(spec)
    except Exception as error:
        log.exception("group=%s assignor=%s failed epoch=%d", group.group_id, chosen.name, plan.group_epoch)
        _try_later(group, now)
        raise Refused(
            UNKNOWN_SERVER_ERROR, f"Failed to compute a new target assignment for epoch {plan.group_epoch}: {error}"
        ) from error
    _take(plan, targets, plan.group_epoch, now)


def computed(group: ConsumerGroup, event: AssignmentComputed, now: int, out: Decision) -> None:
    """What the thread has found."""
    group.computing = -1
    if event.targets is None:
        log.error("group=%s assignor failed epoch=%d error=%r", group.group_id, event.epoch, event.problem)
        _try_later(group, now)
    elif event.epoch > group.assignment_epoch and group.members:
        plan = Plan(group)
        _take(plan, event.targets, event.epoch, now)
        plan.emit(out)
    else:
        group.put_off_assignment(now)


def _take(plan: Plan, targets: dict[str, Partitions], epoch: int, now: int) -> None:
    group = plan.group
    plan.take_targets(targets, epoch, now)
    log.info("group=%s assigned epoch=%d members=%d", group.group_id, epoch, len(plan.members))


def _try_later(group: ConsumerGroup, now: int) -> None:
    group.assign_deadline = now + RETRY_MS
    group.arm(group.assign_deadline)


def spec_of(plan: Plan, chosen: Assignor, now: int) -> AssignmentSpec:
    """A snapshot that a thread may keep."""
    group, image = plan.group, plan.group.around.topics
    by_subscription: dict[tuple[tuple[str, ...], str | None], frozenset[bytes]] = {}
    members = []
    for member in _as_they_come(plan, now):
        subscription = (member.topics, member.regex)
        topics = by_subscription.get(subscription)
        if topics is None:
            topics = by_subscription[subscription] = group.topic_ids_of(member)
        members.append(MemberSpec(member.member_id, member.instance_id, member.rack_id, topics, member.target))
    counts: dict[bytes, int] = {}
    for topics in by_subscription.values():
        for topic_id in topics:
            facts = image.by_id(topic_id)
            counts[topic_id] = facts.partitions if facts is not None else 0
    racks = {}
    if chosen.uses_racks:
        racks = {
            (topic_id, index): image.racks(topic_id, index)
            for topic_id, count in counts.items()
            for index in range(count)
        }
    return AssignmentSpec(members, counts, racks)


def _as_they_come(plan: Plan, now: int) -> list[ConsumerMember]:
    """The members by the time of their next heartbeat, which is when they hear of what changes for them; those that are late come last: they may be gone."""
    group = plan.group
    interval: int = group.around.settings(group.group_id)["consumer.heartbeat.interval.ms"]

    def by_time(member: ConsumerMember) -> tuple[bool, int, str]:
        due = now + interval
        if group.members.get(member.member_id) is member:  # else it speaks just now
            due += member.session_deadline - group.session_timeout_ms(member) - now
        return due + interval // 2 < now, due, member.member_id

    return sorted(plan.members.values(), key=by_time)


def assignor_name(group: ConsumerGroup, members: Iterable[ConsumerMember]) -> str:
    """The one that most members ask for; the first of `group.consumer.assignors` when nobody asks."""
    votes = Counter(member.assignor for member in members if member.assignor is not None)
    return votes.most_common(1)[0][0] if votes else default_assignor(group)


def default_assignor(group: ConsumerGroup) -> str:
    names: tuple[str, ...] = group.around.broker_value("group.consumer.assignors")
    return names[0]


def find_assignor(group: ConsumerGroup, members: Iterable[ConsumerMember]) -> Assignor:
    """Raises Refused."""
    name = assignor_name(group, members)
    try:
        found: Assignor = assignor("consumer", name)
    except UnknownAssignor as error:
        raise Refused(UNKNOWN_SERVER_ERROR, str(error)) from error
    return found
