"""How a rebalance begins and how its join phase ends. Shared by join, sync, leave and expiry.

The initial rebalance of an empty group is put off by `group.initial.rebalance.delay.ms`, and again as long as members
keep coming within that delay, up to the rebalance timeout of whoever was first: ten members started by one script make
one generation. Every later rebalance ends as soon as all members have joined, at the latest after the longest
rebalance timeout among them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from moldau.coordination.decision import NEVER, Decision
from moldau.coordination.records import ClassicGroupValue
from moldau.coordination.replies import JoinReply, SyncReply
from moldau.protocol.error_codes import NONE, REBALANCE_IN_PROGRESS

from .group import ClassicGroup, select_protocol
from .member import ClassicMember
from .states import COMPLETING_REBALANCE, EMPTY, PREPARING_REBALANCE

log = logging.getLogger(__name__)

RETRY_MS = 1_000
"""How soon the end of a join phase is tried again when it could not be written."""


def prepare_or_complete(group: ClassicGroup, reason: str, now: int, out: Decision) -> None:
    """Something changed: begin a rebalance, or, inside a join phase, see whether it is complete now."""
    if group.can_rebalance:
        prepare(group, reason, now, out)
    else:
        complete_if_all_joined(group, now, out)


def prepare(group: ClassicGroup, reason: str, now: int, out: Decision) -> None:
    """Begin the join phase."""
    if group.state is COMPLETING_REBALANCE:
        for member in group.members.values():
            member.assignment = b""
            if member.sync_ticket is not None:
                group.answer_sync(member, SyncReply(REBALANCE_IN_PROGRESS), out)
                group.touch(member, now)
    group.pending_sync.clear()
    group.sync_deadline = NEVER
    initial = group.state is EMPTY
    log.info(
        "group=%s rebalance begins state=%s generation=%d reason=%r",
        group.group_id,
        group.state,
        group.generation_id,
        reason,
    )
    group.enter(PREPARING_REBALANCE, now)
    if initial:
        delay = group.config.group_initial_rebalance_delay_ms
        group.new_member_added = False
        group.initial_delay_ms = delay
        group.initial_remaining_ms = max(group.rebalance_timeout_ms - delay, 0)
        group.join_deadline = now + delay
        group.arm(group.join_deadline)
    elif group.all_joined:
        complete(group, now, out)
    else:
        group.initial_remaining_ms = -1
        group.join_deadline = now + group.rebalance_timeout_ms
        group.arm(group.join_deadline)


def complete_if_all_joined(group: ClassicGroup, now: int, out: Decision) -> None:
    """End the join phase when everybody is there, except the initial one, which waits for its time."""
    if group.state is PREPARING_REBALANCE and group.previous_state is not EMPTY and group.all_joined:
        complete(group, now, out)


def complete_after_loss(group: ClassicGroup, now: int, out: Decision) -> None:
    """A member, pending or full, has died: was it the last one that the join phase waited for?"""
    if group.state is PREPARING_REBALANCE and group.all_joined:
        complete(group, now, out)


def delay_is_over(group: ClassicGroup, now: int, out: Decision) -> None:
    """The join phase's deadline has come."""
    group.join_deadline = NEVER
    remaining = group.initial_remaining_ms
    if remaining > 0 and group.new_member_added:
        group.new_member_added = False
        delay = min(group.config.group_initial_rebalance_delay_ms, remaining)
        group.initial_remaining_ms = max(remaining - group.initial_delay_ms, 0)
        group.initial_delay_ms = delay
        group.join_deadline = now + delay
        group.arm(group.join_deadline)
    else:
        complete(group, now, out)


def complete(group: ClassicGroup, now: int, out: Decision) -> None:
    """End the join phase: dynamic members that have not joined are out, the others learn the new generation.

    Static members that have not joined stay until their session or the sync phase ends (KIP-345).
    """
    group.join_deadline = NEVER
    group.initial_remaining_ms = -1
    for member in [m for m in group.members.values() if m.join_ticket is None and m.instance_id is None]:
        log.info("group=%s member=%s removed reason='has not joined in time'", group.group_id, member.member_id)
        group.remove(member.member_id, out)
    if not group.members:
        _become_empty(group, now, out)
    elif not _elect_joined_leader(group):
        group.join_deadline = now + max(group.rebalance_timeout_ms, RETRY_MS)
        group.arm(group.join_deadline)
    else:
        _begin_sync(group, now, out)


def _elect_joined_leader(group: ClassicGroup) -> bool:
    """A leader must have joined, since it has to compute the assignment. False when no member has."""
    leader = group.members.get(group.leader_id or "")
    if leader is not None and leader.join_ticket is not None:
        return True
    for member in group.members.values():
        if member.join_ticket is not None:
            log.info(
                "group=%s leader=%s did not join, new leader=%s", group.group_id, group.leader_id, member.member_id
            )
            group.leader_id = member.member_id
            return True
    return False


def _become_empty(group: ClassicGroup, now: int, out: Decision) -> None:
    log.info("group=%s is empty generation=%d", group.group_id, group.generation_id + 1)
    out.records.append(
        group.record(ClassicGroupValue(EMPTY, now, group.generation_id + 1, group.protocol_type, None, None, []))
    )


def _begin_sync(group: ClassicGroup, now: int, out: Decision) -> None:
    group.generation_id += 1
    group.protocol_name = select_protocol(group.members.values())
    group.subscribed_topics = group.compute_subscribed_topics()
    group.enter(COMPLETING_REBALANCE, now)
    log.info("group=%s joined generation=%d members=%d", group.group_id, group.generation_id, len(group.members))
    for member in group.members.values():
        group.answer_join(member, current_generation(group, member), out)
        member.is_new = False
        group.touch(member, now)
    group.pending_sync = set(group.members)
    group.sync_deadline = now + group.rebalance_timeout_ms
    group.arm(group.sync_deadline)


def current_generation(group: ClassicGroup, member: ClassicMember) -> JoinReply:
    """What a JoinGroup is answered: the leader also learns who is there and what they subscribe to."""
    leads = group.leader_id == member.member_id
    return JoinReply(
        NONE,
        member.member_id,
        group.generation_id,
        group.protocol_type,
        group.protocol_name,
        group.leader_id or "",
        joined_members(group.members.values(), group.protocol_name) if leads else [],
    )


def joined_members(members: Iterable[ClassicMember], protocol_name: str | None) -> list[tuple[str, str | None, bytes]]:
    return [(member.member_id, member.instance_id, member.metadata(protocol_name)) for member in members]
