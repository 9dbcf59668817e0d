"""Which partitions are behind which endpoint: how members find each other's state stores (interactive queries)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .configure import ConfiguredSubtopology, PartitionCount
from .tasks import Held, TaskId, by_subtopology


class Endpoint(NamedTuple):
    """`application.server` of a member."""

    host: str
    port: int


class EndpointPartitions(NamedTuple):
    """Topics with the partitions whose state is there: processed, and copied."""

    endpoint: Endpoint
    active: list[tuple[str, list[int]]]
    standby: list[tuple[str, list[int]]]


def partitions_behind(
    endpoint: Endpoint,
    held: Held,
    subtopologies: Mapping[str, ConfiguredSubtopology],
    partition_count: PartitionCount,
) -> EndpointPartitions:
    return EndpointPartitions(
        endpoint,
        _partitions(held.active, subtopologies, partition_count),
        _partitions(held.standby, subtopologies, partition_count),
    )


def _partitions(
    tasks: Iterable[TaskId], subtopologies: Mapping[str, ConfiguredSubtopology], partition_count: PartitionCount
) -> list[tuple[str, list[int]]]:
    found = []
    for subtopology_id, partitions in by_subtopology(tasks).items():
        subtopology = subtopologies.get(subtopology_id)
        for topic in subtopology.inputs() if subtopology else ():
            count = partition_count(topic) or 0
            if of_topic := [partition for partition in partitions if partition < count]:
                found.append((topic, of_topic))
    return found
