"""ShareGroupDescribe 1: state, epochs, members and their partitions of share groups (KIP-932). GROUP_ID_NOT_FOUND for what is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moldau.broker.api.describe_groups import GROUP_OPERATIONS, NOT_ASKED
from moldau.coordination.share.events import DescribedShareMember
from moldau.protocol import error_codes
from moldau.protocol.messages.share_group_describe import (
    Assignment,
    DescribedGroup,
    Member,
    ShareGroupDescribeRequest,
    ShareGroupDescribeResponse,
    TopicPartitions,
)

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request


async def handle(broker: Broker, request: Request) -> ShareGroupDescribeResponse:
    message: ShareGroupDescribeRequest = request.message
    operations = GROUP_OPERATIONS if message.include_authorized_operations else NOT_ASKED
    return ShareGroupDescribeResponse(groups=[_group(broker, group_id, operations) for group_id in message.group_ids])


def _group(broker: Broker, group_id: str, operations: int) -> DescribedGroup:
    if not group_id:
        return DescribedGroup(group_id=group_id, error_code=error_codes.INVALID_GROUP_ID)
    code, why, group = broker.groups.details("share", group_id)
    if code:
        return DescribedGroup(group_id=group_id, error_code=code, error_message=why)
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state,
        group_epoch=group.epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_member(broker, member) for member in group.members],
        authorized_operations=operations,
    )


def _member(broker: Broker, member: DescribedShareMember) -> Member:
    return Member(
        member_id=member.member_id,
        rack_id=member.rack_id,
        member_epoch=member.member_epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.topics),
        assignment=Assignment(
            topic_partitions=[
                TopicPartitions(topic_id=topic_id, topic_name=name, partitions=list(partitions))
                for topic_id, partitions in member.assigned.items()
                if (name := broker.catalog.name_of(topic_id)) is not None
            ]
        ),
    )
