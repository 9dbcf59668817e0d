"""The assignors of consumer groups, whatever the members subscribe to and had before."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moldau.coordination.consumer.assignors.range import RangeAssignor
from moldau.coordination.consumer.assignors.spec import AssignmentSpec, Assignor, MemberSpec
from moldau.coordination.consumer.assignors.uniform import UniformAssignor
from moldau.coordination.consumer.events import Partitions

TOPICS = [bytes([number]) * 16 for number in range(5)]


@st.composite
def specs(draw: st.DrawFn, alike: bool = False) -> AssignmentSpec:
    """Some members, which had something or nothing, perhaps of topics that have shrunk away or that they gave up."""
    counts = {topic_id: draw(st.integers(0, 12)) for topic_id in TOPICS[: draw(st.integers(1, 5))]}
    subscriptions = st.frozensets(st.sampled_from(sorted(counts)), min_size=0 if not alike else 1)
    common = draw(subscriptions)
    names = draw(st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, min_size=1, max_size=8))
    had: dict[str, dict[bytes, set[int]]] = {name: {} for name in names}
    dice = random.Random(draw(st.integers(0, 1 << 30)))
    for topic_id in TOPICS:
        for partition in range(14):
            owner = dice.choice([None, *names])
            if owner is not None:
                had[owner].setdefault(topic_id, set()).add(partition)
    members = [
        MemberSpec(
            name,
            draw(st.none() | st.just(f"i-{name}")),
            None,
            common if alike else draw(subscriptions),
            {topic_id: frozenset(each) for topic_id, each in had[name].items()},
        )
        for name in names
    ]
    topics = {topic_id: counts[topic_id] for member in members for topic_id in member.topics}
    return AssignmentSpec(members, topics)


@pytest.mark.parametrize("assignor", [UniformAssignor(), RangeAssignor()], ids=lambda each: each.name)
@given(specs())
def test_each_partition_has_one_owner_who_subscribes(assignor: Assignor, spec: AssignmentSpec) -> None:
    found = assignor.assign(spec)
    assert found.keys() == {member.member_id for member in spec.members}
    owned = [(topic, each) for partitions in found.values() for topic, those in partitions.items() for each in those]
    assert len(owned) == len(set(owned))
    assert set(owned) == {(topic, each) for topic, count in spec.topics.items() for each in range(count)}
    for member in spec.members:
        assert found[member.member_id].keys() <= member.topics
        assert all(found[member.member_id].values())


@given(specs(alike=True))
def test_uniform_is_even_and_moves_no_more_than_it_must(spec: AssignmentSpec) -> None:
    found = UniformAssignor().assign(spec)
    loads = [size(found[member.member_id]) for member in spec.members]
    assert max(loads) - min(loads) <= 1
    quota, more = divmod(sum(spec.topics.values()), len(spec.members))
    had = sorted((size(valid(member, spec)) for member in spec.members), reverse=True)
    may_keep = sum(min(each, quota + (index < more)) for index, each in enumerate(had))
    kept = sum(
        len(found[member.member_id].get(topic, frozenset()) & each)
        for member in spec.members
        for topic, each in valid(member, spec).items()
    )
    assert kept == may_keep


@given(specs())
def test_uniform_leaves_no_move_that_would_make_it_more_even(spec: AssignmentSpec) -> None:
    found = UniformAssignor().assign(spec)
    loads = {member.member_id: size(found[member.member_id]) for member in spec.members}
    for topic in spec.topics:
        takers = [loads[member.member_id] for member in spec.members if topic in member.topics]
        for owner, partitions in found.items():
            assert topic not in partitions or loads[owner] - min(takers) <= 1


@given(specs())
def test_uniform_once_more_moves_nothing(spec: AssignmentSpec) -> None:
    found = UniformAssignor().assign(spec)
    again = AssignmentSpec([member._replace(current=found[member.member_id]) for member in spec.members], spec.topics)
    assert UniformAssignor().assign(again) == found


@given(specs())
def test_range_gives_runs_and_the_same_numbers_of_topics_alike(spec: AssignmentSpec) -> None:
    found = RangeAssignor().assign(spec)
    for partitions in found.values():
        for each in partitions.values():
            assert sorted(each) == list(range(min(each), max(each) + 1))
    for topic, count in spec.topics.items():
        takers = [member for member in spec.members if topic in member.topics]
        sizes = Counter(len(found[member.member_id].get(topic, frozenset())) for member in takers)
        assert set(sizes) <= {count // len(takers), count // len(takers) + 1}


def size(partitions: Partitions) -> int:
    return sum(map(len, partitions.values()))


def valid(member: MemberSpec, spec: AssignmentSpec) -> Partitions:
    """What of it is still there and subscribed to."""
    return {
        topic: frozenset(each for each in partitions if each < spec.topics[topic])
        for topic, partitions in member.current.items()
        if topic in member.topics
    }
