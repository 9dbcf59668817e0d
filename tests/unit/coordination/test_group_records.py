"""The packed records of groups, and the subscriptions inside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import subscription

from moldau.coordination.classic.member import ClassicMember
from moldau.coordination.config import GroupConfig
from moldau.coordination.groups import Groups
from moldau.coordination.packing import RecordFormatError
from moldau.coordination.records import ClassicGroupValue
from moldau.coordination.subscription import subscribed_topics
from moldau.metadata.rows_groups import GroupRecord

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
int32 = st.integers(0, 2**31 - 1)
members = st.builds(
    ClassicMember,
    text,
    st.none() | text,
    text,
    text,
    int32,
    int32,
    st.lists(st.tuples(text, st.binary(max_size=20)), max_size=3).map(tuple),
    st.binary(max_size=20),
)
values = st.builds(
    ClassicGroupValue,
    st.sampled_from(["Empty", "Stable"]),
    st.integers(-(2**63), 2**63 - 1),
    int32,
    st.none() | text,
    st.none() | text,
    st.none() | text,
    st.lists(members, max_size=3),
)
SAMPLE = ClassicGroupValue(
    "Stable",
    1_700_000_000_000,
    3,
    "consumer",
    "range",
    "a-1",
    [ClassicMember("a-1", None, "c", "/h", 10, 60, (("range", b"m"),), b"as")],
)


def parts(value: ClassicGroupValue) -> tuple[object, ...]:
    return (
        value.state,
        value.state_timestamp,
        value.generation_id,
        value.protocol_type,
        value.protocol_name,
        value.leader_id,
        [member.durable() for member in value.members],
    )


@given(values)
def test_what_is_encoded_is_decoded(value: ClassicGroupValue) -> None:
    assert parts(ClassicGroupValue.decode(value.encode())) == parts(value)


def test_the_format_does_not_change_unnoticed() -> None:
    assert SAMPLE.encode().hex() == (
        "0001"
        "0000018bcfe56800"
        "00000003"
        "00000008" + b"consumer".hex() + "00000005" + b"range".hex() + "00000003" + b"a-1".hex() + "00000001"
        "00000003" + b"a-1".hex() + "ffffffff"
        "00000001" + b"c".hex() + "00000002" + b"/h".hex() + "0000000a"
        "0000003c"
        "00000001"
        "00000005" + b"range".hex() + "00000001" + b"m".hex() + "00000002" + b"as".hex()
    )


def test_every_truncation_is_noticed() -> None:
    whole = SAMPLE.encode()
    for length in range(len(whole)):
        with pytest.raises(RecordFormatError):
            ClassicGroupValue.decode(whole[:length])
    with pytest.raises(RecordFormatError, match="1 bytes too many"):
        ClassicGroupValue.decode(whole + b"\0")


@given(st.integers(0, 200), st.integers(1, 255))
def test_damage_gives_the_format_error_or_another_value(position: int, flip: int) -> None:
    whole = bytearray(SAMPLE.encode())
    whole[position % len(whole)] ^= flip
    try:
        ClassicGroupValue.decode(bytes(whole))
    except RecordFormatError:
        pass


def test_newer_records_are_refused() -> None:
    with pytest.raises(RecordFormatError, match="version 01, known is 0"):
        ClassicGroupValue.decode(b"\x01" + SAMPLE.encode()[1:])
    with pytest.raises(RecordFormatError, match="kind 99 of group 'g'"):
        Groups(GroupConfig()).load([GroupRecord(99, "g", "", b"?")], 0)


def test_topics_of_a_subscription() -> None:
    assert subscribed_topics(subscription()) == []
    assert subscribed_topics(subscription("a", "topic.b")) == ["a", "topic.b"]
    newer = b"\x00\x03" + subscription("a")[2:] + b"owned partitions, generation, rack"
    assert subscribed_topics(newer) == ["a"]


@pytest.mark.parametrize("length", range(len(subscription("abc")) - 4))
def test_a_subscription_that_is_cut_short(length: int) -> None:
    with pytest.raises(ValueError, match="subscription"):
        subscribed_topics(subscription("abc")[:length])


@given(st.binary(max_size=40))
def test_any_bytes_as_a_subscription(raw: bytes) -> None:
    try:
        assert all(isinstance(topic, str) for topic in subscribed_topics(raw))
    except ValueError:
        pass
