"""The topology of a Kafka Streams application, as its members send it when they join (KIP-1071).

A topology is cut into *subtopologies*, parts that no direct edge connects. Records go from one to the next through
*repartition topics*; the state of a subtopology is kept in *changelog topics*. Both are internal: the broker creates them.
"""

from __future__ import annotations

from moldau.coordination.value import Value


class InvalidTopology(Exception):
    """The topology cannot be run. Clients get STREAMS_INVALID_TOPOLOGY with this text."""


class InternalTopic(Value):
    """A topic that the application needs and the broker creates.

    `partitions` 0: computed from what flows into it (repartition) or beside it (changelog). `replication_factor` 0: the
    broker's default. `configs`: topic configs as (name, value).
    """

    __slots__ = ("configs", "name", "partitions", "replication_factor")

    def __init__(
        self, name: str, partitions: int = 0, replication_factor: int = 0, configs: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.name = name
        self.partitions = partitions
        self.replication_factor = replication_factor
        self.configs = configs


class Subtopology(Value):
    """`copartition_groups`: sets of source topics, external and repartition, that must have the same number of partitions."""

    __slots__ = (
        "copartition_groups",
        "repartition_sink_topics",
        "repartition_source_topics",
        "source_topics",
        "state_changelog_topics",
        "subtopology_id",
    )

    def __init__(
        self,
        subtopology_id: str,
        source_topics: tuple[str, ...] = (),
        *,
        repartition_sink_topics: tuple[str, ...] = (),
        repartition_source_topics: tuple[InternalTopic, ...] = (),
        state_changelog_topics: tuple[InternalTopic, ...] = (),
        copartition_groups: tuple[frozenset[str], ...] = (),
    ) -> None:
        self.subtopology_id = subtopology_id
        self.source_topics = source_topics
        self.repartition_sink_topics = repartition_sink_topics
        self.repartition_source_topics = repartition_source_topics
        self.state_changelog_topics = state_changelog_topics
        self.copartition_groups = copartition_groups

    def inputs(self) -> list[str]:
        """All topics that its tasks read."""
        return [*self.source_topics, *(topic.name for topic in self.repartition_source_topics)]


class Topology(Value):
    """`epoch` rises with each version of the application; subtopologies are in the order of their ids."""

    __slots__ = ("epoch", "subtopologies")

    def __init__(self, epoch: int, subtopologies: dict[str, Subtopology]) -> None:
        self.epoch = epoch
        self.subtopologies = {name: subtopologies[name] for name in sorted(subtopologies)}

    def required_topics(self) -> set[str]:
        """Every topic that is read or holds state."""
        found: set[str] = set()
        for subtopology in self.subtopologies.values():
            found.update(subtopology.inputs())
            found.update(topic.name for topic in subtopology.state_changelog_topics)
        return found

    def source_subtopologies(self) -> dict[str, str]:
        """Topic that is read, to the subtopology that reads it."""
        return {topic: name for name, subtopology in self.subtopologies.items() for topic in subtopology.inputs()}


def check_changelogs(topology: Topology) -> None:
    """A changelog topic has as many partitions as its subtopology has tasks, so nobody may ask for a number. Raises InvalidTopology."""
    for subtopology in topology.subtopologies.values():
        for topic in subtopology.state_changelog_topics:
            if topic.partitions:
                raise InvalidTopology(
                    f"Changelog topic {topic.name} must have an undefined partition count, but it is set to {topic.partitions}."
                )
