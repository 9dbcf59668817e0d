"""Whether a member may go on in the epoch that it names."""

from __future__ import annotations

from typing import TypeVar

from moldau.coordination.refusal import Refused
from moldau.protocol.error_codes import (
    FENCED_INSTANCE_ID,
    FENCED_MEMBER_EPOCH,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    UNRELEASED_INSTANCE_ID,
)

from .member import JOIN_EPOCH, STATIC_LEAVE_EPOCH, ModernMember

M = TypeVar("M", bound=ModernMember)


def check_epoch(kind: str, member: ModernMember, received: int, keeps_to_assignment: bool) -> None:
    """Raises Refused with FENCED_MEMBER_EPOCH.

    The previous epoch passes if the member owns nothing that it should not (`keeps_to_assignment`): the answer that told it the new one
    may have been lost. Epoch 0 passes: a member that was fenced, or has forgotten, joins anew under its id. `kind` is "consumer group", as messages say it.
    """
    known = member.member_epoch
    if received in (known, JOIN_EPOCH) or (
        received == member.previous_member_epoch and received < known and keeps_to_assignment
    ):
        return
    word = "greater" if received > known else "smaller"
    raise Refused(
        FENCED_MEMBER_EPOCH,
        f"The {kind} member has a {word} member epoch ({received}) than the one known by the group coordinator ({known}). "
        "The member must abandon all its partitions and rejoin.",
    )


def check_instance(member: M | None, member_id: str, instance_id: str) -> M:
    """The static member of that instance, which must be who speaks. Raises Refused: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID."""
    if member is None:
        raise Refused(UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
    if member.member_id != member_id:
        raise Refused(
            FENCED_INSTANCE_ID,
            f"Static member {member_id} with instance id {instance_id} was fenced by member {member.member_id}.",
        )
    return member


def check_released(member: ModernMember, member_id: str, instance_id: str) -> None:
    """A static member may be replaced once it has left for a while. Raises Refused: UNRELEASED_INSTANCE_ID."""
    if member.member_epoch != STATIC_LEAVE_EPOCH:
        raise Refused(
            UNRELEASED_INSTANCE_ID,
            f"Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is owned by "
            f"{member.member_id} member.",
        )


def commit_error(member: ModernMember | None, received: int) -> int | None:
    """What a member that commits or fetches offsets in that epoch is answered: 0, UNKNOWN_MEMBER_ID or STALE_MEMBER_EPOCH; None when the
    epoch is an earlier one, in which some of its partitions may have been its already (KIP-1251).
    """
    if member is None:
        return UNKNOWN_MEMBER_ID
    if received == member.member_epoch:
        return 0
    return STALE_MEMBER_EPOCH if received > member.member_epoch else None
