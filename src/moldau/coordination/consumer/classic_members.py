"""Members of the classic protocol in a consumer group: JoinGroup, SyncGroup, Heartbeat and LeaveGroup are answered from its epochs.

The generation of such a member is its epoch. Heartbeat tells it to join again (REBALANCE_IN_PROGRESS) when the group has gone on, when it has to
give partitions up, and when what it waits for is free. JoinGroup brings its subscription and what it owns, and takes it a step on; no member
leads, so nobody assigns. SyncGroup gives it what it has by then. Who does not join or sync within its rebalance timeout is out.
"""

from __future__ import annotations

import logging

from moldau.coordination.decision import Decision
from moldau.coordination.events import Heartbeat, JoinGroup, LeaveGroup, LeavingMember, SyncGroup
from moldau.coordination.modern.fencing import check_instance
from moldau.coordination.refusal import Refused
from moldau.coordination.replies import JoinReply, LeaveReply, SyncReply
from moldau.coordination.subscription import PROTOCOL_TYPE, pack_assignment, read_subscription
from moldau.protocol.error_codes import (
    ILLEGAL_GENERATION,
    INCONSISTENT_GROUP_PROTOCOL,
    MEMBER_ID_REQUIRED,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
)

from .assigning import assign_if_due
from .fence import fence
from .group import ConsumerGroup
from .heartbeat import advance, check_room, subscribe, take_place
from .member import UNRELEASED, UNREVOKED, ClassicSide, ConsumerMember
from .migration import by_id, may_downgrade, policy, version_of
from .plan import Plan

log = logging.getLogger(__name__)


# -- JoinGroup --------------------------------------------------------------------------------------------------------


def join(group: ConsumerGroup, event: JoinGroup, now: int, out: Decision) -> None:
    try:
        _join(group, event, now, out)
    except Refused as refused:
        log.info("group=%s member=%s not joined reason='%s'", group.group_id, event.member_id, refused.message)
        out.reply(event.ticket, JoinReply(refused.error_code, ""))


def _join(group: ConsumerGroup, event: JoinGroup, now: int, out: Decision) -> None:
    if policy(group) == "disabled":
        raise Refused(INCONSISTENT_GROUP_PROTOCOL, "the migration of groups is disabled")
    check_room(group, event.member_id)
    if not _supports(group, event):
        raise Refused(INCONSISTENT_GROUP_PROTOCOL, "its protocols are not those of the other classic members")
    if not event.member_id and event.instance_id is None and event.requires_known_member_id:
        out.reply(event.ticket, JoinReply(MEMBER_ID_REQUIRED, event.new_member_id))
        return
    try:
        subscription = read_subscription(event.protocols[0][1])
    except ValueError as error:
        raise Refused(INCONSISTENT_GROUP_PROTOCOL, f"its subscription cannot be read: {error}") from error
    plan = Plan(group)
    member = _find(plan, event)
    updated = member.but(
        instance_id=event.instance_id,
        rack_id=subscription.rack_id or member.rack_id,
        rebalance_timeout_ms=event.rebalance_timeout_ms,
        topics=tuple(sorted(set(subscription.topics))),
        regex=None,
        assignor=None,
        client_id=event.client_id,
        client_host=event.client_host,
        classic=ClassicSide(event.session_timeout_ms, event.protocols),
    )
    changed = subscribe(plan, member, updated)
    if plan.look_at_topics() or changed:
        plan.group_epoch += 1
    assign_if_due(plan, now, out)
    owned = by_id(subscription.owned, group.around.topics)
    updated = advance(plan, updated.member_id, owned, changed)
    plan.emit(out)
    group.phases[updated.member_id] = now + event.rebalance_timeout_ms
    group.arm(now if may_downgrade(plan) else group.phases[updated.member_id])
    known = group.members.get(updated.member_id)
    if known is not None:
        group.touch(known, now)
    name = event.protocols[0][0]
    out.reply(event.ticket, JoinReply(NONE, updated.member_id, updated.member_epoch, PROTOCOL_TYPE, name, leader=""))


def _supports(group: ConsumerGroup, event: JoinGroup) -> bool:
    """All classic members have one of its protocols in common."""
    if event.protocol_type != PROTOCOL_TYPE or not event.protocols:
        return False
    names = {name for name, _ in event.protocols}
    for member in group.members.values():
        if member.classic is not None:
            names &= {name for name, _ in member.classic.protocols}
    return bool(names)


