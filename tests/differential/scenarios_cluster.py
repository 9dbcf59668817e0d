"""Metadata, DescribeTopicPartitions, DescribeCluster, DescribeQuorum, FindCoordinator."""

from __future__ import annotations

import time

from conversation import Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages.describe_cluster import DescribeClusterRequest
from moldau.protocol.messages.describe_quorum import DescribeQuorumRequest, RequestPartitionData, RequestTopicData
from moldau.protocol.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest, TopicRequest
from moldau.protocol.messages.find_coordinator import FindCoordinatorRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

NO_SUCH_ID = bytes(range(16))


@scenario(k.METADATA)
def metadata(c: Conversation, version: int) -> None:
    def ask(label: str, *names: str | None, create: bool = False, **fields: object) -> None:
        topics = [MetadataRequestTopic(name=n) for n in names]
        body = MetadataRequest(topics=topics, allow_auto_topic_creation=create or version < 4, **fields)
        c.ask(label, k.METADATA, version, body)

    topic, other = c.topic(partitions=3), c.topic("u")
    ask("one topic", topic)
    ask("two topics", topic, other)
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
    ask("known and unknown, to be created", topic, f"{c.prefix}-both", create=True)
    ask("internal, to be created", f"__consumer_offsets_{c.prefix}", create=True)
    everything = c.quiet(k.METADATA, version, MetadataRequest(topics=[] if version == 0 else None))
    everything.topics = [t for t in everything.topics if t.name in (topic, other)]
    c.note("all topics", everything)
    c.settle()
    found = c.metadata(f"{c.prefix}-auto").topics[0]
    c.note("partitions of the created", f"{len(found.partitions)} partitions")
    if version >= 12:
        for label, topic_id in (("by id", c.topic_id(topic)), ("unknown id", NO_SUCH_ID)):
            asked = [MetadataRequestTopic(name=None, topic_id=topic_id)]
            c.ask(label, k.METADATA, version, MetadataRequest(topics=asked, allow_auto_topic_creation=False))
    if version >= 10:
        topic_id = c.topic_id(topic)
        for label, name, asked_id in (
            ("id and name", topic, topic_id),
            ("id and another name", other, topic_id),
            ("neither id nor name", None, bytes(16)),
            ("an id", None, topic_id),
        ):
            asked = [MetadataRequestTopic(name=name, topic_id=asked_id)]
            c.ask(label, k.METADATA, version, MetadataRequest(topics=asked, allow_auto_topic_creation=False), on=label)


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
    ask("negative limit", a, limit=-1)
    ask("cursor at partition -1", a, cursor=Cursor(topic_name=a, partition_index=-1))
    ask("cursor behind the last partition", a, b, cursor=Cursor(topic_name=a, partition_index=3))
    ask("cursor far behind the last partition", a, b, cursor=Cursor(topic_name=a, partition_index=30))
    ask("cursor at an unknown topic between", a, b, cursor=Cursor(topic_name=f"{a}a", partition_index=7))
    ask(
        "cursor at an unknown topic that is asked for", a, f"{a}a", cursor=Cursor(topic_name=f"{a}a", partition_index=0)
    )
    ask("the same twice", a, a, limit=4)
    ask("against the order of names", b, a, limit=4)
    ask("unknown among known", a, f"{a}a", b, limit=3)
    ask("empty name", "")


@scenario(k.DESCRIBE_CLUSTER)
def describe_cluster(c: Conversation, version: int) -> None:
    c.ask("plain", k.DESCRIBE_CLUSTER, version, DescribeClusterRequest())
    body = DescribeClusterRequest(include_cluster_authorized_operations=True)
    c.ask("operations", k.DESCRIBE_CLUSTER, version, body)
    if version >= 1:
        for label, kind in (("controllers", 2), ("endpoint type 0", 0), ("no such endpoint type", 7)):
            c.ask(label, k.DESCRIBE_CLUSTER, version, DescribeClusterRequest(endpoint_type=kind))
    if version >= 2:
        c.ask("fenced ones too", k.DESCRIBE_CLUSTER, version, DescribeClusterRequest(include_fenced_brokers=True))


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

    for patience in range(500):  # Apache Kafka makes its internal topic first
        body = FindCoordinatorRequest(key="warm")
        if not c.quiet(k.FIND_COORDINATOR, 3, body).error_code:
            break
        assert patience < 499, "no coordinator"
        time.sleep(0.02)
    ask("group", "g")
    ask("empty group", "")
    if version >= 1:
        ask("no such type", "g", kind=9)
        ask("negative type", "g", kind=-1)
        ask("empty transactional id", "", kind=1)
        ask("a share partition without its format", "g", kind=2)
    if version >= 4:
        ask("three groups", "g1", "g2", "g3")
        ask("no key")
        ask("the same twice", "g", "g")
        ask("empty among others", "g", "")
