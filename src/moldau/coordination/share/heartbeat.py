"""ShareGroupHeartbeat: joining, staying, leaving, and the assignment that follows (Kafka's GroupMetadataManager.shareGroupHeartbeat)."""

from __future__ import annotations

from typing import Any

from moldau.coordination.assignors import assignor
from moldau.coordination.decision import NEVER, Computation, Decision
from moldau.coordination.modern.fencing import check_epoch
from moldau.coordination.modern.member import JOIN_EPOCH, LEAVE_EPOCH
from moldau.coordination.modern.standing import MemberStanding
from moldau.coordination.modern.subscribed import metadata_hash
from moldau.coordination.refusal import Refused
from moldau.protocol.error_codes import GROUP_MAX_SIZE_REACHED, INVALID_REQUEST, NONE, UNKNOWN_MEMBER_ID

from .events import Partitions, ShareAssigned, ShareHeartbeat, ShareReply
from .group import ShareGroup, ShareMember
from .records import GroupValue, gone_record, group_record, member_record

_AT_ONCE = 20_000
"""Members times partitions that are assigned without a thread: some ten ms."""

Members = dict[str, ShareMember]


def check(event: ShareHeartbeat) -> None:
    """Raises Refused: INVALID_REQUEST."""
    if not event.member_id:
        raise Refused(INVALID_REQUEST, "MemberId can't be empty.")
    if not event.group_id.strip():
        raise Refused(INVALID_REQUEST, "GroupId can't be empty.")
    if event.rack_id == "":
        raise Refused(INVALID_REQUEST, "RackId can't be empty.")
    if event.member_epoch < LEAVE_EPOCH:
        raise Refused(INVALID_REQUEST, "MemberEpoch is invalid.")
    if event.member_epoch == JOIN_EPOCH and not event.topics:
        raise Refused(INVALID_REQUEST, "SubscribedTopicNames must be set in first request.")


def heartbeat(group: ShareGroup, event: ShareHeartbeat, now: int, out: Decision) -> None:
    """Raises Refused."""
    if event.member_epoch == LEAVE_EPOCH:
        _known(group, event.member_id)
        members = dict(group.members)
        del members[event.member_id]
        out.records.append(gone_record(group.group_id, event.member_id))
        _settle(group, members, now, out, changed=True)
        out.reply(event.ticket, ShareReply(NONE, member_id=event.member_id, member_epoch=LEAVE_EPOCH))
        return
    member, before = _member(group, event)
    group_members = {**group.members, member.member_id: member}
    changed = before is None or before.topics != member.topics
    epoch, targets = _settle(group, group_members, now, out, changed=changed)
    if targets is not None:
        member = member.but(target=targets.get(member.member_id, {}))
    if member.member_epoch != epoch:
        member = member.at_epoch(epoch, assigned=member.target)
    if before is None or member != before:
        out.records = [record for record in out.records if record.key != member.member_id]
        out.records.append(member_record(group.group_id, member))
    if before is not None:
        group.touch(before, now)
    # who says everything anew may have missed an answer
    full = event.member_epoch == JOIN_EPOCH or event.topics is not None
    tells = full or before is None or member.assigned != before.assigned
    out.reply(
        event.ticket,
        ShareReply(
            NONE,
            None,
            member.member_id,
            member.member_epoch,
            int(group.around.settings(group.group_id)["share.heartbeat.interval.ms"]),
            member.assigned if tells else None,
        ),
    )
    if before is not None and not tells and not out.records and out.computation is None:
        out.standing = MemberStanding(group, before, "share")


