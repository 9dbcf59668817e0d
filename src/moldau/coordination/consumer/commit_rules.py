"""Who may commit and read offsets of a consumer group.

A member names its epoch. One that is a step behind may still commit what it had in that epoch and has not given up (KIP-1251): each
partition is held against the epoch in which the member got it.
"""

from __future__ import annotations

from moldau.coordination.events import OffsetCommit
from moldau.coordination.modern.fencing import commit_error
from moldau.protocol.error_codes import (
    ILLEGAL_GENERATION,
    NON_EMPTY_GROUP,
    NONE,
    STALE_MEMBER_EPOCH,
    UNKNOWN_MEMBER_ID,
    UNSUPPORTED_VERSION,
)

from .group import ConsumerGroup
from .member import ConsumerMember


def validate_commit(group: ConsumerGroup, event: OffsetCommit) -> int:
    """One code for all offsets, as in Kafka."""
    epoch = event.generation_id
    if epoch < 0 and not group.members:
        return NONE
    if event.transactional and epoch == -1 and not event.member_id and event.instance_id is None:
        return NONE  # TxnOffsetCommit below version 3 names no member
    member = group.members.get(event.member_id)
    if member is None:
        return UNKNOWN_MEMBER_ID
    if not event.transactional and member.classic is None and not event.knows_group_id_not_found:
        return UNSUPPORTED_VERSION  # OffsetCommit below 9 knows nothing of member epochs
    code = commit_error(member, epoch)
    if code is None:
        had = all(_had_in(member, topic_id, partition, epoch) for topic_id, partition, *_ in event.offsets)
        code = NONE if had else STALE_MEMBER_EPOCH
    if code == STALE_MEMBER_EPOCH and event.transactional:
        return ILLEGAL_GENERATION  # producers know no other word for it
    return _as_spoken(member, code)


def validate_fetch(group: ConsumerGroup, member_id: str | None, member_epoch: int) -> int:
    if member_id is None and member_epoch < 0:
        return NONE
    member = group.members.get(member_id or "")
    if member is None:
        return UNKNOWN_MEMBER_ID
    return NONE if member_epoch == member.member_epoch else _as_spoken(member, STALE_MEMBER_EPOCH)


def validate_delete(group: ConsumerGroup) -> int:
    return NON_EMPTY_GROUP if group.members else NONE


def _had_in(member: ConsumerMember, topic_id: bytes, partition: int, epoch: int) -> bool:
    since = member.assigned.get(topic_id, {}).get(partition)
    if since is None:
        since = member.revoking.get(topic_id, {}).get(partition)
    return since is not None and since <= epoch


def _as_spoken(member: ConsumerMember, code: int) -> int:
    """A member of the classic protocol calls its epoch a generation."""
    return ILLEGAL_GENERATION if code == STALE_MEMBER_EPOCH and member.classic is not None else code
