"""Who a heartbeat is from: the member it belongs to, or why there is none (Kafka's GroupMetadataManager)."""

from __future__ import annotations

from moldau.protocol.error_codes import (
    FENCED_INSTANCE_ID,
    FENCED_MEMBER_EPOCH,
    GROUP_MAX_SIZE_REACHED,
    UNKNOWN_MEMBER_ID,
    UNRELEASED_INSTANCE_ID,
)

from .draft import Draft
from .events import JOINING, Refused, StreamsHeartbeat
from .group import StreamsGroup
from .member import StreamsMember
from .reconcile import Owners
from .tasks import Assignment, Held


def find(draft: Draft, event: StreamsHeartbeat, max_size: int) -> tuple[StreamsMember, bool]:
    """The member as it was before the heartbeat, and whether it is new. Raises Refused."""
    group = draft.group
    joining = event.member_epoch == JOINING
    if event.instance_id is not None:
        known_id = group.static_members.get(event.instance_id)
        known = None if known_id is None else group.members[known_id]
        if joining and known is not None and known.member_id != event.member_id:
            return _replace(draft, known, event), False
        if not joining:
            known = static_member(group, event)
    else:
        known = group.members.get(event.member_id) if joining else member_of(group, event.member_id)
    if known is None:
        if len(group.members) >= max_size:
            raise Refused(
                GROUP_MAX_SIZE_REACHED, f"The streams group has reached its maximum capacity of {max_size} members."
            )
        return StreamsMember(event.member_id), True
    _check_epoch(known, event)
    return known, False


def member_of(group: StreamsGroup, member_id: str) -> StreamsMember:
    """Raises Refused."""
    member = group.members.get(member_id)
    if member is None:
        raise Refused(UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {group.group_id}.")
    return member


def static_member(group: StreamsGroup, event: StreamsHeartbeat) -> StreamsMember:
    """The member of the event's instance id. Raises Refused, also when another member id has that now."""
    known_id = group.static_members.get(event.instance_id or "")
    if known_id is None:
        raise Refused(UNKNOWN_MEMBER_ID, f"Instance id {event.instance_id} is unknown.")
    if known_id != event.member_id:
        raise Refused(
            FENCED_INSTANCE_ID,
            f"Static member {event.member_id} with instance id {event.instance_id} was fenced by member {known_id}.",
        )
    return group.members[known_id]


def _replace(draft: Draft, known: StreamsMember, event: StreamsHeartbeat) -> StreamsMember:
    """Another member id takes over what the instance had, if the instance had said that it goes for a while."""
    if not known.is_away:
        raise Refused(
            UNRELEASED_INSTANCE_ID,
            f"Static member {event.member_id} with instance id {event.instance_id} cannot join the group because the instance id "
            f"is owned by {known.member_id} member.",
        )
    member = known.copy(event.member_id)
    member.member_epoch = member.previous_epoch = 0
    draft.replace(known, member)
    if event.process_id not in (None, known.process_id):
        member.assigned = _without_copies(member.assigned, draft, event.process_id or "", member)
    return member


def _without_copies(held: Held, draft: Draft, process_id: str, member: StreamsMember) -> Held:
    """The instance has moved to another process: what that has already, in whatever role, is not its any more."""
    others = Owners()
    for other in draft.members().values():
        if other is not member and other.process_id == process_id:
            others.add(other.assigned, process_id)
            others.add(other.revoking, process_id)
    return Held(
        {task: epoch for task, epoch in held.active.items() if not others.has(process_id, task)},
        frozenset(task for task in held.standby if not others.has(process_id, task)),
        frozenset(task for task in held.warmup if not others.has(process_id, task)),
    )


def _check_epoch(member: StreamsMember, event: StreamsHeartbeat) -> None:
    """The epoch before is fine when the member has nothing but what it was given: the answer with the new one may have been lost."""
    epoch = event.member_epoch
    if epoch in (JOINING, member.member_epoch):
        return
    if epoch > member.member_epoch:
        which = "greater"
    elif epoch == member.previous_epoch and _has_only(event.owned, member.assigned):
        return
    else:
        which = "smaller"
    raise Refused(
        FENCED_MEMBER_EPOCH,
        f"The streams group member has a {which} member epoch ({epoch}) than the one known by the group coordinator "
        f"({member.member_epoch}). The member must abandon all its partitions and rejoin.",
    )


def _has_only(owned: Assignment | None, assigned: Held) -> bool:
    return (
        owned is not None
        and owned.active <= assigned.active.keys()
        and owned.standby <= assigned.standby
        and owned.warmup <= assigned.warmup
    )
