"""ConsumerGroupHeartbeat: a member joins, is alive and changes, leaves.

One heartbeat goes through three steps, as in Kafka: the member and what it subscribes to (the group epoch rises if that, or the topics, are
other ones); the target assignment, if the group epoch has none; and the member's way to its target. Most heartbeats change nothing, and
these are told from the others first: `quick` costs a few microseconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from moldau.coordination.decision import Decision
from moldau.coordination.modern.fencing import check_epoch, check_instance, check_released
from moldau.coordination.modern.member import JOIN_EPOCH, LEAVE_EPOCH, STATIC_LEAVE_EPOCH
from moldau.coordination.modern.standing import MemberStanding
from moldau.coordination.refusal import Refused
from moldau.protocol.error_codes import (
    GROUP_MAX_SIZE_REACHED,
    INVALID_REGULAR_EXPRESSION,
    INVALID_REQUEST,
    NONE,
    UNKNOWN_MEMBER_ID,
    UNSUPPORTED_ASSIGNOR,
)

from .assigning import assign_if_due
from .events import ConsumerHeartbeat, ConsumerHeartbeatReply, Partitions
from .fence import fence
from .group import ConsumerGroup
from .member import STABLE, UNRELEASED, Assigned, ConsumerMember, partitions
from .patterns import BadPattern
from .plan import Plan
from .reconcile import reconcile

log = logging.getLogger(__name__)

_HURRY = 10
"""A member that waits for partitions is asked to come back after such a part of its interval, ..."""
_HURRY_MS_MIN, _HURRY_MS_MAX = 100, 1_000
"""... which is neither shorter, but for intervals that are, nor longer."""
KIND = "consumer group"


def quick(group: ConsumerGroup, event: ConsumerHeartbeat, now: int, out: Decision) -> bool:
    """Answer a heartbeat that says nothing new to a group in which nothing is new; False for any other."""
    member = group.members.get(event.member_id)
    if (
        member is None
        or event.member_epoch != member.member_epoch
        or member.state is not STABLE
        or event.rebalance_timeout_ms != -1
        or event.owned is not None
        or (event.topics is not None and tuple(sorted(set(event.topics))) != member.topics)
        or (event.regex is not None and event.regex != member.regex)
        or (event.assignor is not None and event.assignor != member.assignor)
        or (event.rack_id is not None and event.rack_id != member.rack_id)
        or event.instance_id != member.instance_id
        or event.client_id != member.client_id
        or event.client_host != member.client_host
        or member.classic is not None
    ):
        return False
    standing = MemberStanding(group, member, "consumer")
    if not standing.repeat(now):
        return False
    out.reply(event.ticket, ConsumerHeartbeatReply(NONE, member.member_id, member.member_epoch, standing.interval_ms))
    out.standing = standing
    return True


def validate(event: ConsumerHeartbeat, assignors: Iterable[str]) -> None:
    """What can be said without the group. Raises Refused: INVALID_REQUEST, UNSUPPORTED_ASSIGNOR."""
    epoch = event.member_epoch
    if event.version >= 1 or epoch > 0 or epoch == LEAVE_EPOCH:
        _not_empty(event.member_id, "MemberId")
    _not_empty(event.group_id, "GroupId")
    _not_empty(event.instance_id, "InstanceId")
    _not_empty(event.rack_id, "RackId")
    if epoch == JOIN_EPOCH:
        if event.rebalance_timeout_ms == -1:
            raise Refused(INVALID_REQUEST, "RebalanceTimeoutMs must be provided in first request.")
        if event.owned is None or event.owned:
            raise Refused(INVALID_REQUEST, "TopicPartitions must be empty when (re-)joining.")
        if event.topics is None and event.regex is None:
            raise Refused(
                INVALID_REQUEST,
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            )
    elif epoch == STATIC_LEAVE_EPOCH:
        if event.instance_id is None:
            raise Refused(INVALID_REQUEST, "InstanceId can't be null.")
    elif epoch < STATIC_LEAVE_EPOCH:
        raise Refused(INVALID_REQUEST, "MemberEpoch is invalid.")
    if event.assignor is not None and event.assignor not in assignors:
        raise Refused(
            UNSUPPORTED_ASSIGNOR,
            f"ServerAssignor {event.assignor} is not supported. Supported assignors: {', '.join(assignors)}.",
        )


def _not_empty(text: str | None, name: str) -> None:
    if text is not None and not text.strip():
        raise Refused(INVALID_REQUEST, f"{name} can't be empty.")


def heartbeat(group: ConsumerGroup, event: ConsumerHeartbeat, now: int, out: Decision) -> None:
    """A valid one. Raises Refused."""
    if event.member_epoch in (LEAVE_EPOCH, STATIC_LEAVE_EPOCH):
        _leave(group, event, now, out)
    else:
        _beat(group, event, now, out)


# -- joining, being alive ---------------------------------------------------------------------------------------------


def _beat(group: ConsumerGroup, event: ConsumerHeartbeat, now: int, out: Decision) -> None:
    check_room(group, event.member_id)
    plan = Plan(group)
    member = _find(plan, event)
    updated = _updated(member, event)
    changed = subscribe(plan, member, updated)
    if changed or group.topics_version != group.around.topics.version:
        if plan.look_at_topics() or changed:
            plan.group_epoch += 1
            log.info("group=%s epoch=%d", group.group_id, plan.group_epoch)
        else:
            group.topics_version = group.checked_version
    assign_if_due(plan, now, out)
    updated = advance(plan, updated.member_id, event.owned, changed)
    plan.emit(out)
    known = group.members.get(updated.member_id)
    if known is not None:
        group.touch(known, now)
    full = event.member_epoch == JOIN_EPOCH or (
        event.rebalance_timeout_ms != -1 and event.topics is not None and event.owned is not None
    )
    tells = full or not same_partitions(member.assigned, updated.assigned)
    out.reply(
        event.ticket,
        ConsumerHeartbeatReply(
            NONE,
            updated.member_id,
            updated.member_epoch,
            _interval(plan, updated, now),
            partitions(updated.assigned) if tells else None,
        ),
    )


def check_room(group: ConsumerGroup, member_id: str) -> None:
    """Raises Refused: GROUP_MAX_SIZE_REACHED."""
    size_max: int = group.around.broker_value("group.consumer.max.size")
    if len(group.members) >= size_max and member_id not in group.members:
        raise Refused(
            GROUP_MAX_SIZE_REACHED, f"The consumer group has reached its maximum capacity of {size_max} members."
        )


def _find(plan: Plan, event: ConsumerHeartbeat) -> ConsumerMember:
    """The member that speaks; a new one, or one that takes a static member's place, is in the plan. Raises Refused."""
    group = plan.group
    joins = event.member_epoch == JOIN_EPOCH
    member_id = event.member_id or event.new_member_id
    if event.instance_id is None:
        member = group.members.get(member_id)
        if member is None:
            if not joins:
                raise Refused(UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {group.group_id}.")
            log.info("group=%s member=%s joins", group.group_id, member_id)
            return ConsumerMember(member_id)
    else:
        there = group.static_member(event.instance_id)
        if joins and there is None:
            log.info("group=%s member=%s instance=%s joins", group.group_id, member_id, event.instance_id)
            return ConsumerMember(member_id)
        if joins and there is not None:
            if there.classic is None:
                check_released(there, member_id, event.instance_id)
            return take_place(plan, there, member_id)
        member = check_instance(there, member_id, event.instance_id)
    check_epoch(KIND, member, event.member_epoch, _keeps_to(member, event.owned))
    return member


def take_place(plan: Plan, there: ConsumerMember, member_id: str) -> ConsumerMember:
    """A static member comes back, under another id or with another protocol; it has what it had."""
    log.info(
        "group=%s instance=%s member=%s replaces %s", plan.group.group_id, there.instance_id, member_id, there.member_id
    )
    member = there.but(member_id=member_id, member_epoch=0, previous_member_epoch=0)
    plan.replace(there.member_id, member)
    return member


def _keeps_to(member: ConsumerMember, owned: Partitions | None) -> bool:
    """It says what it owns, and that is all assigned to it."""
    if owned is None:
        return False
    return all(each <= member.assigned.get(topic_id, {}).keys() for topic_id, each in owned.items())


def _updated(member: ConsumerMember, event: ConsumerHeartbeat) -> ConsumerMember:
    return member.but(
        instance_id=member.instance_id if event.instance_id is None else event.instance_id,
        rack_id=member.rack_id if event.rack_id is None else event.rack_id,
        rebalance_timeout_ms=member.rebalance_timeout_ms
        if event.rebalance_timeout_ms == -1
        else event.rebalance_timeout_ms,
        topics=member.topics if event.topics is None else tuple(sorted(set(event.topics))),
        regex=member.regex if event.regex is None else event.regex,
        assignor=member.assignor if event.assignor is None else event.assignor,
        client_id=event.client_id,
        client_host=event.client_host,
        classic=None,
    )


def subscribe(plan: Plan, member: ConsumerMember, updated: ConsumerMember) -> bool:
    """Put the member into the plan. Does it subscribe to something else than before? Raises Refused: INVALID_REGULAR_EXPRESSION."""
    plan.put(updated)
    if (updated.regex or "") != (member.regex or "") and updated.regex:
        try:
            plan.group.patterns.check(updated.regex)
        except BadPattern as error:
            raise Refused(
                INVALID_REGULAR_EXPRESSION,
                f"SubscribedTopicRegex `{updated.regex}` is not a valid regular expression: {error}.",
            ) from error
    return updated.topics != member.topics or (updated.regex or "") != (member.regex or "")


def advance(plan: Plan, member_id: str, owned: Partitions | None, subscription_changed: bool) -> ConsumerMember:
    """The member one step nearer to its target."""
    group, member = plan.group, plan.members[member_id]
    if member.state == STABLE and member.member_epoch == plan.assignment_epoch and not subscription_changed:
        return member
    owners = group.owners
    updated = reconcile(
        member,
        plan.assignment_epoch,
        owned,
        lambda topic_id, partition: (topic_id, partition) in owners,
        group.topic_ids_of(member),
        subscription_changed,
    )
    plan.put(updated)
    return updated


def same_partitions(one: Assigned, other: Assigned) -> bool:
    return one is other or (
        one.keys() == other.keys() and all(epochs.keys() == other[topic_id].keys() for topic_id, epochs in one.items())
    )


def _interval(plan: Plan, member: ConsumerMember, now: int) -> int:
    """When the member should come again: soon, if it waits for partitions."""
    group = plan.group
    interval: int = group.around.settings(group.group_id)["consumer.heartbeat.interval.ms"]
    if member.state == UNRELEASED or (not member.target and plan.group_epoch > plan.assignment_epoch):
        return min(interval, max(_HURRY_MS_MIN, min(interval // _HURRY, _HURRY_MS_MAX)))
    return interval


# -- leaving ----------------------------------------------------------------------------------------------------------


def _leave(group: ConsumerGroup, event: ConsumerHeartbeat, now: int, out: Decision) -> None:
    if event.instance_id is None:
        member = group.members.get(event.member_id)
        if member is None:
            raise Refused(UNKNOWN_MEMBER_ID, f"Member {event.member_id} is not a member of group {group.group_id}.")
    else:
        member = check_instance(group.static_member(event.instance_id), event.member_id, event.instance_id)
    out.reply(event.ticket, ConsumerHeartbeatReply(NONE, event.member_id, event.member_epoch))
    if event.instance_id is not None and event.member_epoch == STATIC_LEAVE_EPOCH:
        log.info(
            "group=%s member=%s instance=%s leaves for a while", group.group_id, member.member_id, event.instance_id
        )
        plan = Plan(group)
        plan.put(member.but(member_epoch=STATIC_LEAVE_EPOCH, revoking={}))
        plan.emit(out)
        return
    log.info("group=%s member=%s leaves", group.group_id, member.member_id)
    fence(group, [member], now, out)
