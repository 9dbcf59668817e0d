"""Every version of every group API that is advertised gets an answer in that version."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from struct import pack, unpack
from typing import Any

import pytest

from moldau.broker.options import Options
from moldau.broker.served import VERSIONS
from moldau.protocol import api_keys as k
from moldau.protocol import error_codes
from moldau.protocol.messages import create_topics as ct
from moldau.protocol.messages import delete_groups as dg
from moldau.protocol.messages import describe_groups as dsg
from moldau.protocol.messages import find_coordinator as fc
from moldau.protocol.messages import heartbeat as hb
from moldau.protocol.messages import join_group as jg
from moldau.protocol.messages import leave_group as lg
from moldau.protocol.messages import list_groups as lsg
from moldau.protocol.messages import offset_commit as oc
from moldau.protocol.messages import offset_delete as od
from moldau.protocol.messages import offset_fetch as of
from moldau.protocol.messages import sync_group as sg
from moldau.protocol.registry import response_class
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    """Send a request of a version, and decode what comes."""
    options = Options()
    options.group_initial_rebalance_delay_ms = 0
    with BrokerThread(options) as broker:
        host, port = broker.bootstrap.split(":")
        with socket.create_connection((host, int(port)), 10) as connection, connection.makefile("rb") as answers:

            def exchange(message: Any, version: int) -> Any:
                key = message.API_KEY
                flexible = version >= k.FLEXIBLE_FROM[key]
                frame = pack(">hhih", key, version, 7, 2) + b"me" + b"\0" * flexible + message.encode(version)
                connection.sendall(pack(">i", len(frame)) + frame)
                (size,) = unpack(">i", answers.read(4))
                answer = answers.read(size)
                assert answer[:4] == pack(">i", 7)
                return response_class(key).decode(answer, version, 5 if flexible else 4)

            topic = ct.CreatableTopic(name="t", num_partitions=2, replication_factor=1)
            exchange.topic_id = exchange(ct.CreateTopicsRequest(topics=[topic]), 7).topics[0].topic_id  # type: ignore[attr-defined]
            yield exchange


def versions(key: int) -> pytest.MarkDecorator:
    low, high = VERSIONS[key]
    return pytest.mark.parametrize("version", range(low, high + 1))


def join(ask: Ask, group: str, version: int = 9, **fields: Any) -> Any:
    protocols = [jg.JoinGroupRequestProtocol(name="range", metadata=b"mine")]
    request = jg.JoinGroupRequest(
        group_id=group, session_timeout_ms=10_000, protocol_type="consumer", protocols=protocols, **fields
    )
    answer = ask(request, version)
    if version >= 4 and not fields.get("group_instance_id"):
        assert answer.error_code == error_codes.MEMBER_ID_REQUIRED
        request.member_id = answer.member_id
        answer = ask(request, version)
    assert answer.error_code == error_codes.NONE
    return answer


def sync(ask: Ask, group: str, joined: Any, version: int = 5) -> Any:
    named = {"protocol_type": "consumer", "protocol_name": "range"} if version >= 5 else {}
    mine = sg.SyncGroupRequestAssignment(member_id=joined.member_id, assignment=b"all")
    return ask(
        sg.SyncGroupRequest(
            group_id=group,
            generation_id=joined.generation_id,
            member_id=joined.member_id,
            assignments=[mine],
            **named,
        ),
        version,
    )


@versions(k.FIND_COORDINATOR)
def test_find_coordinator(ask: Ask, version: int) -> None:
    for key_type in (0, 1, 2) if version >= 1 else (0,):
        if version >= 4:
            answer = ask(fc.FindCoordinatorRequest(coordinator_keys=["a", "b"], key_type=key_type), version)
            assert [each.key for each in answer.coordinators] == ["a", "b"]
            found = answer.coordinators
        else:
            found = [ask(fc.FindCoordinatorRequest(key="a", key_type=key_type), version)]
        for each in found:
            if key_type in (0, 1):
                assert (each.error_code, each.node_id, each.host) == (error_codes.NONE, 1, "127.0.0.1")
                assert each.port > 0
            else:
                assert (each.error_code, each.node_id, each.port) == (error_codes.INVALID_REQUEST, -1, -1)


@versions(k.JOIN_GROUP)
def test_join_group(ask: Ask, version: int) -> None:
    joined = join(ask, f"join-{version}", version)
    assert (joined.generation_id, joined.protocol_name, joined.leader) == (1, "range", joined.member_id)
    assert [(each.member_id, bytes(each.metadata)) for each in joined.members] == [(joined.member_id, b"mine")]
    assert joined.member_id.startswith("me-")
    refused = ask(jg.JoinGroupRequest(group_id="nobody", session_timeout_ms=10_000, member_id="who"), version)
    assert refused.error_code == error_codes.UNKNOWN_MEMBER_ID


@versions(k.SYNC_GROUP)
def test_sync_group(ask: Ask, version: int) -> None:
    group = f"sync-{version}"
    answer = sync(ask, group, join(ask, group), version)
    assert (answer.error_code, bytes(answer.assignment)) == (error_codes.NONE, b"all")


def test_sync_group_wants_the_protocol(ask: Ask) -> None:
    answer = ask(sg.SyncGroupRequest(group_id="g", protocol_type="consumer"), 5)
    assert answer.error_code == error_codes.INCONSISTENT_GROUP_PROTOCOL


@versions(k.HEARTBEAT)
def test_heartbeat(ask: Ask, version: int) -> None:
    group = f"heartbeat-{version}"
    joined = join(ask, group)
    sync(ask, group, joined)
    beat = hb.HeartbeatRequest(group_id=group, generation_id=joined.generation_id, member_id=joined.member_id)
    assert ask(beat, version).error_code == error_codes.NONE
    beat.generation_id += 1
    assert ask(beat, version).error_code == error_codes.ILLEGAL_GENERATION
    beat.member_id = "who"
    assert ask(beat, version).error_code == error_codes.UNKNOWN_MEMBER_ID


@versions(k.LEAVE_GROUP)
def test_leave_group(ask: Ask, version: int) -> None:
    group = f"leave-{version}"
    joined = join(ask, group)
    if version < 3:
        request = lg.LeaveGroupRequest(group_id=group, member_id=joined.member_id)
        assert ask(request, version).error_code == error_codes.NONE
        assert ask(request, version).error_code == error_codes.UNKNOWN_MEMBER_ID
        return
    members = [lg.MemberIdentity(member_id=joined.member_id), lg.MemberIdentity(member_id="who")]
    answer = ask(lg.LeaveGroupRequest(group_id=group, members=members), version)
    assert answer.error_code == error_codes.NONE
    assert [(each.member_id, each.error_code) for each in answer.members] == [
        (joined.member_id, error_codes.NONE),
        ("who", error_codes.UNKNOWN_MEMBER_ID),
    ]


def commit(ask: Ask, group: str, version: int = 9) -> Any:
    """Offsets for both partitions, for one that is not there, and for a topic that is not there."""
    topics = []
    for known in (True, False):
        named = {"name": "t" if known else "no"}
        if version >= 10:
            named = {"topic_id": ask.topic_id if known else b"\x07" * 16}  # type: ignore[attr-defined]
        epoch = {"committed_leader_epoch": 0} if version >= 6 else {}
        partitions = [
            oc.OffsetCommitRequestPartition(
                partition_index=index, committed_offset=10 + index, committed_metadata="m" if index else None, **epoch
            )
            for index in range(3)
        ]
        topics.append(oc.OffsetCommitRequestTopic(partitions=partitions, **named))
    return ask(oc.OffsetCommitRequest(group_id=group, topics=topics), version)


@versions(k.OFFSET_COMMIT)
def test_offset_commit(ask: Ask, version: int) -> None:
    known, unknown = commit(ask, f"commit-{version}", version).topics
    missing = error_codes.UNKNOWN_TOPIC_OR_PARTITION
    assert [each.error_code for each in known.partitions] == [error_codes.NONE, error_codes.NONE, missing]
    code = error_codes.UNKNOWN_TOPIC_ID if version >= 10 else missing
    assert [each.error_code for each in unknown.partitions] == [code] * 3
    member = oc.OffsetCommitRequest(
        group_id="nobody", member_id="who", generation_id_or_member_epoch=3, topics=[_one_offset(ask, version)]
    )
    refused = ask(member, version).topics[0].partitions[0].error_code
    assert refused == (error_codes.GROUP_ID_NOT_FOUND if version >= 9 else error_codes.ILLEGAL_GENERATION)


def _one_offset(ask: Ask, version: int) -> oc.OffsetCommitRequestTopic:
    named = {"topic_id": ask.topic_id} if version >= 10 else {"name": "t"}  # type: ignore[attr-defined]
    return oc.OffsetCommitRequestTopic(partitions=[oc.OffsetCommitRequestPartition(committed_offset=1)], **named)


@versions(k.OFFSET_FETCH)
def test_offset_fetch(ask: Ask, version: int) -> None:
    commit(ask, "fetch")

    def fetch(names: list[str] | None, group: str = "fetch") -> list[Any]:
        if version < 8:
            asked = [of.OffsetFetchRequestTopic(name=name, partition_indexes=[1, 0, 5]) for name in names or ()]
            request = of.OffsetFetchRequest(group_id=group, topics=None if names is None else asked)
            answer = ask(request, version)
        else:
            topics = []
            for name in names or ():
                named = {"name": name}
                if version >= 10:
                    named = {"topic_id": ask.topic_id if name == "t" else b"\x07" * 16}  # type: ignore[attr-defined]
                topics.append(of.OffsetFetchRequestTopics(partition_indexes=[1, 0, 5], **named))
            groups = [of.OffsetFetchRequestGroup(group_id=group, topics=None if names is None else topics)]
            (answer,) = ask(of.OffsetFetchRequest(groups=groups, require_stable=True), version).groups
            assert answer.group_id == group
        assert answer.error_code == error_codes.NONE
        return list(answer.topics)

    epoch = 0 if version >= 5 else -1
    rows = [(1, 11, epoch, "m", 0), (0, 10, epoch, "", 0), (5, -1, -1, "", 0)]
    (topic,) = fetch(["t"])
    assert _rows(topic) == rows
    if version >= 10:
        assert topic.topic_id == ask.topic_id  # type: ignore[attr-defined]
    else:
        assert topic.name == "t"
    (missing,) = fetch(["no"])
    code = error_codes.UNKNOWN_TOPIC_ID if version >= 10 else error_codes.NONE
    assert _rows(missing) == [(index, -1, -1, "", code) for index in (1, 0, 5)]
    (nobody,) = fetch(["t"], "nobody")
    assert [row[1] for row in _rows(nobody)] == [-1, -1, -1]
    if version >= 2:
        (topic,) = fetch(None)
        assert _rows(topic) == [rows[1], rows[0]]
        assert fetch(None, "nobody") == []


def _rows(topic: Any) -> list[tuple[Any, ...]]:
    return [
        (each.partition_index, each.committed_offset, each.committed_leader_epoch, each.metadata, each.error_code)
        for each in topic.partitions
    ]


def test_offset_delete(ask: Ask) -> None:
    commit(ask, "delete-offsets")

    def delete(group: str) -> Any:
        partitions = [od.OffsetDeleteRequestPartition(partition_index=index) for index in (0, 5)]
        topics = [od.OffsetDeleteRequestTopic(name="t", partitions=partitions)]
        return ask(od.OffsetDeleteRequest(group_id=group, topics=topics), 0)

    answer = delete("delete-offsets")
    missing = error_codes.UNKNOWN_TOPIC_OR_PARTITION
    assert [each.error_code for each in answer.topics[0].partitions] == [error_codes.NONE, missing]
    answer = delete("nobody")
    assert (answer.error_code, answer.topics) == (error_codes.GROUP_ID_NOT_FOUND, [])
    topics = [of.OffsetFetchRequestTopic(name="t", partition_indexes=[0, 1])]
    left = ask(of.OffsetFetchRequest(group_id="delete-offsets", topics=topics), 7)
    assert [row[1] for row in _rows(left.topics[0])] == [-1, 11]


@versions(k.LIST_GROUPS)
def test_list_groups(ask: Ask, version: int) -> None:
    sync(ask, "listed", join(ask, "listed", group_instance_id="only"))
    filters = {}
    if version >= 4:
        filters["states_filter"] = ["Stable"]
    if version >= 5:
        filters["types_filter"] = ["classic"]
    found = {group.group_id: group for group in ask(lsg.ListGroupsRequest(**filters), version).groups}
    assert found["listed"].protocol_type == "consumer"
    assert found["listed"].group_state == ("Stable" if version >= 4 else "")
    assert found["listed"].group_type == ("classic" if version >= 5 else "")
    if version >= 5:
        assert ask(lsg.ListGroupsRequest(types_filter=["share"]), version).groups == []


@versions(k.DESCRIBE_GROUPS)
def test_describe_groups(ask: Ask, version: int) -> None:
    joined = join(ask, "described", group_instance_id="only")
    sync(ask, "described", joined)
    wanted = {"include_authorized_operations": True} if version >= 3 else {}
    known, unknown = ask(dsg.DescribeGroupsRequest(groups=["described", "nobody"], **wanted), version).groups
    assert (known.error_code, known.group_state, known.protocol_data) == (error_codes.NONE, "Stable", "range")
    (member,) = known.members
    assert (member.client_id, member.client_host, bytes(member.member_assignment)) == ("me", "/127.0.0.1", b"all")
    assert member.group_instance_id == ("only" if version >= 4 else None)
    assert (known.authorized_operations > 0) == (version >= 3)
    code = error_codes.GROUP_ID_NOT_FOUND if version >= 6 else error_codes.NONE
    assert (unknown.error_code, unknown.group_state) == (code, "Dead")


@versions(k.DELETE_GROUPS)
def test_delete_groups(ask: Ask, version: int) -> None:
    group, busy = f"delete-{version}", f"busy-{version}"
    commit(ask, group)
    join(ask, busy)
    answer = ask(dg.DeleteGroupsRequest(groups_names=[group, busy, "nobody", group]), version)
    assert [(each.group_id, each.error_code) for each in answer.results] == [
        (group, error_codes.NONE),
        (busy, error_codes.NON_EMPTY_GROUP),
        ("nobody", error_codes.GROUP_ID_NOT_FOUND),
    ]
