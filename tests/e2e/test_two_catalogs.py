"""Two real brokers on one PostgreSQL: what is made at one is there at the other at once, and so is what is changed and deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from support.postgres import Servers
from support.share import ShareMember, joined, set_group
from support.talker import LATEST, Talker, batch_of

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from moldau.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from moldau.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow
TOPIC, SET, APPEND = 2, 0, 2


@pytest.fixture
def brokers(postgres_servers: Servers, tmp_path: Path) -> Iterator[tuple[BrokerThread, BrokerThread]]:
    server = postgres_servers[16]
    url = server.url(server.database())
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    settings = {"moldau.metadata.url": url, "moldau.blobs.url": f"file://{blobs}"}
    with (
        BrokerThread(settings={**settings, "node.id": "1"}) as one,
        BrokerThread(settings={**settings, "node.id": "2"}) as two,
    ):
        yield one, two


@pytest.fixture
def wires(brokers: tuple[BrokerThread, BrokerThread]) -> Iterator[tuple[Talker, Talker]]:
    with Talker(brokers[0].bootstrap) as a, Talker(brokers[1].bootstrap) as b:
        until(lambda: len(metadata(a).brokers) == len(metadata(b).brokers) == 2)
        yield a, b


def until(holds: Any) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def metadata(wire: Talker, *names: str) -> Any:
    topics = [MetadataRequestTopic(name=name) for name in names]
    return wire.call(api_keys.METADATA, 12, MetadataRequest(topics=topics, allow_auto_topic_creation=False))


def create(wire: Talker, name: str, partitions: int, factor: int) -> int:
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=factor)
    answer = wire.call(api_keys.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=10_000))
    return int(answer.topics[0].error_code)


def alter(wire: Talker, name: str, operation: int, key: str, value: str) -> int:
    configs = [AlterableConfig(name=key, config_operation=operation, value=value)]
    resource = AlterConfigsResource(resource_type=TOPIC, resource_name=name, configs=configs)
    request = IncrementalAlterConfigsRequest(resources=[resource])
    return int(wire.call(api_keys.INCREMENTAL_ALTER_CONFIGS, 1, request).responses[0].error_code)


def config(wire: Talker, name: str, key: str) -> str | None:
    resource = DescribeConfigsResource(resource_type=TOPIC, resource_name=name, configuration_keys=[key])
    (result,) = wire.call(api_keys.DESCRIBE_CONFIGS, 4, DescribeConfigsRequest(resources=[resource])).results
    assert result.error_code == 0
    value: str | None = result.configs[0].value
    return value


def write(wires: tuple[Talker, Talker], name: str, value: bytes) -> int:
    """At the broker named, after as many looks as a client takes; the offset."""
    while True:
        (topic,) = metadata(wires[0], name).topics
        if topic.error_code == 0:
            answer = wires[topic.partitions[0].leader_id - 1].produce(name, 0, batch_of([value]))
            if answer.error_code == 0:
                return answer.base_offset
            assert answer.error_code in (
                error_codes.UNKNOWN_TOPIC_OR_PARTITION,
                error_codes.NOT_LEADER_OR_FOLLOWER,
            )
        else:
            assert topic.error_code == error_codes.UNKNOWN_TOPIC_OR_PARTITION


def test_what_one_changes_is_so_at_the_other(wires: tuple[Talker, Talker]) -> None:
    a, b = wires
    for n in range(20):
        maker, user = wires if n % 2 else (b, a)
        name = f"t{n}"
        assert create(maker, name, 2, 1 + n % 2) == 0
        (seen,) = metadata(user, name).topics
        assert seen.error_code == 0
        assert [len(partition.replica_nodes) for partition in seen.partitions] == [1 + n % 2] * 2
        assert create(user, name, 1, 1) == error_codes.TOPIC_ALREADY_EXISTS
        assert alter(maker, name, SET, "retention.ms", str(1000 + n)) == 0
        assert config(user, name, "retention.ms") == str(1000 + n)
        assert write(wires, name, b"x") == 0
        assert user.offset(name, 0, LATEST) == 1
        assert user.delete_topic(name) == 0
        assert create(maker, name, 1, 1) == 0, "its name is free everywhere"
        assert user.offset(name, 0, LATEST) == 0
        assert write(wires, name, b"y") == 0
    assert a.topics() == b.topics() == sorted(f"t{n}" for n in range(20))
    assert create(a, "three", 1, 3) == error_codes.INVALID_REPLICATION_FACTOR
    assert metadata(a).controller_id == metadata(b).controller_id == 1


def test_both_alter_one_topic(wires: tuple[Talker, Talker]) -> None:
    assert create(wires[0], "t", 1, 1) == 0
    for n in range(10):
        assert alter(wires[n % 2], "t", APPEND, "follower.replication.throttled.replicas", f"0:{n}") == 0
    for wire in wires:
        found = config(wire, "t", "follower.replication.throttled.replicas")
        assert found is not None
        assert found.split(",") == [f"0:{n}" for n in range(10)]


def test_a_share_partition_goes_by_the_newest_settings_of_its_group(
    brokers: tuple[BrokerThread, BrokerThread], wires: tuple[Talker, Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create(wires[0], "t", 1, 1) == 0
    producer = Producer({"bootstrap.servers": brokers[0].bootstrap, "transactional.id": "t"})
    producer.init_transactions(20)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce("t", b"x", partition=0)
        producer.flush(20)
        end(20)
    home = metadata(wires[0], "t").topics[0].partitions[0].leader_id - 1
    until(lambda: wires[0].coordinator("g") > 0)
    coordinator = wires[0].coordinator("g") - 1
    member_id = joined(wires[coordinator], "g", "t").member_id
    # the home hears nothing of what the other one is told
    monkeypatch.setattr(brokers[home].lifecycle.node.broker.catalog, "hint", lambda _: None)
    set_to = {"share_auto_offset_reset": "earliest", "share_isolation_level": "read_committed"}
    assert set_group(wires[1 - home], "g", **set_to) == 0
    member = ShareMember(wires[home], "g", "t", member_id=member_id)
    assert member.take() == [(2, 2, 1)], "only what is committed"
