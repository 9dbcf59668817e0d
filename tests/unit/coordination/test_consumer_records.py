"""The packed records of consumer groups, and what classic members say and are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moldau.coordination.consumer.member import ClassicSide, ConsumerMember
from moldau.coordination.consumer.records import GroupValue, group_record, member_record, read_consumer, read_group
from moldau.coordination.packing import RecordFormatError
from moldau.coordination.subscription import read_assignment, read_subscription

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int32 = st.integers(-(2**31), 2**31 - 1)
topic_ids = st.binary(min_size=16, max_size=16)
assigned = st.dictionaries(topic_ids, st.dictionaries(int32, int32, max_size=4), max_size=3)
members = st.builds(
    ConsumerMember,
    text,
    instance_id=st.none() | text,
    rack_id=st.none() | text,
    client_id=text,
    client_host=text,
    rebalance_timeout_ms=int32,
    member_epoch=int32,
    previous_member_epoch=int32,
    topics=st.lists(text, max_size=4).map(tuple),
    regex=st.none() | text,
    assignor=st.none() | text,
    state=st.sampled_from(["stable", "unrevoked", "unreleased"]),
    assigned=assigned,
    revoking=assigned,
    target=st.dictionaries(topic_ids, st.frozensets(int32, max_size=4), max_size=3),
    classic=st.none()
    | st.builds(ClassicSide, int32, st.lists(st.tuples(text, st.binary(max_size=9)), max_size=3).map(tuple)),
)


@given(members)
def test_a_member_comes_back_as_it_was(member: ConsumerMember) -> None:
    record = member_record("g", member)
    assert record.key == member.member_id
    assert record.value is not None
    assert read_consumer(record.value) == member


@given(members, st.data())
def test_damage_is_noticed(member: ConsumerMember, data: st.DataObject) -> None:
    value = member_record("g", member).value
    assert value is not None
    cut = data.draw(st.integers(0, len(value) - 1))
    for damaged in (value[:cut], value + b"\0", b"\x07" + value[1:]):
        with pytest.raises(RecordFormatError):
            read_consumer(damaged)


@given(st.builds(GroupValue, int32, int32, st.integers(-1, 2**62), st.binary(max_size=8)))
def test_a_group_comes_back_as_it_was(value: GroupValue) -> None:
    packed = group_record("g", value).value
    assert packed is not None
    assert read_group(packed) == value
    with pytest.raises(RecordFormatError):
        read_group(packed[:-1] if value.metadata_hash else packed + b"\0")


def test_the_bytes_of_a_record_stay_what_they_are() -> None:
    """A release reads what an earlier one wrote."""
    assert group_record("g", GroupValue(3, 2, 5, b"h")).value == bytes.fromhex(
        "00 00000003 00000002 0000000000000005 00000001 68"
    )
    member = ConsumerMember(
        "m",
        topics=("t",),
        assigned={b"T" * 16: {1: 2}},
        target={b"T" * 16: frozenset((1,))},
        member_epoch=2,
        previous_member_epoch=1,
    )
    assert member_record("g", member).value == bytes.fromhex(
        "00 00000001 6d ffffffff ffffffff 00000000 00000000 ffffffff 00000002 00000001"
        "00000001 00000001 74 ffffffff ffffffff 00"
        "00000001" + "54" * 16 + "00000001 00000001 00000002 00000000"
        "00000001" + "54" * 16 + "00000001 00000001 00"
    )


def test_a_subscription_with_all_it_may_have() -> None:
    metadata = bytes.fromhex(
        "0003 00000001 0001 74 00000002 7878 00000001 0001 74 00000002 00000000 00000003 00000007 0002 7231"
    )
    found = read_subscription(metadata)
    assert (found.version, found.topics, found.owned, found.rack_id) == (3, ["t"], {"t": (0, 3)}, "r1")
    assert read_subscription(b"\0\0\0\0\0\0\xff\xff\xff\xff").owned == {}
    assert read_assignment(b"") == ({}, b"")
    for cut in range(len(metadata)):
        try:
            read_subscription(metadata[:cut])
        except ValueError:
            continue
        raise AssertionError(cut)
