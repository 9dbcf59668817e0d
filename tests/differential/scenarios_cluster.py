"""ApiVersions, Metadata, DescribeTopicPartitions, DescribeCluster, FindCoordinator, and what is no request at all."""

from __future__ import annotations

from conversation import Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.messages.describe_cluster import DescribeClusterRequest
from moldau.protocol.messages.describe_quorum import DescribeQuorumRequest, RequestPartitionData, RequestTopicData
from moldau.protocol.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest, TopicRequest
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

NO_SUCH_ID = bytes(range(16))


@scenario(k.API_VERSIONS)
def api_versions(c: Conversation, version: int) -> None:
    client = {"client_software_name": "differential", "client_software_version": "1.0"} if version >= 3 else {}
    c.ask("plain", k.API_VERSIONS, version, ApiVersionsRequest(**client))
    if version >= 3:
        for label, name, release in (
            ("name with a space", "a b", "1"),
            ("empty name", "", "1"),
            ("empty version", "a", ""),
            ("dash first", "-a", "1"),
        ):
            body = ApiVersionsRequest(client_software_name=name, client_software_version=release)
            c.ask(label, k.API_VERSIONS, version, body, on=label)
        c.ask("bytes that are no request", k.API_VERSIONS, version, b"\x7f\x7f\x7f", on="garbage")


@scenario(k.METADATA)
def metadata(c: Conversation, version: int) -> None:
    def ask(label: str, *names: str | None, create: bool = False, **fields: object) -> None:
        topics = [MetadataRequestTopic(name=n) for n in names]
        body = MetadataRequest(topics=topics, allow_auto_topic_creation=create or version < 4, **fields)
        c.ask(label, k.METADATA, version, body)

    topic = c.topic(partitions=3)
    ask("one topic", topic)
    ask("twice the same", topic, topic)
    if version >= 1:
        ask("none")
    if version >= 4:
        ask("unknown, not to be created", f"{c.prefix}-unknown")
        for label, name in (
            ("space in the name", "a b"),
            ("empty name", ""),
            ("a dot", "."),
            ("two dots", ".."),
            ("name of 249", "n" * 249),
            ("name of 250", "n" * 250),
            ("slash", "a/b"),
        ):
            ask(label, name)
    if version >= 8:
        ask("authorized operations", topic, include_topic_authorized_operations=True)
    if 8 <= version <= 10:
        ask("operations on the cluster", include_cluster_authorized_operations=True)
    ask("created by asking", f"{c.prefix}-auto", create=True)
    ask("invalid, to be created", "a b", create=True)
    c.settle()
    found = c.metadata(f"{c.prefix}-auto").topics[0]
    c.note("partitions of the created", f"{len(found.partitions)} partitions")
    if version >= 12:
        for label, topic_id in (("by id", c.topic_id(topic)), ("unknown id", NO_SUCH_ID)):
            asked = [MetadataRequestTopic(name=None, topic_id=topic_id)]
            c.ask(label, k.METADATA, version, MetadataRequest(topics=asked, allow_auto_topic_creation=False))


@scenario(k.DESCRIBE_TOPIC_PARTITIONS)
def describe_topic_partitions(c: Conversation, version: int) -> None:
    a, b = c.topic("a", partitions=3), c.topic("b", partitions=2)

    def ask(label: str, *names: str, limit: int = 2000, cursor: Cursor | None = None) -> None:
        body = DescribeTopicPartitionsRequest(
            topics=[TopicRequest(name=n) for n in names], response_partition_limit=limit, cursor=cursor
        )
        c.ask(label, k.DESCRIBE_TOPIC_PARTITIONS, version, body)

    ask("two topics", a, b)
    ask("unknown", f"{c.prefix}-none")
    ask("invalid name", "a b")
    ask("limit 2", a, b, limit=2)
    ask("from a cursor", a, b, limit=2, cursor=Cursor(topic_name=a, partition_index=2))
    ask("a cursor beyond the topics", a, b, cursor=Cursor(topic_name=f"{c.prefix}-z", partition_index=0))
    ask("limit 0", a, limit=0)
    ask("cursor at partition -1", a, cursor=Cursor(topic_name=a, partition_index=-1))


