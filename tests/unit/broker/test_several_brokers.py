"""What clients are told of a cluster with several brokers, and notes that come in by a connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker.api import (
    alter_partition_reassignments,
    create_partitions,
    create_topics,
    describe_cluster,
    describe_quorum,
    describe_topic_partitions,
    find_coordinator,
    metadata,
)
from moldau.broker.broker import Broker, Endpoint
from moldau.broker.catalog import Catalog
from moldau.broker.config.settings import Settings
from moldau.broker.configs import Configs
from moldau.broker.dispatch import Dispatcher, Peer, Reply, Request
from moldau.broker.options import Options
from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.cluster.notes import LEASES_FREED, Note, frame
from moldau.coordination.shard_store import shard_of
from moldau.metadata.memory.catalog_store import MemoryCatalogStore
from moldau.metadata.memory.cluster_store import MemoryClusterStore
from moldau.metadata.memory.state import MemoryState
from moldau.metadata.memory.topic_store import MemoryTopicStore
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages import alter_partition_reassignments as reassignments
from moldau.protocol.messages import describe_quorum as describe_quorum_messages
from moldau.protocol.messages.create_partitions import (
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from moldau.protocol.messages.create_topics import CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest
from moldau.protocol.messages.describe_cluster import DescribeClusterRequest
from moldau.protocol.messages.describe_topic_partitions import DescribeTopicPartitionsRequest, TopicRequest
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

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
        it.peers = SimpleNamespace(take=lambda note, _: notes.append(note)) if shared else None  # type: ignore[assignment]
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


async def made(it: Broker, topic: CreatableTopic, validate_only: bool = False) -> tuple[int, str, int]:
    """Error code, text, and the replication factor that is answered."""
    message = CreateTopicsRequest(topics=[topic], timeout_ms=1000, validate_only=validate_only)
    (answer,) = (await create_topics.handle(it, asked(api_keys.CREATE_TOPICS, 7, message))).topics
    return answer.error_code, answer.error_message or "", answer.replication_factor


def creatable(name: str, factor: int = -1, replicas: list[list[int]] | None = None) -> CreatableTopic:
    assignments = [
        CreatableReplicaAssignment(partition_index=index, broker_ids=ids) for index, ids in enumerate(replicas or [])
    ]
    partitions = -1 if replicas else 2
    return CreatableTopic(name=name, num_partitions=partitions, replication_factor=factor, assignments=assignments)


async def with_stores() -> Broker:
    """Brokers 1 to 4, with a catalog on stores in memory."""
    it, state = broker(), MemoryState()
    it.topic_store, it.cluster_store = MemoryTopicStore(state), MemoryClusterStore(state, 1)
    it.clock = state.clock
    it.options, it.auto_create_topics, it.num_partitions = Options(), True, 2
    it.configs = Configs(Settings.load(env={}), 1, it.cluster_store, it.topic_store)
    it.catalog = it.configs.catalog = Catalog(MemoryCatalogStore(state), it.configs)
    it.members = Membership(member(1, "a"), it.catalog.assigned)
    it.members.update([(member(n), 0) for n in (1, 2, 3, 4)], 0)
    await it.catalog.load()
    return it


def test_a_replication_factor_is_at_most_the_number_of_live_brokers() -> None:
    async def main() -> None:
        it = await with_stores()
        assert await made(it, creatable("one")) == (0, "", 1)
        assert await made(it, creatable("three", 3)) == (0, "", 3)
        assert await made(it, creatable("four", 4), validate_only=True) == (0, "", 4)
        code, text, _ = await made(it, creatable("five", 5))
        assert code == error_codes.INVALID_REPLICATION_FACTOR
        assert text == "replication factor 5 asked for, the cluster has 4 live brokers"
        for factor in (0, -2):
            code, text, _ = await made(it, creatable("t", factor))
            assert (code, text) == (
                error_codes.INVALID_REPLICATION_FACTOR,
                f"a replication factor of at least 1 is expected, {factor} came",
            )
        it.options.default_replication_factor = 2
        assert await made(it, creatable("default")) == (0, "", 2)
        response = await metadata.handle(
            it, asked(api_keys.METADATA, 12, MetadataRequest(topics=[MetadataRequestTopic(name="auto")]))
        )
        assert response.topics[0].error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION
        assert it.catalog.by_name["auto"].replication_factor == 2
        it.options.default_replication_factor = 5
        response = await metadata.handle(
            it, asked(api_keys.METADATA, 12, MetadataRequest(topics=[MetadataRequestTopic(name="auto5")]))
        )
        assert response.topics[0].error_code == error_codes.INVALID_REPLICATION_FACTOR
        assert sorted(it.catalog.by_name) == ["auto", "default", "one", "three"]

    run(main())


def test_replicas_are_shown_and_move_with_who_lives() -> None:
    async def main() -> None:
        it = await with_stores()
        await made(it, creatable("t", 3))

        async def shown() -> list[list[int]]:
            described = await describe_topic_partitions.handle(
                it,
                asked(
                    api_keys.DESCRIBE_TOPIC_PARTITIONS,
                    0,
                    DescribeTopicPartitionsRequest(topics=[TopicRequest(name="t")], response_partition_limit=9),
                ),
            )
            response = await metadata.handle(it, asked(api_keys.METADATA, 12, MetadataRequest(topics=None)))
            found = []
            for one, other in zip(response.topics[0].partitions, described.topics[0].partitions, strict=True):
                assert one.leader_id == other.leader_id == one.replica_nodes[0]
                assert one.replica_nodes == one.isr_nodes == other.replica_nodes == other.isr_nodes
                found.append(one.replica_nodes)
            return found

        assert [len(set(replicas)) for replicas in await shown()] == [3, 3]
        it.members.update([(member(1), 0), (member(3), 0)], 1)
        assert [sorted(replicas) for replicas in await shown()] == [[1, 3], [1, 3]]
        it.members.update([(member(1), 0)], 2)
        assert await shown() == [[1], [1]]

    run(main())


@pytest.mark.parametrize(
    ("replicas", "text"),
    [
        ([[]], "assigned to no broker"),
        ([[1], []], "assigned to no broker"),
        ([[-1]], "to broker -1; ids are at least 0"),
        ([[2, 2]], "to broker 2 twice"),
        ([[1, 9]], "to broker 9, which is not registered"),
        (
            [[1, 2], [3]],
            "to 1 brokers, the ones before it to 2",
        ),
    ],
)
def test_manual_assignments_that_are_refused(replicas: list[list[int]], text: str) -> None:
    async def main() -> None:
        it = await with_stores()
        code, said, _ = await made(it, creatable("t", replicas=replicas))
        assert code == error_codes.INVALID_REPLICA_ASSIGNMENT
        assert text in said

    run(main())


def test_a_manual_assignment_says_where_and_how_many_replicas() -> None:
    async def main() -> None:
        it = await with_stores()
        assert await made(it, creatable("t", replicas=[[4, 1], [2, 3], [1, 2]])) == (0, "", 2)
        topic = it.catalog.by_name["t"]
        assert (len(topic.partition_ids), topic.replication_factor) == (3, 2)

        async def grown(count: int, *replicas: list[int]) -> int:
            assignments = [CreatePartitionsAssignment(broker_ids=each) for each in replicas]
            message = CreatePartitionsRequest(
                topics=[CreatePartitionsTopic(name="t", count=count, assignments=assignments)]
            )
            (answer,) = (await create_partitions.handle(it, asked(api_keys.CREATE_PARTITIONS, 3, message))).results
            return int(answer.error_code)

        assert await grown(4, [3]) == error_codes.INVALID_REPLICA_ASSIGNMENT
        assert await grown(4, [3, 7]) == error_codes.INVALID_REPLICA_ASSIGNMENT
        assert await grown(4, [3, 1]) == 0
        assert len(topic.partition_ids) == 4
        assert await grown(5) == error_codes.INVALID_REPLICA_ASSIGNMENT

        async def shown() -> list[list[int]]:
            response = await metadata.handle(it, asked(api_keys.METADATA, 12, MetadataRequest(topics=None)))
            partitions = response.topics[0].partitions
            assert [each.leader_id for each in partitions] == [each.replica_nodes[0] for each in partitions]
            assert [each.isr_nodes for each in partitions] == [each.replica_nodes for each in partitions]
            return [each.replica_nodes for each in partitions]

        assert await shown() == [[4, 1], [2, 3], [1, 2], [3, 1]]
        it.members.update([(member(n), 0) for n in (1, 2, 3)], 1)
        assert await shown() == [[1], [2, 3], [1, 2], [3, 1]]
        it.members.update([(member(1), 0)], 2)
        assert await shown() == [[1], [1], [1], [1]]
        it.members.update([(member(n), 0) for n in (1, 2, 3, 4)], 3)
        assert await shown() == [[4, 1], [2, 3], [1, 2], [3, 1]]
        assert len(it.catalog.assigned) == 4
        it.catalog.remove(topic)
        assert it.catalog.assigned == {}

    run(main())


def test_partitions_are_reassigned_at_once() -> None:
    async def main() -> None:
        it = await with_stores()
        await made(it, creatable("t", 2))
        topic = it.catalog.by_name["t"]

        async def moved(*wanted: tuple[int, list[int] | None], factor: bool = True) -> list[int]:
            asked_for = [reassignments.ReassignablePartition(partition_index=i, replicas=to) for i, to in wanted]
            message = reassignments.AlterPartitionReassignmentsRequest(
                topics=[reassignments.ReassignableTopic(name="t", partitions=asked_for)],
                allow_replication_factor_change=factor,
            )
            request = asked(api_keys.ALTER_PARTITION_REASSIGNMENTS, 1, message)
            (answer,) = (await alter_partition_reassignments.handle(it, request)).responses
            assert [each.partition_index for each in answer.partitions] == [index for index, _ in wanted]
            return [each.error_code for each in answer.partitions]

        def shown() -> list[list[int]]:
            return [it.replicas_of(topic, partition_id) for partition_id in topic.partition_ids]

        assert await moved((0, [4, 2]), (1, [3])) == [0, 0]
        assert shown() == [[4, 2], [3]]
        assert await moved((1, [3, 1]), (0, [1, 2]), factor=False) == [error_codes.INVALID_REPLICATION_FACTOR, 0]
        assert shown() == [[1, 2], [3]]
        refused = [(0, None), (7, [1]), (0, []), (0, [1, 1]), (1, [9]), (1, [2])]
        codes = [error_codes.NO_REASSIGNMENT_IN_PROGRESS, error_codes.UNKNOWN_TOPIC_OR_PARTITION]
        for each, code in zip(refused, [*codes, *[error_codes.INVALID_REPLICA_ASSIGNMENT] * 3, 0], strict=True):
            assert await moved(each) == [code]
        assert shown() == [[1, 2], [2]]
        version = topic.version
        await it.topic_store.delete_topic(topic.topic_id, 9)
        assert await moved((0, [1]), (5, [1])) == [error_codes.UNKNOWN_TOPIC_OR_PARTITION] * 2
        assert topic.version == version

    run(main())


def test_every_broker_names_the_same_controller() -> None:
    async def main() -> None:
        it = await with_stores()
        it.endpoints = [HERE]
        it.commits = lambda: 77

        async def named() -> set[int]:
            found = await metadata.handle(it, asked(api_keys.METADATA, 12, MetadataRequest(topics=[])))
            cluster = await describe_cluster.handle(it, asked(api_keys.DESCRIBE_CLUSTER, 1, DescribeClusterRequest()))
            return {found.controller_id, cluster.controller_id}

        async def quorum() -> tuple[int, list[int], list[tuple[int, int]], list[int]]:
            partition = describe_quorum_messages.RequestPartitionData(partition_index=0)
            message = describe_quorum_messages.DescribeQuorumRequest(
                topics=[
                    describe_quorum_messages.RequestTopicData(topic_name="__cluster_metadata", partitions=[partition])
                ]
            )
            answer = await describe_quorum.handle(it, asked(api_keys.DESCRIBE_QUORUM, 2, message))
            (found,) = answer.topics[0].partitions
            observers = [(each.replica_id, each.log_end_offset) for each in found.observers]
            voters = [each.replica_id for each in found.current_voters]
            return found.leader_id, voters, observers, [node.node_id for node in answer.nodes]

        assert await named() == {1}
        assert await quorum() == (1, [1], [(2, -1), (3, -1), (4, -1)], [1, 2, 3, 4])
        it.node_id, it.members = 3, Membership(member(3))
        it.members.update([(member(2), 0), (member(3), 0), (member(4), 0)], 0)
        assert await named() == {2}
        assert await quorum() == (2, [2], [(3, 77), (4, -1)], [2, 3, 4])

    run(main())
