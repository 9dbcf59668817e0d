"""StreamsGroupDescribe 0-1 (KIP-1071): members, tasks and the topology of streams groups.

`authorized_operations` are filled when asked for. Version 1 adds the name of the assignor (KIP-1357), and, when it is asked for, the description
of the topology that a member has sent (KIP-1331).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from moldau.coordination.streams.describe import DescribedPart, DescribedStreamsGroup, DescribedStreamsMember
from moldau.coordination.streams.tasks import TaskId, by_subtopology
from moldau.coordination.streams.topology import InternalTopic
from moldau.protocol import error_codes
from moldau.protocol.messages import streams_group_describe as wire
from moldau.protocol.messages import streams_group_topology_description_update as sent

from .describe_groups import GROUP_OPERATIONS, NOT_ASKED
from .streams_group_topology_description_update import unpacked

if TYPE_CHECKING:
    from moldau.broker.broker import Broker
    from moldau.broker.dispatch import Request

ASSIGNOR = "sticky"
_NOT_STORED, _AVAILABLE = 1, 3
"""Statuses of a topology's description."""


async def handle(broker: Broker, request: Request) -> wire.StreamsGroupDescribeResponse:
    message: wire.StreamsGroupDescribeRequest = request.message
    operations = GROUP_OPERATIONS if message.include_authorized_operations else NOT_ASKED
    return wire.StreamsGroupDescribeResponse(
        groups=[_group(broker, group_id, request, operations) for group_id in message.group_ids]
    )


def _group(broker: Broker, group_id: str, request: Request, operations: int) -> wire.DescribedGroup:
    if not group_id:
        return wire.DescribedGroup(group_id=group_id, error_code=error_codes.INVALID_GROUP_ID)
    error_code, error_message, group = broker.groups.details("streams", group_id)
    if error_code:
        return wire.DescribedGroup(group_id=group_id, error_code=error_code, error_message=error_message)
    found: DescribedStreamsGroup = group
    described = wire.DescribedGroup(
        group_id=group_id,
        group_state=found.state,
        group_epoch=found.group_epoch,
        assignment_epoch=found.assignment_epoch,
        topology=wire.Topology(epoch=found.topology_epoch, subtopologies=[_part(part) for part in found.parts]),
        members=[_member(member) for member in found.members],
        authorized_operations=operations,
        assignor_name=ASSIGNOR if request.version >= 1 else None,
    )
    if request.message.include_topology_description:
        described.topology_description_status = _NOT_STORED
        if found.description is not None:
            described.topology_description_status = _AVAILABLE
            described.topology_description = _description(unpacked(found.description))
    return described


def _description(description: sent.TopologyDescription) -> wire.TopologyDescription:
    return wire.TopologyDescription(
        subtopologies=[
            wire.TopologyDescriptionSubtopology(
                subtopology_id=part.subtopology_id, nodes=[_node(node) for node in part.nodes]
            )
            for part in description.subtopologies
        ],
        global_stores=[
            wire.TopologyDescriptionGlobalStore(source=_node(store.source), processor=_node(store.processor))
            for store in description.global_stores
        ],
    )


def _node(node: sent.TopologyDescriptionNode) -> wire.TopologyDescriptionNode:
    return wire.TopologyDescriptionNode(
        name=node.name,
        node_type=node.node_type,
        source_topics=node.source_topics,
        sink_topic=node.sink_topic,
        stores=node.stores,
        successors=node.successors,
    )


def _part(part: DescribedPart) -> wire.Subtopology:
    return wire.Subtopology(
        subtopology_id=part.subtopology_id,
        source_topics=part.source_topics,
        repartition_sink_topics=part.repartition_sink_topics,
        state_changelog_topics=[_topic(topic) for topic in part.changelogs],
        repartition_source_topics=[_topic(topic) for topic in part.repartition_source_topics],
    )


def _topic(topic: InternalTopic) -> wire.TopicInfo:
    return wire.TopicInfo(
        name=topic.name,
        partitions=topic.partitions,
        replication_factor=topic.replication_factor,
        topic_configs=[wire.KeyValue(key=name, value=value) for name, value in topic.configs],
    )


def _member(described: DescribedStreamsMember) -> wire.Member:
    member = described.member
    endpoint = member.endpoint
    return wire.Member(
        member_id=member.member_id,
        member_epoch=member.member_epoch,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        topology_epoch=member.topology_epoch,
        process_id=member.process_id,
        user_endpoint=None if endpoint is None else wire.Endpoint(host=endpoint.host, port=endpoint.port),
        client_tags=[wire.KeyValue(key=name, value=value) for name, value in member.client_tags.items()],
        task_offsets=_offsets(described.offsets),
        task_end_offsets=_offsets(described.end_offsets),
        assignment=_assignment(member.assigned.active, member.assigned.standby, member.assigned.warmup),
        target_assignment=_assignment(member.target.active, member.target.standby, member.target.warmup),
    )


def _assignment(active: Iterable[TaskId], standby: Iterable[TaskId], warmup: Iterable[TaskId]) -> wire.Assignment:
    return wire.Assignment(active_tasks=_ids(active), standby_tasks=_ids(standby), warmup_tasks=_ids(warmup))


def _ids(tasks: Iterable[TaskId]) -> list[wire.TaskIds]:
    return [
        wire.TaskIds(subtopology_id=name, partitions=partitions) for name, partitions in by_subtopology(tasks).items()
    ]


def _offsets(offsets: Mapping[TaskId, int]) -> list[wire.TaskOffset]:
    return [
        wire.TaskOffset(subtopology_id=name, partition=partition, offset=offset)
        for (name, partition), offset in sorted(offsets.items())
    ]
