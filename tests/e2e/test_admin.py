"""Administration through a real client."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec
from test_round_trip import create, produce

from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow


@pytest.fixture
def admin(moldau_broker: BrokerThread) -> AdminClient:
    return AdminClient({"bootstrap.servers": moldau_broker.bootstrap})


def error_name(future: object) -> str:
    with pytest.raises(KafkaException) as caught:
        future.result(10)  # type: ignore[attr-defined]
    return str(caught.value.args[0].name())


def test_topics_come_grow_and_go(admin: AdminClient) -> None:
    admin.create_topics([NewTopic("t", 2, 1)])["t"].result(10)
    assert error_name(admin.create_topics([NewTopic("t", 2, 1)])["t"]) == "TOPIC_ALREADY_EXISTS"
    assert error_name(admin.create_topics([NewTopic("a b", 2, 1)])["a b"]) == "TOPIC_EXCEPTION"
    assert error_name(admin.create_topics([NewTopic("u", 2, 3)])["u"]) == "INVALID_REPLICATION_FACTOR"
    admin.create_partitions([NewPartitions("t", 5)])["t"].result(10)
    assert error_name(admin.create_partitions([NewPartitions("t", 5)])["t"]) == "INVALID_PARTITIONS"
    described = admin.describe_topics(TopicCollection(["t"]))["t"].result(10)
    assert len(described.partitions) == 5
    first_id = str(described.topic_id)
    admin.delete_topics(["t"])["t"].result(10)
    assert "t" not in admin.list_topics(timeout=10).topics
    assert error_name(admin.delete_topics(["t"])["t"]) == "UNKNOWN_TOPIC_OR_PART"
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(10)
    assert str(admin.describe_topics(TopicCollection(["t"]))["t"].result(10).topic_id) != first_id


def test_records_are_deleted_up_to_an_offset(admin: AdminClient, moldau_broker: BrokerThread) -> None:
    create(moldau_broker.bootstrap, "t", 1)
    produce(moldau_broker.bootstrap, "t", [b"%d" % index for index in range(100)])
    partition = TopicPartition("t", 0)
    earliest, latest = OffsetSpec.earliest(), OffsetSpec.latest()
    assert admin.list_offsets({partition: latest})[partition].result(10).offset == 100
    deleted = admin.delete_records([TopicPartition("t", 0, 40)])
    assert next(iter(deleted.values())).result(10).low_watermark == 40
    assert admin.list_offsets({partition: earliest})[partition].result(10).offset == 40
    beyond = admin.delete_records([TopicPartition("t", 0, 101)])
    assert error_name(next(iter(beyond.values()))) == "OFFSET_OUT_OF_RANGE"


def test_the_cluster_describes_itself(admin: AdminClient) -> None:
    cluster = admin.describe_cluster().result(10)
    assert [node.id for node in cluster.nodes] == [1]
    assert cluster.controller.id == 1
    assert len(cluster.cluster_id) == 22


def test_offsets_by_time_are_exact(admin: AdminClient, moldau_broker: BrokerThread) -> None:
    from confluent_kafka import Producer

    create(moldau_broker.bootstrap, "t", 1)
    producer = Producer({"bootstrap.servers": moldau_broker.bootstrap, "linger.ms": 50})
    for index in range(100):
        producer.produce("t", value=b"x", partition=0, timestamp=1_000_000 + index * 10)
    assert producer.flush(10) == 0
    partition = TopicPartition("t", 0)

    def at(timestamp: int) -> int:
        answer = admin.list_offsets({partition: OffsetSpec.for_timestamp(timestamp)})[partition].result(10)
        return int(answer.offset)

    assert at(1_000_000) == 0
    assert at(1_000_001) == 1
    assert at(1_000_495) == 50
    assert at(1_000_990) == 99
    assert at(1_000_991) == -1
    greatest = admin.list_offsets({partition: OffsetSpec.max_timestamp()})[partition].result(10)
    assert (greatest.offset, greatest.timestamp) == (99, 1_000_990)
