"""A classic group becomes a consumer group, or back, while its members go on (`group.consumer.migration.policy`).

Up: a member of the consumer protocol joins a classic group of protocol type "consumer". Those who are there stay as *classic members*
(`classic_members`): what the last generation gave them is theirs, in an epoch that is its number. Who had a JoinGroup or SyncGroup waiting is
told to join again.

Down: the last member of the consumer protocol goes. What is stored then is a classic group in a generation that is the group epoch, stable and
without a leader; that is how the classic side knows that it has to begin a rebalance.

Each is one write: a broker that dies finds one group or the other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from moldau.coordination.classic.group import select_protocol
from moldau.coordination.classic.member import ClassicMember
from moldau.coordination.classic.states import STABLE as CLASSIC_STABLE
from moldau.coordination.decision import Decision
from moldau.coordination.records import CLASSIC_GROUP, ClassicGroupValue
from moldau.coordination.refusal import Refused
from moldau.coordination.replies import JoinReply, SyncReply
from moldau.coordination.subscription import (
    PROTOCOL_TYPE,
    TopicPartitions,
    pack_assignment,
    read_assignment,
    read_subscription,
)
from moldau.coordination.surroundings import TopicImage
from moldau.metadata.rows_groups import GroupRecord
from moldau.protocol.error_codes import GROUP_ID_NOT_FOUND, REBALANCE_IN_PROGRESS

from .events import Partitions
from .group import ConsumerGroup
from .member import Assigned, ClassicSide, ConsumerMember
from .plan import Plan
from .records import gone_record, group_record

if TYPE_CHECKING:
    from moldau.coordination.classic.group import ClassicGroup

log = logging.getLogger(__name__)

UPGRADES = frozenset(("upgrade", "bidirectional"))
DOWNGRADES = frozenset(("downgrade", "bidirectional"))


def policy(group: ConsumerGroup) -> str:
    return str(group.around.broker_value("group.consumer.migration.policy")).lower()


# -- up ---------------------------------------------------------------------------------------------------------------


def upgrade(classic: ClassicGroup, group: ConsumerGroup, now: int) -> None:
    """Fill a blank group with what the classic one has. Raises Refused: GROUP_ID_NOT_FOUND, with the reason."""
    size_max: int = group.around.broker_value("group.consumer.max.size")
    if policy(group) not in UPGRADES:
        _refuse(group, "online upgrade is disabled")
    if classic.protocol_type != PROTOCOL_TYPE or classic.protocol_name is None:
        _refuse(group, "the group does not use the consumer embedded protocol")
    if len(classic.members) > size_max:
        _refuse(group, "the group size exceeds the consumer group maximum size")
    group.group_epoch = group.assignment_epoch = max(classic.generation_id, 1)
    for old in classic.members.values():
        member = _upgraded(old, classic.protocol_name, group)
        group.put(member, now)
        for topic_id, epochs in member.assigned.items():
            for partition in epochs:
                group.owners[topic_id, partition] = member.member_id
    group.replaces = classic


def _refuse(group: ConsumerGroup, why: str) -> None:
    log.info("group=%s not upgraded reason='%s'", group.group_id, why)
    raise Refused(GROUP_ID_NOT_FOUND, f"Cannot upgrade classic group {group.group_id} to consumer group because {why}.")


def _upgraded(old: ClassicMember, protocol_name: str | None, group: ConsumerGroup) -> ConsumerMember:
    try:
        subscription = read_subscription(old.metadata(protocol_name))
        assignment = read_assignment(old.assignment)
    except ValueError as error:
        log.info("group=%s member=%s cannot be read: %s", group.group_id, old.member_id, error)
        _refuse(group, "the embedded consumer protocol is malformed")
        raise
    if assignment.user_data:
        _refuse(group, "userData from a custom assignor would be lost")
    epoch = group.group_epoch
    assigned: Assigned = {}
    for topic_id, partitions in by_id(assignment.partitions, group.around.topics).items():
        mine = [each for each in partitions if (topic_id, each) not in group.owners]
        if mine:
            assigned[topic_id] = dict.fromkeys(mine, epoch)
    return ConsumerMember(
        old.member_id,
        instance_id=old.instance_id,
        rack_id=subscription.rack_id or None,
        client_id=old.client_id,
        client_host=old.client_host,
        rebalance_timeout_ms=old.rebalance_timeout_ms,
        member_epoch=epoch,
        previous_member_epoch=epoch,
        topics=tuple(sorted(set(subscription.topics))),
        assigned=assigned,
        target={topic_id: frozenset(epochs) for topic_id, epochs in assigned.items()},
        classic=ClassicSide(old.session_timeout_ms, old.protocols),
    )


def by_id(named: TopicPartitions, topics: TopicImage) -> Partitions:
    """Of the topics and partitions that there are."""
    found: Partitions = {}
    for name, partitions in named.items():
        topic = topics.by_name(name)
        if topic is not None:
            found[topic.topic_id] = frozenset(each for each in partitions if 0 <= each < topic.partitions)
    return found


def finish_upgrade(group: ConsumerGroup, out: Decision) -> None:
    """The heartbeat that caused the upgrade was taken: end the classic group, before the records of the new one."""
    classic: ClassicGroup = group.replaces
    log.info("group=%s upgraded members=%d epoch=%d", group.group_id, len(classic.members), group.group_epoch)
    out.records.insert(0, classic.record(None))
    for member in classic.members.values():
        classic.answer_join(member, JoinReply(REBALANCE_IN_PROGRESS, member.member_id), out)
        classic.answer_sync(member, SyncReply(REBALANCE_IN_PROGRESS), out)


# -- down -------------------------------------------------------------------------------------------------------------


def may_downgrade(plan: Plan) -> bool:
    """Only members of the classic protocol would be left, and it is allowed."""
    if not plan.members or any(member.classic is None for member in plan.members.values()):
        return False
    size_max = plan.group.around.config.group_max_size
    return policy(plan.group) in DOWNGRADES and len(plan.members) <= size_max


def downgrade(plan: Plan, now: int, out: Decision) -> None:
    """End the consumer group, begin a classic one with the members of the plan."""
    group = plan.group
    log.info("group=%s downgraded members=%d generation=%d", group.group_id, len(plan.members), plan.group_epoch)
    members = [_downgraded(member, group) for member in plan.members.values()]
    protocol_name = select_protocol(members)
    value = ClassicGroupValue(CLASSIC_STABLE, now, plan.group_epoch, PROTOCOL_TYPE, protocol_name, None, members)
    out.records += tombstones(group)
    out.records.append(GroupRecord(CLASSIC_GROUP, group.group_id, "", value.encode()))


def tombstones(group: ConsumerGroup) -> list[GroupRecord]:
    """The end of the group; its own record goes last, so that there is a group until all members are gone."""
    return [*(gone_record(group.group_id, each) for each in group.members), group_record(group.group_id, None)]


def _downgraded(member: ConsumerMember, group: ConsumerGroup) -> ClassicMember:
    assert member.classic is not None
    return ClassicMember(
        member.member_id,
        member.instance_id,
        member.client_id,
        member.client_host,
        member.classic.session_timeout_ms,
        member.rebalance_timeout_ms,
        member.classic.protocols,
        pack_assignment(version_of(member.classic), _named(member.target, group.around.topics)),
    )


def version_of(classic: ClassicSide) -> int:
    """Of the embedded protocol, as the member speaks it."""
    try:
        return read_subscription(classic.protocols[0][1]).version
    except ValueError:
        return 0


def _named(partitions: Partitions, topics: TopicImage) -> list[tuple[str, frozenset[int]]]:
    found = []
    for topic_id, each in partitions.items():
        topic = topics.by_id(topic_id)
        if topic is not None:
            found.append((topic.name, each))
    return found
