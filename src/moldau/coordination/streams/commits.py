"""Who may commit offsets to a streams group, and read them."""

from __future__ import annotations

from moldau.coordination.events import OffsetCommit
from moldau.protocol.error_codes import NONE, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, UNSUPPORTED_VERSION

from .group import StreamsGroup
from .member import StreamsMember


def validate_commit(group: StreamsGroup, event: OffsetCommit) -> int:
    """An epoch behind the member's is fine for tasks that it has had since then (KIP-1251): a commit may cross the heartbeat's answer."""
    if event.generation_id < 0 and not group.members:
        return NONE
    if event.transactional and event.generation_id < 0 and not event.member_id and event.instance_id is None:
        return NONE
    member = group.members.get(event.member_id)
    if member is None:
        return UNKNOWN_MEMBER_ID
    if not event.transactional and not event.knows_group_id_not_found:
        return UNSUPPORTED_VERSION
    if event.generation_id == member.member_epoch:
        return NONE
    if event.generation_id > member.member_epoch or not _has_had(group, member, event):
        return STALE_MEMBER_EPOCH
    return NONE


def _has_had(group: StreamsGroup, member: StreamsMember, event: OffsetCommit) -> bool:
    """Whether all partitions of the commit are of active tasks that the member has had since that epoch."""
    readers = group.topology.source_subtopologies() if group.topology else {}
    for topic_id, partition, *_ in event.offsets:
        facts = group.around.topics.by_id(topic_id)
        task = (readers.get(facts.name, ""), partition) if facts else ("", partition)
        since = member.assigned.active.get(task, member.revoking.active.get(task))
        if since is None or event.generation_id < since:
            return False
    return True


def validate_fetch(group: StreamsGroup, member_id: str | None, member_epoch: int) -> int:
    if member_id is None and member_epoch < 0:
        return NONE
    member = group.members.get(member_id or "")
    if member is None:
        return UNKNOWN_MEMBER_ID
    return NONE if member_epoch == member.member_epoch else STALE_MEMBER_EPOCH
