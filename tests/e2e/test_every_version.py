"""Every version of every API that is advertised gets an answer that decodes; nothing closes the connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_round_trip import create

from moldau.broker import served
from moldau.protocol import api_keys as k
from moldau.protocol.headers import response_header_version
from moldau.protocol.message import Message
from moldau.protocol.messages import (
    alter_configs,
    alter_partition_reassignments,
    create_partitions,
    create_topics,
    delete_records,
    delete_topics,
    describe_cluster,
    describe_configs,
    describe_producers,
    describe_topic_partitions,
    elect_leaders,
    fetch,
    incremental_alter_configs,
    list_offsets,
    list_partition_reassignments,
    metadata,
    offset_for_leader_epoch,
    produce,
    update_features,
)
from moldau.protocol.registry import request_class, response_class
from moldau.records.builder import build_batch
from moldau.records.record import Record
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

BATCH = bytes(build_batch([Record(0, 1_000_000, b"k", b"v")]))


def _produce(version: int, topic_id: bytes) -> Message:
    partition = produce.PartitionProduceData(index=0, records=memoryview(BATCH))
    named = {"topic_id": topic_id} if version >= 13 else {"name": "t"}
    return produce.ProduceRequest(
        acks=-1, timeout_ms=1000, topic_data=[produce.TopicProduceData(partition_data=[partition], **named)]
    )


def _fetch(version: int, topic_id: bytes) -> Message:
    named = {"topic_id": topic_id} if version >= 13 else {"topic": "t"}
    partition = fetch.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)
    return fetch.FetchRequest(max_wait_ms=10, min_bytes=1, topics=[fetch.FetchTopic(partitions=[partition], **named)])


def _list_offsets(version: int, _: bytes) -> Message:
    partitions = [
        list_offsets.ListOffsetsPartition(partition_index=index, timestamp=timestamp)
        for index, timestamp in ((0, -1), (1, -2), (7, -1), (2, 5))
    ]
    return list_offsets.ListOffsetsRequest(topics=[list_offsets.ListOffsetsTopic(name="t", partitions=partitions)])


def _delete_topics(version: int, _: bytes) -> Message:
    if version >= 6:
        return delete_topics.DeleteTopicsRequest(topics=[delete_topics.DeleteTopicState(name="missing")])
    return delete_topics.DeleteTopicsRequest(topic_names=["missing"])


MAKE: dict[int, Callable[[int, bytes], Message]] = {
    k.PRODUCE: _produce,
    k.FETCH: _fetch,
    k.LIST_OFFSETS: _list_offsets,
    k.DELETE_TOPICS: _delete_topics,
    k.METADATA: lambda v, _: metadata.MetadataRequest(
        topics=[metadata.MetadataRequestTopic(name=name) for name in ("t", "made", "a b")]
    ),
    k.CREATE_TOPICS: lambda v, _: create_topics.CreateTopicsRequest(
        topics=[
            create_topics.CreatableTopic(name=f"c{v}", num_partitions=1, replication_factor=1),
            create_topics.CreatableTopic(name="t", num_partitions=1, replication_factor=1),
        ]
    ),
    k.CREATE_PARTITIONS: lambda v, _: create_partitions.CreatePartitionsRequest(
        topics=[create_partitions.CreatePartitionsTopic(name=name, count=1, assignments=None) for name in ("t", "no")]
    ),
    k.DELETE_RECORDS: lambda v, _: delete_records.DeleteRecordsRequest(
        topics=[
            delete_records.DeleteRecordsTopic(
                name="t", partitions=[delete_records.DeleteRecordsPartition(partition_index=i) for i in (1, 9)]
            )
        ]
    ),
    k.OFFSET_FOR_LEADER_EPOCH: lambda v, _: offset_for_leader_epoch.OffsetForLeaderEpochRequest(
        topics=[
            offset_for_leader_epoch.OffsetForLeaderTopic(
                topic="t", partitions=[offset_for_leader_epoch.OffsetForLeaderPartition(partition=0)]
            )
        ]
    ),
    k.DESCRIBE_CONFIGS: lambda v, _: describe_configs.DescribeConfigsRequest(
        resources=[
            describe_configs.DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=None)
            for kind, name in ((2, "t"), (2, "no"), (4, "1"), (4, ""), (8, "1"), (99, "x"))
        ]
    ),
    k.ALTER_CONFIGS: lambda v, _: alter_configs.AlterConfigsRequest(
        resources=[
            alter_configs.AlterConfigsResource(
                resource_type=2,
                resource_name="t",
                configs=[alter_configs.AlterableConfig(name="retention.ms", value="1000000")],
            )
        ]
    ),
    k.INCREMENTAL_ALTER_CONFIGS: lambda v, _: incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(
                resource_type=2,
                resource_name="t",
                configs=[incremental_alter_configs.AlterableConfig(name="no.such", config_operation=0, value="1")],
            )
        ]
    ),
    k.DESCRIBE_PRODUCERS: lambda v, _: describe_producers.DescribeProducersRequest(
        topics=[describe_producers.TopicRequest(name="t", partition_indexes=[0, 9])]
    ),
    k.DESCRIBE_TOPIC_PARTITIONS: lambda v, _: describe_topic_partitions.DescribeTopicPartitionsRequest(
        topics=[describe_topic_partitions.TopicRequest(name=name) for name in ("t", "no")],
        response_partition_limit=2,
        cursor=None,
    ),
    k.UPDATE_FEATURES: lambda v, _: update_features.UpdateFeaturesRequest(
        feature_updates=[
            update_features.FeatureUpdateKey(feature=name, max_version_level=3) for name in ("metadata.version", "no")
        ]
    ),
    k.DESCRIBE_CLUSTER: lambda v, _: describe_cluster.DescribeClusterRequest(),
    k.ELECT_LEADERS: lambda v, _: elect_leaders.ElectLeadersRequest(
        topic_partitions=[elect_leaders.TopicPartitions(topic="t", partitions=[0, 9])]
    ),
    k.ALTER_PARTITION_REASSIGNMENTS: lambda v, _: alter_partition_reassignments.AlterPartitionReassignmentsRequest(
        topics=[
            alter_partition_reassignments.ReassignableTopic(
                name="t",
                partitions=[
                    alter_partition_reassignments.ReassignablePartition(partition_index=index, replicas=[1])
                    for index in (0, 9)
                ],
            )
        ]
    ),
    k.LIST_PARTITION_REASSIGNMENTS: lambda v, _: list_partition_reassignments.ListPartitionReassignmentsRequest(),
}
GROUPS = {8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47}
"""These have a sweep of their own in `test_group_versions`."""


class Raw:
    """One connection without a client."""

    def __init__(self, bootstrap: str) -> None:
        host, port = bootstrap.rsplit(":", 1)
        self.link = socket.create_connection((host, int(port)), 5)

    def ask(self, key: int, version: int, message: Message) -> Any:
        head = struct.pack(">hhih", key, version, version, 1) + b"x"
        if version >= k.FLEXIBLE_FROM[key]:
            head += b"\0"
        frame = head + message.encode(version)
        self.link.sendall(struct.pack(">i", len(frame)) + frame)
        (size,) = struct.unpack(">i", self._exactly(4))
        reply = self._exactly(size)
        assert struct.unpack_from(">i", reply) == (version,)
        return response_class(key).decode(reply, version, 4 + response_header_version(key, version))

    def _exactly(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size:
            part = self.link.recv(size - len(parts))
            assert part, "the broker closed the connection"
            parts += part
        return parts


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerThread]:
    with BrokerThread() as running:
        create(running.bootstrap, "t", 3)
        yield running


VERSIONS = [
    (key, version)
    for key, (low, high) in served.VERSIONS.items()
    if key not in GROUPS
    for version in range(max(low, k.RANGES[key][0]), high + 1)
]


@pytest.mark.parametrize(("key", "version"), VERSIONS, ids=lambda each: str(each))
def test_each_version_is_answered(broker: BrokerThread, key: int, version: int) -> None:
    raw = Raw(broker.bootstrap)
    try:
        topic_id = broker.lifecycle.node.broker.catalog.by_name["t"].topic_id
        make = MAKE.get(key)
        request = make(version, topic_id) if make else request_class(key)()
        response = raw.ask(key, version, request)
        if key == k.PRODUCE:
            assert response.responses[0].partition_responses[0].error_code == 0
        if key == k.FETCH:
            assert response.responses[0].partitions[0].error_code == 0
        # the connection is as good as before
        assert raw.ask(k.API_VERSIONS, 0, request_class(k.API_VERSIONS)()).error_code == 0
    finally:
        raw.link.close()
