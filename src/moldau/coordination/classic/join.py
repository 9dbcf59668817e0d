"""JoinGroup: how members are admitted, and what a member that joins again gets.

Rules worth knowing, with their sources:

- KIP-394: a member without an id is given one and told MEMBER_ID_REQUIRED; it counts as pending, and the join phase
  waits for it.
- KIP-345: a member with an instance id that is known takes the place of the earlier one, which is fenced. In a stable
  group whose
  protocol would stay the same that happens without a rebalance.
- KIP-814: a static leader that comes back so is told to skip the assignment (JoinGroup 9); before, it is told that its
  old id leads.
- KIP-559: protocol type and name are in the answer.
"""

from __future__ import annotations

import logging

from moldau.coordination.decision import Decision
from moldau.coordination.events import JoinGroup
from moldau.coordination.replies import JoinReply
from moldau.protocol.error_codes import (
    COORDINATOR_NOT_AVAILABLE,
    GROUP_MAX_SIZE_REACHED,
    INCONSISTENT_GROUP_PROTOCOL,
    MEMBER_ID_REQUIRED,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
)

from . import rebalance
from .group import ClassicGroup, select_protocol
from .member import NEW_MEMBER_JOIN_TIMEOUT_MS, ClassicMember
from .states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE

log = logging.getLogger(__name__)


def join(group: ClassicGroup, event: JoinGroup, now: int, out: Decision) -> None:
    if group.state is DEAD:
        out.reply(event.ticket, JoinReply(COORDINATOR_NOT_AVAILABLE, event.member_id))
    elif not _has_room(group, event.member_id):
        group.remove(event.member_id, out)
        out.reply(event.ticket, JoinReply(GROUP_MAX_SIZE_REACHED, ""))
        rebalance.complete_if_all_joined(group, now, out)
    elif not group.supports(event.protocol_type, event.protocols):
        out.reply(event.ticket, JoinReply(INCONSISTENT_GROUP_PROTOCOL, event.member_id))
    elif event.member_id == "":
        _join_new(group, event, now, out)
    elif event.member_id in group.pending_members and event.instance_id is None:
        _add(group, event, event.member_id, now, out)
    else:
        _join_known(group, event, now, out)


def _has_room(group: ClassicGroup, member_id: str) -> bool:
    """`group.max.size`.

    Inside a join phase those count that have joined: the last to come are out, also when the limit was lowered.
    """
    size_max = group.config.group_max_size
    if group.state is EMPTY:
        return True
    member = group.members.get(member_id)
    if group.state is PREPARING_REBALANCE:
        return (member is not None and member.join_ticket is not None) or group.awaiting_join < size_max
    return member is not None or len(group.members) < size_max


def _join_new(group: ClassicGroup, event: JoinGroup, now: int, out: Decision) -> None:
    member_id = event.new_member_id
    if event.instance_id is not None:
        present = group.static_members.get(event.instance_id)
        if present is None:
            _add(group, event, member_id, now, out)
        else:
            _replace_static(group, event, group.members[present], now, out)
    elif event.requires_known_member_id:
        group.pending_members[member_id] = now + event.session_timeout_ms
        group.arm(group.pending_members[member_id])
        out.reply(event.ticket, JoinReply(MEMBER_ID_REQUIRED, member_id))
    else:
        _add(group, event, member_id, now, out)


def _join_known(group: ClassicGroup, event: JoinGroup, now: int, out: Decision) -> None:
    error = group.validate_member(event.member_id, event.instance_id)
    if error != NONE:
        out.reply(event.ticket, JoinReply(error, event.member_id))
        return
    member = group.members[event.member_id]
    changed = member.protocols != event.protocols
    if group.state is PREPARING_REBALANCE:
        _rejoin(group, member, event, "joins", now, out)
    elif group.state is COMPLETING_REBALANCE:
        if changed:
            _rejoin(group, member, event, "has new metadata", now, out)
        else:  # the answer to its first JoinGroup may have been lost
            out.reply(event.ticket, rebalance.current_generation(group, member))
    elif group.state is STABLE:
        if (
            group.leader_id == member.member_id
        ):  # so that it can bring in what is no metadata of a member: new partitions
            _rejoin(group, member, event, "is the leader and joins again", now, out)
        elif changed:
            _rejoin(group, member, event, "has new metadata", now, out)
        else:
            out.reply(event.ticket, rebalance.current_generation(group, member))
    else:
        out.reply(event.ticket, JoinReply(UNKNOWN_MEMBER_ID, event.member_id))


