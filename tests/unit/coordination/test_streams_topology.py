"""Numbers of partitions and of tasks: topologies against topics."""

from __future__ import annotations

import pytest

from moldau.coordination.streams.configure import ConfiguredTopology, configure
from moldau.coordination.streams.topology import InternalTopic, InvalidTopology, Subtopology, Topology


def part(
    name: str,
    *sources: str,
    sinks: tuple[str, ...] = (),
    repartitions: dict[str, int] | None = None,
    logs: tuple[str, ...] = (),
    together: tuple[str, ...] = (),
) -> Subtopology:
    return Subtopology(
        name,
        sources,
        repartition_sink_topics=sinks,
        repartition_source_topics=tuple(InternalTopic(*each) for each in (repartitions or {}).items()),
        state_changelog_topics=tuple(InternalTopic(log) for log in logs),
        copartition_groups=(frozenset(together),) if together else (),
    )


def of(*parts: Subtopology, **topics: int) -> ConfiguredTopology:
    return configure(Topology(0, {each.subtopology_id: each for each in parts}), topics.get)


def missing(configured: ConfiguredTopology) -> dict[str, int]:
    return {topic.name: topic.partitions for topic in configured.missing}


def told(configured: ConfiguredTopology) -> str:
    assert configured.status is not None
    return configured.status.detail


def test_a_subtopology_has_as_many_tasks_as_its_largest_input() -> None:
    found = of(part("0", "a", "b"), a=2, b=5)
    assert found.is_ready
    assert found.subtopologies is not None
    assert found.subtopologies["0"].tasks == 5


def test_numbers_flow_through_a_chain_of_repartition_topics() -> None:
    first = part("0", "a", sinks=("r1",))
    second = part("1", repartitions={"r1": 0}, sinks=("r2",), logs=("log1",))
    third = part("2", repartitions={"r2": 0}, logs=("log2",))
    for order in ((first, second, third), (third, second, first)):
        assert missing(of(*order, a=3)) == {"r1": 3, "r2": 3, "log1": 3, "log2": 3}


def test_a_declared_number_counts() -> None:
    found = of(part("0", "a", sinks=("r",)), part("1", repartitions={"r": 7}, logs=("log",)), a=3)
    assert missing(found) == {"r": 7, "log": 7}


def test_a_repartition_topic_joins_an_external_one() -> None:
    found = of(
        part("0", "a", sinks=("r",)),
        part("1", "b", repartitions={"r": 0}, logs=("log",), together=("b", "r")),
        a=3,
        b=8,
    )
    assert missing(found) == {"r": 8, "log": 8}


def test_a_declared_number_must_be_that_of_the_external_topic() -> None:
    found = of(part("0", "a", sinks=("r",)), part("1", "b", repartitions={"r": 4}, together=("b", "r")), a=3, b=8)
    assert told(found) == (
        "Number of partitions [4] of repartition topic [r] doesn't match number of partitions [8] of the source topic."
    )


def test_repartition_topics_that_are_joined_get_the_declared_or_the_largest_number() -> None:
    sources = (part("0", "a", sinks=("r",)), part("1", "b", sinks=("s",)))
    found = of(*sources, part("2", repartitions={"r": 0, "s": 0}, together=("r", "s")), a=3, b=8)
    assert missing(found) == {"r": 8, "s": 8}
    found = of(*sources, part("2", repartitions={"r": 0, "s": 2}, together=("r", "s")), a=3, b=8)
    assert missing(found) == {"r": 2, "s": 2}
    found = of(*sources, part("2", repartitions={"r": 5, "s": 2}, together=("r", "s")), a=3, b=8)
    assert told(found) == "Following topics do not have the same number of partitions: [{r=5, s=2}]"


def test_at_most_three_missing_topics_are_named() -> None:
    found = of(part("0", *"abcde"))
    assert told(found) == "Source topics a, b, c and 2 additional topics are missing."
    assert missing(found) == {}


def test_what_is_there_is_not_made_again() -> None:
    topology = (part("0", "a", sinks=("r",)), part("1", repartitions={"r": 0}, logs=("log",)))
    assert missing(of(*topology, a=3, r=3)) == {"log": 3}
    assert of(*topology, a=3, r=3, log=3).is_ready
    assert told(of(*topology, a=4, r=3)) == "Existing topic r has different number of partitions: expected 4, found 3"


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((part("0"),), "No source topics found"),
        ((part("0", "a"), part("1", repartitions={"r": 0})), "never used as a sink topic"),
        ((part("0", "a"), part("1", repartitions={"r": 0}, sinks=("r",))), "loops in the topology"),
        ((part("0", "a", together=("a", "x")),), "Number of partitions is not set for topic: x"),
    ],
)
def test_what_no_topic_can_mend(parts: tuple[Subtopology, ...], why: str) -> None:
    with pytest.raises(InvalidTopology, match=why):
        of(*parts, a=3)
