"""Heartbeat: the session of a member goes on. Never writes anything."""

from __future__ import annotations

from moldau.coordination.events import Heartbeat
from moldau.protocol.error_codes import (
    COORDINATOR_NOT_AVAILABLE,
    ILLEGAL_GENERATION,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
)

from .group import ClassicGroup
from .states import DEAD, EMPTY, PREPARING_REBALANCE


def heartbeat(group: ClassicGroup, event: Heartbeat, now: int) -> int:
    """NONE, or REBALANCE_IN_PROGRESS (alive, and asked to join), or why the member is none any more.

    Heartbeats are good while the leader computes the assignment: members begin them with the answer to JoinGroup.
    """
    state = group.state
    if state is DEAD:
        return COORDINATOR_NOT_AVAILABLE
    if event.instance_id is not None:
        error = group.validate_member(event.member_id, event.instance_id)
        if error != NONE:
            return error
    member = group.members.get(event.member_id)
    if member is None or state is EMPTY:
        return UNKNOWN_MEMBER_ID
    if event.generation_id != group.generation_id:
        return ILLEGAL_GENERATION
    group.touch(member, now)
    return REBALANCE_IN_PROGRESS if state is PREPARING_REBALANCE else NONE
