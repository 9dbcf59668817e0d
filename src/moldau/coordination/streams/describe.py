"""What StreamsGroupDescribe tells of a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .configure import ConfiguredTopology
from .group import StreamsGroup
from .member import StreamsMember
from .tasks import TaskId
from .topology import InternalTopic, InvalidTopology


class DescribedPart(NamedTuple):
    subtopology_id: str
    source_topics: list[str]
    repartition_sink_topics: list[str]
    changelogs: list[InternalTopic]
    repartition_source_topics: list[InternalTopic]


class DescribedStreamsMember(NamedTuple):
    member: StreamsMember
    offsets: Mapping[TaskId, int]
    end_offsets: Mapping[TaskId, int]


class DescribedStreamsGroup(NamedTuple):
    group_id: str
    state: str
    group_epoch: int
    assignment_epoch: int
    topology_epoch: int
    description: bytes | None
    parts: list[DescribedPart]
    members: list[DescribedStreamsMember]


def describe(group: StreamsGroup) -> DescribedStreamsGroup:
    """Internal topics have the numbers of partitions that were decided, when all topics are there, else those that were declared."""
    return DescribedStreamsGroup(
        group.group_id,
        group.state,
        group.header.group_epoch,
        group.header.assignment_epoch,
        group.topology.epoch if group.topology else 0,
        group.description[1] if group.description else None,
        _parts(group),
        [
            DescribedStreamsMember(
                member, group.reported.get(member.member_id, {}), group.reported_ends.get(member.member_id, {})
            )
            for member in group.members.values()
        ],
    )


def _parts(group: StreamsGroup) -> list[DescribedPart]:
    if group.topology is None:
        return []
    configured = _configured(group)
    found = []
    for name, part in group.topology.subtopologies.items():
        decided = configured.subtopologies[name] if configured and configured.subtopologies else None
        changelogs = decided.changelogs if decided else part.state_changelog_topics
        repartitions = decided.repartitions if decided else part.repartition_source_topics
        found.append(
            DescribedPart(
                name,
                sorted(part.source_topics),
                sorted(part.repartition_sink_topics),
                sorted(changelogs, key=lambda topic: topic.name),
                sorted(repartitions, key=lambda topic: topic.name),
            )
        )
    return found


def _configured(group: StreamsGroup) -> ConfiguredTopology | None:
    if group.topology is None:
        return None
    try:
        configured, _ = group.look(group.topology)
    except InvalidTopology:
        return None
    return configured if configured.is_ready else None
