"""How a consumer group looks from outside: ListGroups and ConsumerGroupDescribe."""

from __future__ import annotations

from typing import NamedTuple

from moldau.coordination.listing import ListedGroup

from .assigning import assignor_name
from .events import Partitions
from .group import ConsumerGroup
from .member import ConsumerMember, partitions

PROTOCOL_TYPE = "consumer"

NamedPartitions = list[tuple[bytes, str, list[int]]]
"""(topic id, topic name, partitions); topics that are gone are left out."""


class ConsumerDescription(NamedTuple):
    """As ConsumerGroupDescribe has it."""

    group_id: str
    state: str
    group_epoch: int
    assignment_epoch: int
    assignor: str
    members: list[ConsumerMemberDescription]


class ConsumerMemberDescription(NamedTuple):
    """`is_classic`: it speaks the classic protocol. `assigned` is also what it has not yet given up, as in Kafka."""

    member_id: str
    instance_id: str | None
    rack_id: str | None
    member_epoch: int
    client_id: str
    client_host: str
    topics: list[str]
    regex: str
    is_classic: bool
    assigned: NamedPartitions
    target: NamedPartitions


def listed(group: ConsumerGroup) -> ListedGroup:
    return ListedGroup(group.group_id, group.type_name, PROTOCOL_TYPE, group.state)


def details(group: ConsumerGroup) -> ConsumerDescription:
    return ConsumerDescription(
        group.group_id,
        group.state,
        group.group_epoch,
        group.assignment_epoch,
        assignor_name(group, group.members.values()),
        [_member(group, member) for member in group.members.values()],
    )


def _member(group: ConsumerGroup, member: ConsumerMember) -> ConsumerMemberDescription:
    return ConsumerMemberDescription(
        member.member_id,
        member.instance_id,
        member.rack_id,
        member.member_epoch,
        member.client_id,
        member.client_host,
        list(member.topics),
        member.regex or "",
        member.classic is not None,
        _named(group, _held(member)),
        _named(group, member.target),
    )


def _held(member: ConsumerMember) -> Partitions:
    """What it has, given up or not."""
    found = partitions(member.assigned)
    for topic_id, epochs in member.revoking.items():
        found[topic_id] = found.get(topic_id, frozenset()) | epochs.keys()
    return found


def _named(group: ConsumerGroup, assigned: Partitions) -> NamedPartitions:
    found = []
    for topic_id, each in assigned.items():
        topic = group.around.topics.by_id(topic_id)
        if topic is not None:
            found.append((topic_id, topic.name, sorted(each)))
    return found