def _known(group: ShareGroup, member_id: str) -> ShareMember:
    member = group.members.get(member_id)
    if member is None:
        raise Refused(UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {group.group_id}.")
    return member


def _member(group: ShareGroup, event: ShareHeartbeat) -> tuple[ShareMember, ShareMember | None]:
    """The member as it is to be after what it says, and as it was."""
    before = group.members.get(event.member_id)
    if event.member_epoch != JOIN_EPOCH:
        before = _known(group, event.member_id)
        check_epoch("share group", before, event.member_epoch, keeps_to_assignment=True)
    elif before is None and len(group.members) >= group.around.broker_value("group.share.max.size"):
        raise Refused(GROUP_MAX_SIZE_REACHED, "The share group has reached its maximum capacity.")
    topics = before.topics if event.topics is None and before is not None else tuple(sorted(set(event.topics or ())))
    said: dict[str, Any] = {
        "rack_id": event.rack_id if event.rack_id is not None or before is None else before.rack_id,
        "client_id": event.client_id,
        "client_host": event.client_host,
        "topics": topics,
    }
    return (ShareMember(event.member_id, **said) if before is None else before.but(**said)), before


def tick(group: ShareGroup, now: int, out: Decision) -> None:
    """Members that are silent too long go; an assignment that was put off is made."""
    members = dict(group.members)
    for member, why in group.overdue(now):
        group.tell(now, "gone", f"{member.member_id}: {why}")
        del members[member.member_id]
        out.records.append(gone_record(group.group_id, member.member_id))
    _settle(group, members, now, out, changed=len(members) < len(group.members))
    group.rearm()


def assigned(group: ShareGroup, event: ShareAssigned, now: int, out: Decision) -> None:
    """What a thread has found, if it is still what the group needs."""
    group.computing = -1
    if event.targets is not None and event.epoch == group.group_epoch:
        _put_targets(group, group.members, event.targets, out)
        value = GroupValue(group.group_epoch, event.epoch, group.metadata_hash)
        out.records.append(group_record(group.group_id, value))
    else:
        _settle(group, dict(group.members), now, out, changed=False)


def _settle(
    group: ShareGroup, members: Members, now: int, out: Decision, *, changed: bool
) -> tuple[int, dict[str, Partitions] | None]:
    """Raise the group's epoch if its members or topics changed; assign if that is due. The assignment epoch, and the new targets if any."""
    around = group.around
    topics_hash, epoch = group.metadata_hash, group.group_epoch
    if changed or group.topics_version != around.topics.version:
        names = {topic for member in members.values() for topic in member.topics}
        topics_hash = metadata_hash(around.topics, names)
        group.topics_version = around.topics.version
    if changed or topics_hash != group.metadata_hash:
        epoch += 1
    assignment_epoch, targets = group.assignment_epoch, None
    if epoch > assignment_epoch:
        due = group.may_assign_at(int(around.settings(group.group_id)["share.assignment.interval.ms"]))
        if not members:
            group.assign_deadline = NEVER
        elif now < due:
            group.assign_deadline = due
            group.arm(due)
        else:
            group.assign_deadline = NEVER
            targets = _assign(group, members, epoch, out)
            if targets is not None:
                assignment_epoch = epoch
                _put_targets(group, members, targets, out)
    if (epoch, assignment_epoch, topics_hash) != (group.group_epoch, group.assignment_epoch, group.metadata_hash):
        out.records.insert(0, group_record(group.group_id, GroupValue(epoch, assignment_epoch, topics_hash)))
    return assignment_epoch, targets


def _put_targets(group: ShareGroup, members: Members, targets: dict[str, Partitions], out: Decision) -> None:
    for member_id, target in targets.items():
        member = members.get(member_id)
        if member is not None and member.target != target:
            out.records.append(member_record(group.group_id, member.but(target=target)))


def _assign(group: ShareGroup, members: Members, epoch: int, out: Decision) -> dict[str, Partitions] | None:
    """The targets; None when a thread is to find them."""
    topics = group.around.topics
    subscribed: dict[str, dict[bytes, int]] = {}
    for member in members.values():
        facts = [fact for fact in map(topics.by_name, member.topics) if fact is not None]
        subscribed[member.member_id] = {fact.topic_id: fact.partitions for fact in facts}
    current = {member.member_id: member.target for member in members.values()}
    name = group.around.broker_value("group.share.assignors")[0]
    chosen = assignor("share", name)
    size = sum(sum(counts.values()) for counts in subscribed.values())
    if size <= _AT_ONCE or not group.around.settings(group.group_id)["share.assignor.offload.enable"]:
        found: dict[str, Partitions] = chosen.assign(subscribed, current)
        return found
    if group.computing != epoch:
        group.computing = epoch
        group_id = group.group_id

        def work() -> dict[str, Partitions]:
            result: dict[str, Partitions] = chosen.assign(subscribed, current)
            return result

        out.computation = Computation(work, lambda result, problem: ShareAssigned(group_id, epoch, result))
    return None
