"""A topology held against the topics there are: how many tasks each subtopology has, and which internal topics are missing.

Numbers of partitions are decided in this order, as in Kafka (InternalTopicManager):

1. Source topics of the user must exist.
2. A repartition topic has the number it was declared with, else the largest number among the inputs of the subtopology that
   writes it, found round by round, because inputs may be repartition topics themselves.
3. Topics of a co-partition group get one number: that of the group's external topics, else that of its declared repartition
   topics, else the largest.
4. A changelog topic has as many as the subtopology has tasks: the largest number among its inputs.

A topic that exists counts with the number it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from moldau.coordination.value import Value

from .status import INCORRECTLY_PARTITIONED_TOPICS, MISSING_INTERNAL_TOPICS, MISSING_SOURCE_TOPICS, Status
from .tasks import TaskId
from .topology import InternalTopic, InvalidTopology, Subtopology, Topology

PartitionCount = Callable[[str], "int | None"]
"""How many partitions a topic has; None when there is no such topic."""

_NAMED = 3
"""How many topics a status names."""


class ConfiguredSubtopology(Value):
    """A subtopology with all numbers decided."""

    __slots__ = ("changelogs", "repartitions", "sinks", "sources", "tasks")

    def __init__(
        self,
        tasks: int,
        sources: tuple[str, ...],
        repartitions: tuple[InternalTopic, ...],
        sinks: tuple[str, ...],
        changelogs: tuple[InternalTopic, ...],
    ) -> None:
        self.tasks = tasks
        self.sources = sources
        self.repartitions = repartitions
        self.sinks = sinks
        self.changelogs = changelogs

    @property
    def is_stateful(self) -> bool:
        return bool(self.changelogs)

    def inputs(self) -> list[str]:
        return sorted({*self.sources, *(topic.name for topic in self.repartitions)})


class ConfiguredTopology(Value):
    """`status` says what stands in the way; without one the topology is ready and tasks may be assigned.

    `subtopologies` is None when the numbers could not be decided; `missing` are the internal topics to create.
    """

    __slots__ = ("epoch", "missing", "status", "subtopologies")

    def __init__(
        self,
        epoch: int,
        subtopologies: dict[str, ConfiguredSubtopology] | None,
        missing: tuple[InternalTopic, ...] = (),
        status: Status | None = None,
    ) -> None:
        self.epoch = epoch
        self.subtopologies = subtopologies
        self.missing = missing
        self.status = status

    @property
    def is_ready(self) -> bool:
        return self.status is None

    def tasks(self, stateful: bool) -> list[TaskId]:
        """Tasks of all subtopologies with state, or of all without."""
        return [
            (name, partition)
            for name, subtopology in (self.subtopologies or {}).items()
            if subtopology.is_stateful is stateful
            for partition in range(subtopology.tasks)
        ]


class _Unfit(Exception):
    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.status = Status(code, detail)


def configure(topology: Topology, partition_count: PartitionCount) -> ConfiguredTopology:
    """Raises InvalidTopology for what no topic could mend."""
    try:
        return _Configuring(topology, partition_count).run()
    except _Unfit as unfit:
        return ConfiguredTopology(topology.epoch, None, status=unfit.status)


class _Configuring:
    def __init__(self, topology: Topology, partition_count: PartitionCount) -> None:
        self.topology = topology
        self.existing = partition_count
        self.decided: dict[str, int] = {}

    def run(self) -> ConfiguredTopology:
        parts = self.topology.subtopologies.values()
        missing = {topic for part in parts for topic in part.source_topics if self.existing(topic) is None}
        if missing:
            raise _Unfit(MISSING_SOURCE_TOPICS, f"Source topics {_summary(sorted(missing))} are missing.")
        self.decided = repartition_counts(parts, self.existing)
        self._copartition(parts)
        for part in parts:
            tasks = self._tasks(part)
            for topic in part.state_changelog_topics:
                self.decided[topic.name] = tasks
        configured = {
            part.subtopology_id: ConfiguredSubtopology(
                self._tasks(part),
                part.source_topics,
                tuple(self._whole(topic) for topic in part.repartition_source_topics),
                part.repartition_sink_topics,
                tuple(self._whole(topic) for topic in part.state_changelog_topics),
            )
            for part in parts
        }
        to_create = self._to_create(configured.values())
        status = None
        if to_create:
            status = Status(
                MISSING_INTERNAL_TOPICS, f"Internal topics are missing: {_summary([topic.name for topic in to_create])}"
            )
        return ConfiguredTopology(self.topology.epoch, configured, to_create, status)

    def _count(self, topic: str) -> int:
        count = self.existing(topic)
        if count is None:
            count = self.decided.get(topic)
        if count is None:
            raise InvalidTopology(f"Number of partitions is not set for topic: {topic}")
        return count

    def _tasks(self, part: Subtopology) -> int:
        inputs = part.inputs()
        if not inputs:
            raise InvalidTopology(f"No source topics found for subtopology {part.subtopology_id}")
        return max(self._count(topic) for topic in inputs)

    def _whole(self, topic: InternalTopic) -> InternalTopic:
        partitions = topic.partitions or self.decided[topic.name]
        return InternalTopic(topic.name, partitions, topic.replication_factor, topic.configs)

    def _copartition(self, parts: Iterable[Subtopology]) -> None:
        repartitions = {topic.name: topic.partitions for part in parts for topic in part.repartition_source_topics}
        for part in parts:
            for group in part.copartition_groups:
                if group:
                    self.decided.update(self._one_count(group, repartitions))

    def _one_count(self, group: frozenset[str], repartitions: dict[str, int]) -> dict[str, int]:
        counts = {topic: self._count(topic) for topic in sorted(group)}
        external = {topic: count for topic, count in counts.items() if topic not in repartitions}
        fixed = {topic: count for topic, count in counts.items() if repartitions.get(topic)}
        if leading := external or fixed:
            if len(set(leading.values())) > 1:
                raise _Unfit(
                    INCORRECTLY_PARTITIONED_TOPICS,
                    f"Following topics do not have the same number of partitions: [{_counts(leading)}]",
                )
            wanted = next(iter(leading.values()))
        else:
            wanted = max(counts.values())
        for topic, count in fixed.items():
            if count != wanted:
                raise _Unfit(
                    INCORRECTLY_PARTITIONED_TOPICS,
                    f"Number of partitions [{count}] of repartition topic [{topic}] doesn't match number of partitions "
                    f"[{wanted}] of the source topic.",
                )
        return {topic: wanted for topic in counts if topic in repartitions}

    def _to_create(self, parts: Iterable[ConfiguredSubtopology]) -> tuple[InternalTopic, ...]:
        wanted = {topic.name: topic for part in parts for topic in (*part.repartitions, *part.changelogs)}
        for name, topic in list(wanted.items()):
            found = self.existing(name)
            if found is None:
                continue
            if found != topic.partitions:
                raise _Unfit(
                    INCORRECTLY_PARTITIONED_TOPICS,
                    f"Existing topic {name} has different number of partitions: expected {topic.partitions}, found {found}",
                )
            del wanted[name]
        return tuple(wanted[name] for name in sorted(wanted))


def repartition_counts(parts: Iterable[Subtopology], existing: PartitionCount) -> dict[str, int]:
    """Numbers of partitions of all repartition topics, before co-partitioning. Raises InvalidTopology."""
    parts = list(parts)
    counts = {
        topic.name: topic.partitions for part in parts for topic in part.repartition_source_topics if topic.partitions
    }
    while True:
        open_, progress = False, False
        for part in parts:
            for sink in part.repartition_sink_topics:
                if sink in counts:
                    continue
                inputs = [counts.get(topic.name) for topic in part.repartition_source_topics]
                inputs += [existing(topic) for topic in part.source_topics]
                largest = max((count for count in inputs if count is not None), default=None)
                if largest is None:
                    open_ = True
                else:
                    counts[sink] = largest
                    progress = True
        if not open_:
            break
        if not progress:
            raise InvalidTopology(
                "Failed to compute number of partitions for all repartition topics. There may be loops in the topology "
                "that cannot be resolved."
            )
    for part in parts:
        for topic in part.repartition_source_topics:
            if topic.name not in counts:
                raise InvalidTopology(
                    "Failed to compute number of partitions for all repartition topics, because a repartition source "
                    "topic is never used as a sink topic."
                )
    return counts


def _summary(topics: list[str]) -> str:
    rest = f" and {len(topics) - _NAMED} additional topics" if len(topics) > _NAMED else ""
    return ", ".join(topics[:_NAMED]) + rest


def _counts(counts: dict[str, int]) -> str:
    return "{" + ", ".join(f"{topic}={count}" for topic, count in sorted(counts.items())) + "}"