def _find(plan: Plan, event: JoinGroup) -> ConsumerMember:
    """Raises Refused."""
    group = plan.group
    member_id = event.member_id or event.new_member_id
    if event.instance_id is None:
        return group.members.get(member_id) or ConsumerMember(member_id)
    there = group.static_member(event.instance_id)
    if event.member_id:
        return check_instance(there, member_id, event.instance_id)
    return ConsumerMember(member_id) if there is None else take_place(plan, there, member_id)


# -- SyncGroup --------------------------------------------------------------------------------------------------------


def sync(group: ConsumerGroup, event: SyncGroup, now: int, out: Decision) -> None:
    try:
        member = _member(group, event)
        classic = member.classic
        assert classic is not None
        name = classic.protocols[0][0]
        if event.protocol_type not in (None, PROTOCOL_TYPE) or event.protocol_name not in (None, name):
            raise Refused(INCONSISTENT_GROUP_PROTOCOL, "another protocol than it joined with")
        if group.group_epoch > member.member_epoch and member.state != UNREVOKED:
            group.phases.setdefault(member.member_id, now + member.rebalance_timeout_ms)
            group.arm(group.phases[member.member_id])
            raise Refused(REBALANCE_IN_PROGRESS, "the group has gone on")
    except Refused as refused:
        out.reply(event.ticket, SyncReply(refused.error_code))
        return
    group.phases.pop(member.member_id, None)
    group.touch(member, now)
    out.reply(
        event.ticket,
        SyncReply(NONE, _packed(group, member, classic), event.protocol_type, event.protocol_name),
    )


def _packed(group: ConsumerGroup, member: ConsumerMember, classic: ClassicSide) -> bytes:
    topics = ((group.around.topics.by_id(topic_id), epochs) for topic_id, epochs in member.assigned.items())
    return pack_assignment(version_of(classic), [(topic.name, each) for topic, each in topics if topic is not None])


# -- Heartbeat --------------------------------------------------------------------------------------------------------


def heartbeat(group: ConsumerGroup, event: Heartbeat, now: int) -> int:
    """NONE, or REBALANCE_IN_PROGRESS: alive, and asked to join."""
    try:
        member = _member(group, event)
    except Refused as refused:
        return refused.error_code
    group.touch(member, now)
    if (
        member.member_epoch < group.group_epoch
        or member.state == UNREVOKED
        or (member.state == UNRELEASED and not _waits(group, member))
    ):
        group.phases.setdefault(member.member_id, now + member.rebalance_timeout_ms)
        group.arm(group.phases[member.member_id])
        return REBALANCE_IN_PROGRESS
    return NONE


def _waits(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Something of its target is still another's."""
    return any(
        partition not in member.assigned.get(topic_id, {}) and (topic_id, partition) in group.owners
        for topic_id, partitions in member.target.items()
        for partition in partitions
    )


def _member(group: ConsumerGroup, event: Heartbeat | SyncGroup) -> ConsumerMember:
    """The classic member in the generation that it names. Raises Refused."""
    member = (
        group.members.get(event.member_id)
        if event.instance_id is None
        else check_instance(group.static_member(event.instance_id), event.member_id, event.instance_id)
    )
    if member is None or member.classic is None:
        raise Refused(UNKNOWN_MEMBER_ID, "no classic member of that id")
    if event.generation_id != member.member_epoch:
        raise Refused(ILLEGAL_GENERATION, f"generation {event.generation_id}, its epoch is {member.member_epoch}")
    return member


# -- LeaveGroup -------------------------------------------------------------------------------------------------------


def leave(group: ConsumerGroup, event: LeaveGroup, now: int, out: Decision) -> None:
    """Members of either protocol may be sent away so; each gets its own error code, and all go at once."""
    gone: dict[str, ConsumerMember] = {}
    answers = []
    for leaving in event.members:
        try:
            member = _leaving(group, leaving)
        except Refused as refused:
            answers.append((leaving.member_id, leaving.instance_id, refused.error_code))
        else:
            gone[member.member_id] = member
            answers.append((member.member_id, leaving.instance_id, NONE))
    out.reply(event.ticket, LeaveReply(NONE, answers))
    if gone:
        log.info("group=%s members=%s leave", group.group_id, ", ".join(gone))
        fence(group, gone.values(), now, out)


def _leaving(group: ConsumerGroup, leaving: LeavingMember) -> ConsumerMember:
    """Raises Refused."""
    if leaving.instance_id is None:
        member = group.members.get(leaving.member_id)
        if member is None:
            raise Refused(UNKNOWN_MEMBER_ID, "no member of that id")
        return member
    there = group.static_member(leaving.instance_id)
    member_id = leaving.member_id or (there.member_id if there is not None else "")
    return check_instance(there, member_id, leaving.instance_id)
