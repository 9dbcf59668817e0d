"""Records of streams groups: what is written is read, and what is damaged or newer is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streams_play import TWO_PARTS

from moldau.coordination.packing import RecordFormatError
from moldau.coordination.streams import records
from moldau.coordination.streams.endpoints import Endpoint
from moldau.coordination.streams.group_header import GroupHeader
from moldau.coordination.streams.member import StreamsMember
from moldau.coordination.streams.reconcile import UNREVOKED_TASKS
from moldau.coordination.streams.tasks import Assignment, Held
from moldau.coordination.streams.topology import InternalTopic, Subtopology, Topology

HEADER = GroupHeader(7, 6, 1_700_000_000_000, 2**64 - 1, -1, (("num.standby.replicas", "1"), ("x", "")))
TOPOLOGY = Topology(
    3,
    {
        **TWO_PARTS.subtopologies,
        "2": Subtopology(
            "2",
            ("a", "b"),
            repartition_source_topics=(InternalTopic("r", 5, 2, (("k", "v"), ("l", ""))),),
            copartition_groups=(frozenset(("a", "r")), frozenset(("b",))),
        ),
    },
)


def member() -> StreamsMember:
    made = StreamsMember("m")
    made.instance_id, made.client_id, made.client_host, made.process_id = "i", "c", "/::1", "p"
    made.endpoint, made.client_tags = Endpoint("host", 65_535), {"zone": "ä", "a": ""}
    made.rebalance_timeout_ms, made.topology_epoch, made.member_epoch, made.previous_epoch = 5, 3, -2, 8
    made.state = UNREVOKED_TASKS
    made.assigned = Held({("0", 1): 4, ("1", 0): 9}, frozenset({("1", 2)}), frozenset({("1", 3)}))
    made.revoking = Held({("0", 0): 4})
    made.target = Assignment(frozenset({("0", 1)}), frozenset({("1", 5)}), frozenset({("1", 6)}))
    return made


ALL: list[tuple[bytes, Callable[[bytes], Any]]] = [
    (records.encode_header(HEADER), records.decode_header),
    (records.encode_topology(TOPOLOGY), records.decode_topology),
    (records.encode_member(member()), lambda value: records.decode_member("m", value)),
    (records.encode_description(3, b"drawing"), records.decode_description),
]


def test_what_is_written_is_read() -> None:
    assert records.decode_header(ALL[0][0]) == HEADER
    assert records.decode_topology(ALL[1][0]) == TOPOLOGY
    assert records.decode_member("m", ALL[2][0]).durable() == member().durable()
    assert (
        records.decode_member("m", records.encode_member(StreamsMember("m"))).durable() == StreamsMember("m").durable()
    )
    assert records.decode_description(ALL[3][0]) == (3, b"drawing")


@pytest.mark.parametrize(("value", "decode"), ALL)
def test_damage_and_newer_releases_are_noticed(value: bytes, decode: Callable[[bytes], Any]) -> None:
    for broken in (b"", b"\x01" + value[1:], value + b"\0", *(value[:end] for end in range(1, len(value)))):
        with pytest.raises(RecordFormatError):
            decode(broken)
