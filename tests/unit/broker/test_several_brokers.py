"""What clients are told of a cluster with several brokers, and notes that come in by a connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker.api import describe_cluster, find_coordinator, metadata
from moldau.broker.broker import Broker, Endpoint
from moldau.broker.dispatch import Dispatcher, Peer, Reply, Request
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.cluster.notes import LEASES_FREED, Note, frame
from moldau.coordination.shard_store import shard_of
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.describe_cluster import DescribeClusterRequest
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.metadata import MetadataRequest

PARTITIONS = list(range(100, 130))
HERE = Endpoint("OUT", "here", 1)


def member(node_id: int, rack: str | None = None, listener: str = "OUT") -> Member:
    return Member(node_id, 1, rack, {listener: (f"h{node_id}", 9000 + node_id)}, "1")


async def _nothing() -> None:
    pass


def broker() -> Broker:
    it = Broker()
    it.node_id = 1
    it.members = Membership(member(1, "a"))
    it.members.update([(member(1), 0), (member(2, "b"), 0), (member(3), 0), (member(4, listener="IN"), 0)], 0)
    topic = SimpleNamespace(name="t", topic_id=b"t" * 16, partition_ids=PARTITIONS, replication_factor=1)
    it.catalog = SimpleNamespace(by_name={"t": topic}, by_id={}, leader_epochs={}, fresh=_nothing)  # type: ignore[assignment]
    it.cluster = SimpleNamespace(cluster_id="c")  # type: ignore[assignment]
    it.views = SimpleNamespace(get=lambda _: None)  # type: ignore[assignment]
    return it


def asked(api_key: int, version: int, message: Any) -> Request:
    request = Request(Peer("h", 1, 1, HERE), api_key, version, 1, None)
    request.message = message
    return request


def test_metadata_names_leaders_and_brokers_of_the_listener() -> None:
    async def main() -> None:
        it = broker()
        response = await metadata.handle(it, asked(api_keys.METADATA, 12, MetadataRequest(topics=None)))
        told = [(each.node_id, each.host, each.port, each.rack) for each in response.brokers]
        assert told == [(1, "here", 1, "a"), (2, "h2", 9002, "b"), (3, "h3", 9003, None)]
        leaders = [each.leader_id for each in response.topics[0].partitions]
        assert leaders == [it.members.leader_of(partition_id) for partition_id in PARTITIONS]
        assert {1, 2, 3} <= set(leaders)
        assert [each.replica_nodes for each in response.topics[0].partitions] == [[leader] for leader in leaders]
        cluster = await describe_cluster.handle(it, asked(api_keys.DESCRIBE_CLUSTER, 1, DescribeClusterRequest()))
        assert [(each.broker_id, each.host, each.port, each.rack) for each in cluster.brokers] == told

    run(main())


def test_a_group_is_at_the_broker_that_is_named_for_its_shard() -> None:
    async def main() -> None:
        it = broker()
        groups = [f"g{n}" for n in range(40)]
        message = FindCoordinatorRequest(key_type=0, coordinator_keys=groups)
        found = (await find_coordinator.handle(it, asked(api_keys.FIND_COORDINATOR, 4, message))).coordinators
        for each in found:
            named = it.members.leader_of(shard_of(each.key))
            if named == 4:  # it has no listener of the client's
                assert (each.node_id, each.error_code) == (-1, error_codes.COORDINATOR_NOT_AVAILABLE)
            else:
                assert (each.node_id, each.error_code) == (named, error_codes.NONE)
        assert {each.node_id for each in found} == {-1, 1, 2, 3}

    run(main())


@pytest.mark.parametrize("shared", [True, False])
def test_a_note_is_taken_where_there_are_peers_and_refused_elsewhere(shared: bool) -> None:
    async def main() -> None:
        it = broker()
        notes: list[Note] = []
        it.peers = SimpleNamespace(received=notes.append) if shared else None  # type: ignore[assignment]
        dispatcher = Dispatcher(it)
        for damage in (b"", b"x"):
            data = frame(Note(LEASES_FREED, 0, {5: 9}), "2:1", 77)[4:]
            replies: list[Reply] = []
            dispatcher.begin(
                Peer("h", 1, 1, HERE), bytearray(data[: len(data) - 8 * len(damage)]), Reply(replies.append)
            )
            (reply,) = replies
            if shared and not damage:
                assert b"".join(reply.buffers) == bytes.fromhex("00000004 0000004d")
                assert notes[0].ends == {5: 9}
            else:
                assert reply.close
        assert len(notes) == shared

    run(main())