def _rejoin(group: ClassicGroup, member: ClassicMember, event: JoinGroup, why: str, now: int, out: Decision) -> None:
    _update(group, member, event, out)
    rebalance.prepare_or_complete(group, f"member {member.member_id} {why}; {_reason(event)}", now, out)


def _update(group: ClassicGroup, member: ClassicMember, event: JoinGroup, out: Decision) -> None:
    group.set_protocols(member, event.protocols)
    member.rebalance_timeout_ms = event.rebalance_timeout_ms
    member.session_timeout_ms = event.session_timeout_ms
    group.park_join(member, event.ticket, JoinReply(REBALANCE_IN_PROGRESS, member.member_id), out)


def _add(group: ClassicGroup, event: JoinGroup, member_id: str, now: int, out: Decision) -> None:
    member = _member(event, member_id)
    member.is_new = True
    member.join_ticket = event.ticket
    if group.state is PREPARING_REBALANCE and group.previous_state is EMPTY:
        group.new_member_added = True
    group.add(member, event.protocol_type)
    member.session_deadline = now + NEW_MEMBER_JOIN_TIMEOUT_MS
    group.arm(member.session_deadline)
    reason = f"new member {member_id} instance {event.instance_id}; {_reason(event)}"
    rebalance.prepare_or_complete(group, reason, now, out)


def _replace_static(group: ClassicGroup, event: JoinGroup, old: ClassicMember, now: int, out: Decision) -> None:
    log.info(
        "group=%s instance=%s member=%s replaces %s",
        group.group_id,
        event.instance_id,
        event.new_member_id,
        old.member_id,
    )
    new = _member(event, event.new_member_id)
    new.assignment = old.assignment
    if group.state is STABLE:
        members = [new if member is old else member for member in group.members.values()]
        if select_protocol(members) == group.protocol_name:
            _replace_in_place(group, event, old, new, members, out)
            return
    group.replace_static(old, new, out)
    group.park_join(new, event.ticket, JoinReply(REBALANCE_IN_PROGRESS, new.member_id), out)
    group.touch(new, now)
    # In CompletingRebalance the leader may already be assigning to the old id, so the generation has to be done again.
    rebalance.prepare_or_complete(
        group, f"static member {new.member_id} replaces {old.member_id}; {_reason(event)}", now, out
    )


def _replace_in_place(
    group: ClassicGroup,
    event: JoinGroup,
    old: ClassicMember,
    new: ClassicMember,
    members: list[ClassicMember],
    out: Decision,
) -> None:
    """The group stays stable; `apply` of the record makes the exchange."""
    leads = group.leader_id == old.member_id
    value = group.value()
    value.members = members
    if leads:
        value.leader_id = new.member_id
    out.records.append(group.record(value))
    if event.supports_skip_assignment:
        described = rebalance.joined_members(members, group.protocol_name) if leads else []
        leader, skip = value.leader_id, leads
    else:  # naming the old leader keeps a client that cannot skip from assigning
        described, leader, skip = [], group.leader_id, False
    out.reply(
        event.ticket,
        JoinReply(
            NONE,
            new.member_id,
            group.generation_id,
            group.protocol_type,
            group.protocol_name,
            leader or "",
            described,
            skip,
        ),
    )


def _member(event: JoinGroup, member_id: str) -> ClassicMember:
    return ClassicMember(
        member_id,
        event.instance_id,
        event.client_id,
        event.client_host,
        event.session_timeout_ms,
        event.rebalance_timeout_ms,
        event.protocols,
    )


def _reason(event: JoinGroup) -> str:
    return f"client reason: {event.reason or 'not provided'}"