@scenario(k.DESCRIBE_CLUSTER)
def describe_cluster(c: Conversation, version: int) -> None:
    c.ask("plain", k.DESCRIBE_CLUSTER, version, DescribeClusterRequest())
    body = DescribeClusterRequest(include_cluster_authorized_operations=True)
    c.ask("operations", k.DESCRIBE_CLUSTER, version, body)
    if version >= 1:
        for label, kind in (("controllers", 2), ("no such endpoint type", 7)):
            c.ask(label, k.DESCRIBE_CLUSTER, version, DescribeClusterRequest(endpoint_type=kind))


@scenario(k.DESCRIBE_QUORUM)
def describe_quorum(c: Conversation, version: int) -> None:
    for label, topic, partition in (
        ("the metadata log", "__cluster_metadata", 0),
        ("partition 1", "__cluster_metadata", 1),
        ("another topic", "nothing", 0),
    ):
        asked = [RequestTopicData(topic_name=topic, partitions=[RequestPartitionData(partition_index=partition)])]
        answer = c.wire()
        answer.send(k.DESCRIBE_QUORUM, version, DescribeQuorumRequest(topics=asked))
        found = answer.receive()
        # offsets of the metadata log move by themselves
        for t in getattr(found, "topics", []):
            for p in t.partitions:
                p.high_watermark = p.leader_epoch = 0
                for replica in [*p.current_voters, *p.observers]:
                    replica.log_end_offset = 0
                    replica.last_fetch_timestamp = replica.last_caught_up_timestamp = -1
                    replica.replica_directory_id = bytes(16)
        c.note(label, found)


@scenario(k.FIND_COORDINATOR)
def find_coordinator(c: Conversation, version: int) -> None:
    def ask(label: str, *keys: str, kind: int = 0) -> None:
        if version >= 4:
            body = FindCoordinatorRequest(key_type=kind, coordinator_keys=list(keys))
        elif version >= 1:
            body = FindCoordinatorRequest(key=keys[0], key_type=kind)
        else:
            body = FindCoordinatorRequest(key=keys[0])
        c.ask(label, k.FIND_COORDINATOR, version, body, on=label)

    for patience in range(100):  # Apache Kafka makes its internal topic first
        body = FindCoordinatorRequest(key="warm")
        if not c.quiet(k.FIND_COORDINATOR, 3, body).error_code:
            break
        assert patience < 99, "no coordinator"
    ask("group", "g")
    ask("empty group", "")
    if version >= 1:
        ask("no such type", "g", kind=9)
    if version >= 4:
        ask("three groups", "g1", "g2", "g3")
        ask("no key")


@scenario(k.API_VERSIONS)
def no_requests(c: Conversation, version: int) -> None:
    """Bytes that no broker can answer; none may disturb another connection."""
    if version:
        return
    for label, key, asked in (
        ("unknown API", 999, 0),
        ("negative API", -5, 0),
        ("Fetch 3", k.FETCH, 3),
        ("Fetch 99", k.FETCH, 99),
        ("Metadata 99", k.METADATA, 99),
        ("Produce -1", k.PRODUCE, -1),
    ):
        c.wire(label).send_frame(
            key.to_bytes(2, "big", signed=True) + asked.to_bytes(2, "big", signed=True) + bytes(60)
        )
        c.note(label, str(c.wire(label).receive_frame()))
    for label, raw, size in (
        ("cut Metadata", bytes.fromhex("0003 0001 00000007 0001 41 0000 0005 0001"), None),
        ("frame of size 0", b"", 0),
        ("negative size", b"", -2),
        ("size above the limit", b"", 2**31 - 1),
        ("a web browser", b"GET / HTTP/1.1\r\n\r\n", 0x47455420),
    ):
        c.wire(label).send_frame(raw, size)
        c.note(label, str(c.wire(label).receive_frame()))
    c.ask("others go on", k.API_VERSIONS, 99, bytes(4), answered_as=0, on="others")
