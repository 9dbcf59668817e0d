"""ConsumerGroupDescribe 0-1 (KIP-848): epochs, assignor and members of consumer groups, with what each has and is to have.

1 says which members speak the classic protocol (KIP-1099). A group that is unknown, or of another type, is GROUP_ID_NOT_FOUND.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker import features
from moldau.coordination.consumer.describe import (
    ConsumerDescription,
    ConsumerMemberDescription,
    NamedPartitions,
)
from moldau.protocol import error_codes
from moldau.protocol.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)

from .describe_groups import GROUP_OPERATIONS, NOT_ASKED

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

_CLASSIC, _CONSUMER = 0, 1
"""MemberType of version 1."""


async def handle(broker: Broker, request: Request) -> ConsumerGroupDescribeResponse:
    message: ConsumerGroupDescribeRequest = request.message
    operations = GROUP_OPERATIONS if message.include_authorized_operations else NOT_ASKED
    return ConsumerGroupDescribeResponse(groups=[_group(broker, each, operations) for each in message.group_ids])


def _group(broker: Broker, group_id: str, operations: int) -> DescribedGroup:
    if not features.group_version(broker.cluster.features):
        return DescribedGroup(group_id=group_id, error_code=error_codes.UNSUPPORTED_VERSION)
    if not group_id:
        return DescribedGroup(group_id=group_id, error_code=error_codes.INVALID_GROUP_ID)
    code, why, found = broker.groups.details("consumer", group_id)
    if code:
        return DescribedGroup(group_id=group_id, error_code=code, error_message=why)
    group: ConsumerDescription = found
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state,
        group_epoch=group.group_epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=list(map(_member, group.members)),
        authorized_operations=operations,
    )


def _member(member: ConsumerMemberDescription) -> Member:
    return Member(
        member_id=member.member_id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.member_epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=member.topics,
        subscribed_topic_regex=member.regex,
        assignment=_assignment(member.assigned),
        target_assignment=_assignment(member.target),
        member_type=_CLASSIC if member.is_classic else _CONSUMER,
    )


def _assignment(partitions: NamedPartitions) -> Assignment:
    return Assignment(
        topic_partitions=[
            TopicPartitions(topic_id=topic_id, topic_name=name, partitions=each) for topic_id, name, each in partitions
        ]
    )
