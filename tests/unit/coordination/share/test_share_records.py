"""What is stored of share groups: round trips, damage, and the assignor `simple`."""

from __future__ import annotations

import random

import pytest

from moldau.coordination.packing import RecordFormatError
from moldau.coordination.share.group import ShareMember
from moldau.coordination.share.packed import pack, unpack
from moldau.coordination.share.partition import SharePartition
from moldau.coordination.share.records import (
    GroupValue,
    group_record,
    member_record,
    read_group,
    read_share_member,
)
from moldau.coordination.share.simple import SimpleAssignor

T, U = b"t" * 16, b"u" * 16


def test_records_are_read_as_written() -> None:
    value = GroupValue(7, 6, b"12345678")
    packed = group_record("g", value).value
    assert packed is not None
    assert read_group(packed) == value
    assert group_record("g", None).value is None
    member = ShareMember(
        "m",
        rack_id="r",
        client_id="c",
        client_host="/h",
        topics=("a", "b"),
        assigned={T: (0, 3)},
        target={U: (1,), T: ()},
    )
    packed = member_record("g", member).value
    assert packed is not None
    assert read_share_member(packed) == member
    for end in range(len(packed)):
        with pytest.raises(RecordFormatError):
            read_share_member(packed[:end])
    for damaged in (b"\x01" + packed[1:], packed + b"\0"):
        with pytest.raises(RecordFormatError):
            read_share_member(damaged)


@pytest.mark.parametrize("value", [b"", b"\x01", b"\0\x05", b"\0\x80", b"\0\0\0", b"\0\x01\x01", b"\0\x01\x80"])
def test_damaged_windows_are_refused(value: bytes) -> None:
    with pytest.raises(RecordFormatError):
        unpack(5, value)


def test_an_empty_window_is_a_byte() -> None:
    assert pack(SharePartition(9)) == b"\0"
    assert (unpack(9, b"\0").start, unpack(9, b"\0").end) == (9, 9)


def check(
    subscribed: dict[str, dict[bytes, int]], targets: dict[str, dict[bytes, tuple[int, ...]]]
) -> dict[tuple[bytes, int], int]:
    """Everybody has something, everything is somebody's, nobody has what it did not ask for. How often each partition is given."""
    shared: dict[tuple[bytes, int], int] = {}
    for member, target in targets.items():
        for topic, partitions in target.items():
            for partition in partitions:
                assert partition < subscribed[member][topic]
                shared[topic, partition] = shared.get((topic, partition), 0) + 1
        assert target or not any(subscribed[member].values())
    for topics in subscribed.values():
        for topic, count in topics.items():
            assert all((topic, partition) in shared for partition in range(count))
    return shared


def test_the_simple_assignor_is_fair_and_keeps_what_is() -> None:
    rng = random.Random(1)
    for _ in range(60):
        counts = {T: rng.randint(1, 9), U: rng.randint(1, 9)}
        total = sum(counts.values())
        targets: dict[str, dict[bytes, tuple[int, ...]]] = {}
        for members in [rng.randint(1, 25) for _ in range(4)]:
            subscribed = {f"m{number:02}": counts for number in range(members)}
            before, targets = targets, SimpleAssignor().assign(subscribed, targets)
            shared = check(subscribed, targets)
            sizes = [sum(map(len, target.values())) for target in targets.values()]
            assert max(sizes) <= -(-total // members)
            assert max(shared.values()) <= -(-members // total)
            if set(before) == set(targets):
                assert before == targets


def test_members_that_want_different_topics() -> None:
    rng = random.Random(2)
    topics = [bytes([number]) * 16 for number in range(4)]
    for _ in range(60):
        subscribed = {
            f"m{number}": {topic: 1 + topic[0] for topic in rng.sample(topics, rng.randint(1, 4))}
            for number in range(rng.randint(1, 12))
        }
        check(subscribed, SimpleAssignor().assign(subscribed, {}))
