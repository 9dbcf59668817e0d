"""Who may commit and delete offsets of a classic group, and from when its offsets age."""

from __future__ import annotations

from moldau.coordination.events import OffsetCommit
from moldau.coordination.offsets import FROM_COMMIT
from moldau.coordination.subscription import PROTOCOL_TYPE
from moldau.protocol.error_codes import (
    COORDINATOR_NOT_AVAILABLE,
    GROUP_ID_NOT_FOUND,
    ILLEGAL_GENERATION,
    NON_EMPTY_GROUP,
    NONE,
    REBALANCE_IN_PROGRESS,
    UNKNOWN_MEMBER_ID,
)

from .group import ClassicGroup
from .states import COMPLETING_REBALANCE, DEAD, EMPTY, PREPARING_REBALANCE, STABLE


def validate_commit(group: ClassicGroup, event: OffsetCommit) -> int:
    """May these offsets be committed?

    Without a generation (administrators, consumers that assign partitions themselves) only while the group is empty. A
    member commits in its own generation, also while the next one is gathering; but not between JoinGroup and
    SyncGroup, where it cannot know what it owns: REBALANCE_IN_PROGRESS. Offsets of a transaction are less strictly held: old producers tell no
    member (below TxnOffsetCommit 3, KIP-447), and a member between two generations may still commit what it read in its own.
    """
    state = group.state
    if state is DEAD:
        return COORDINATOR_NOT_AVAILABLE
    if event.generation_id < 0 and state is EMPTY:
        return NONE
    if event.generation_id < 0 and not event.member_id and event.instance_id is None:
        return NONE if event.transactional else UNKNOWN_MEMBER_ID
    error = group.validate_member(event.member_id, event.instance_id)
    if error != NONE:
        return error
    if event.generation_id != group.generation_id:
        return ILLEGAL_GENERATION
    return REBALANCE_IN_PROGRESS if state is COMPLETING_REBALANCE and not event.transactional else NONE


def commit_keeps_session(group: ClassicGroup, event: OffsetCommit, now: int) -> None:
    """A commit is as good as a heartbeat."""
    member = group.members.get(event.member_id)
    if member is not None and group.state in (STABLE, PREPARING_REBALANCE):
        group.touch(member, now)


def validate_offset_delete(group: ClassicGroup) -> int:
    """A consumer group may have members: each topic is then looked at. Of others we do not know what they use."""
    if group.state is DEAD:
        return GROUP_ID_NOT_FOUND
    return NONE if group.state is EMPTY or group.protocol_type == PROTOCOL_TYPE else NON_EMPTY_GROUP


def validate_delete(group: ClassicGroup) -> int:
    if group.state is DEAD:
        return GROUP_ID_NOT_FOUND
    return NONE if group.state is EMPTY else NON_EMPTY_GROUP


def offsets_expire_from(group: ClassicGroup) -> int | None:
    """From when the retention of the group's offsets counts (KIP-211): a time, `FROM_COMMIT`, or None while none may
    expire.

    An empty group's count from when it became empty; those of a simple consumer, which never has members, from each
    commit. A stable group's topics that nobody subscribes to any more count from the commit too.
    """
    if group.protocol_type is None:
        return FROM_COMMIT
    if group.state is EMPTY:
        return group.state_timestamp
    if group.state is STABLE and group.protocol_type == PROTOCOL_TYPE and group.subscribed_topics is not None:
        return FROM_COMMIT
    return None
