"""A broker whose store another one changes behind its back: no client is told that what is there is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.talker import EARLIEST, LATEST, Talker, batch_of

from moldau.broker.broker import Broker
from moldau.metadata.errors import StoreUnavailable
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from moldau.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from moldau.protocol.messages.describe_topic_partitions import DescribeTopicPartitionsRequest, TopicRequest
from moldau.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from moldau.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from moldau.protocol.uuid import random
from moldau.testing import BrokerThread

UNKNOWN = error_codes.UNKNOWN_TOPIC_OR_PARTITION


class Stale:
    """The broker, a client of it, and what somebody else does to its store."""

    def __init__(self, running: BrokerThread, wire: Talker) -> None:
        self.running = running
        self.broker: Broker = running.lifecycle.node.broker
        self.broker.catalog.shared = True
        self.wire = wire

    def elsewhere(self, change: Coroutine[Any, Any, Any]) -> Any:
        async def run() -> Any:
            return await change

        return asyncio.run_coroutine_threadsafe(run(), self.running._loop).result(10)

    def create(self, name: str, partitions: int = 1) -> bytes:
        topic_id = random()
        self.elsewhere(self.broker.topic_store.create_topic(topic_id, name, partitions, {}, 1))
        return topic_id

    def delete(self, topic_id: bytes) -> None:
        async def work() -> None:
            await self.broker.topic_store.delete_topic(topic_id, 1)
            for view in self.broker.views.all():  # as the refresher does when it finds them dead
                if view.topic_id == topic_id:
                    self.broker.views.drop(view.partition_id)

        self.elsewhere(work())

    def grow(self, topic_id: bytes, total: int) -> None:
        self.elsewhere(self.broker.topic_store.add_partitions(topic_id, total))


@pytest.fixture
def stale() -> Iterator[Stale]:
    with BrokerThread() as running, Talker(running.bootstrap) as wire:
        yield Stale(running, wire)


def fetch_by_id(wire: Talker, topic_id: bytes) -> Any:
    asked = FetchPartition(
        partition=0,
        current_leader_epoch=-1,
        fetch_offset=0,
        partition_max_bytes=1 << 20,
        log_start_offset=-1,
        last_fetched_epoch=-1,
    )
    request = FetchRequest(
        max_wait_ms=0,
        min_bytes=0,
        max_bytes=1 << 20,
        topics=[FetchTopic(topic_id=topic_id, partitions=[asked])],
        session_epoch=-1,
        rack_id="",
    )
    return wire.call(api_keys.FETCH, 13, request).responses[0].partitions[0].error_code


def produce_by_id(wire: Talker, topic_id: bytes) -> Any:
    data = TopicProduceData(topic_id=topic_id, partition_data=[PartitionProduceData(index=0, records=batch_of([b"x"]))])
    request = ProduceRequest(acks=-1, timeout_ms=10_000, topic_data=[data])
    return wire.call(api_keys.PRODUCE, 13, request).responses[0].partition_responses[0].error_code


def metadata_of(wire: Talker, name: str | None = None, topic_id: bytes = bytes(16)) -> Any:
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name=name, topic_id=topic_id)], allow_auto_topic_creation=False
    )
    return wire.call(api_keys.METADATA, 12, request).topics[0]


def describe_config(wire: Talker, name: str) -> Any:
    request = DescribeConfigsRequest(
        resources=[DescribeConfigsResource(resource_type=2, resource_name=name, configuration_keys=None)]
    )
    return wire.call(api_keys.DESCRIBE_CONFIGS, 4, request).results[0].error_code


def describe_partitions(wire: Talker, name: str) -> Any:
    request = DescribeTopicPartitionsRequest(topics=[TopicRequest(name=name)], response_partition_limit=10)
    return wire.call(api_keys.DESCRIBE_TOPIC_PARTITIONS, 0, request).topics[0].error_code


def commit(wire: Talker, name: str) -> Any:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=3, committed_leader_epoch=-1)
    request = OffsetCommitRequest(
        group_id="g",
        generation_id_or_member_epoch=-1,
        topics=[OffsetCommitRequestTopic(name=name, partitions=[partition])],
    )
    return wire.call(api_keys.OFFSET_COMMIT, 8, request).topics[0].partitions[0].error_code


ASKS: dict[str, Callable[[Talker, str], int]] = {
    "produce": lambda wire, name: wire.produce(name, 0, batch_of([b"x"])).error_code,
    "fetch": lambda wire, name: wire.fetch(name, 0, 0).error_code,
    "list offsets": lambda wire, name: wire.list_offset(name, 0, LATEST).error_code,
    "metadata": lambda wire, name: metadata_of(wire, name).error_code,
    "describe configs": describe_config,
    "describe partitions": describe_partitions,
    "commit": commit,
    "delete": lambda wire, name: wire.delete_topic(name),
}


@pytest.mark.parametrize("ask", ASKS)
def test_a_topic_that_another_broker_made(stale: Stale, ask: str) -> None:
    assert ASKS[ask](stale.wire, "t") == UNKNOWN
    stale.create("t")
    assert ASKS[ask](stale.wire, "t") == 0


def test_by_id(stale: Stale) -> None:
    wire = stale.wire
    for ask in (fetch_by_id, produce_by_id, lambda wire, topic_id: metadata_of(wire, None, topic_id).error_code):
        assert ask(wire, b"nonsense" * 2) == error_codes.UNKNOWN_TOPIC_ID
        assert ask(wire, stale.create(f"t{ask}"[:9] + str(id(ask)))) == 0


def test_partitions_that_another_broker_added(stale: Stale) -> None:
    wire = stale.wire
    topic_id = stale.create("t")
    assert wire.produce("t", 0, batch_of([b"x"])).error_code == 0
    assert wire.produce("t", 1, batch_of([b"x"])).error_code == UNKNOWN
    stale.grow(topic_id, 2)
    assert wire.produce("t", 1, batch_of([b"x"])).error_code == 0
    stale.grow(topic_id, 3)
    assert wire.fetch("t", 2, 0).error_code == 0
    stale.grow(topic_id, 4)
    assert wire.offset("t", 3, EARLIEST) == 0


def test_one_unknown_topic_beside_a_known_one(stale: Stale) -> None:
    stale.create("known")
    stale.create("new")
    data = [
        TopicProduceData(name=name, partition_data=[PartitionProduceData(index=0, records=batch_of([b"x"]))])
        for name in ("known", "nonsense", "new")
    ]
    request = ProduceRequest(acks=-1, timeout_ms=10_000, topic_data=data)
    answers = stale.wire.call(api_keys.PRODUCE, 9, request).responses
    assert [each.name for each in answers] == ["known", "nonsense", "new"]
    assert [each.partition_responses[0].error_code for each in answers] == [0, UNKNOWN, 0]


def test_a_topic_that_another_broker_made_anew(stale: Stale) -> None:
    wire = stale.wire
    first = stale.create("t")
    assert wire.produce("t", 0, batch_of([b"a", b"b"])).error_code == 0
    stale.delete(first)
    second = stale.create("t")
    # the store has no such partition any more: clients try again, and the broker has looked
    code = UNKNOWN
    while code == UNKNOWN:
        code = wire.produce("t", 0, batch_of([b"c"])).error_code
    assert code == 0
    assert metadata_of(wire, "t").topic_id == second
    assert wire.read_all("t", 0) == [(0, b"c")]
    stale.delete(second)
    third = stale.create("t")
    assert wire.offset("t", 0, LATEST) == 0
    assert fetch_by_id(wire, third) == 0
    stale.delete(third)
    assert fetch_by_id(wire, third) == error_codes.UNKNOWN_TOPIC_ID
    stale.create("t")
    assert wire.offset("t", 0, LATEST) == 0
    assert wire.create_topic("t") == error_codes.TOPIC_ALREADY_EXISTS
    assert wire.delete_topic("t") == 0
    assert wire.create_topic("t") == 0


def test_committed_offsets_of_a_topic_that_is_not_known_yet(stale: Stale) -> None:
    """No offset where there is one would send the group to the end, past what it has not read."""
    wire = stale.wire
    stale.create("t")
    assert commit(wire, "t") == 0
    stale.elsewhere(_forget(stale.broker))
    for topics in ([OffsetFetchRequestTopics(name="t", partition_indexes=[0])], None):
        request = OffsetFetchRequest(groups=[OffsetFetchRequestGroup(group_id="g", topics=topics)])
        (group,) = wire.call(api_keys.OFFSET_FETCH, 8, request).groups
        assert [each.partitions[0].committed_offset for each in group.topics] == [3]
        stale.elsewhere(_forget(stale.broker))


async def _forget(broker: Broker) -> None:
    for topic in list(broker.catalog.by_id.values()):
        broker.catalog.remove(topic)
    broker.catalog.version = -1


async def _nothing_answers(broker: Broker) -> None:
    async def away(*_: int) -> int:
        raise StoreUnavailable("away")

    broker.catalog._store = SimpleNamespace(version=away, changes=away)  # type: ignore[assignment]


AWAY = {
    "produce": error_codes.KAFKA_STORAGE_ERROR,
    "fetch": error_codes.KAFKA_STORAGE_ERROR,
    "list offsets": error_codes.KAFKA_STORAGE_ERROR,
    "metadata": error_codes.LEADER_NOT_AVAILABLE,
    "describe configs": error_codes.KAFKA_STORAGE_ERROR,
    "describe partitions": error_codes.LEADER_NOT_AVAILABLE,
    "commit": error_codes.COORDINATOR_NOT_AVAILABLE,
    "delete": error_codes.KAFKA_STORAGE_ERROR,
}


def test_nothing_is_unknown_while_the_store_does_not_answer(stale: Stale) -> None:
    stale.elsewhere(_nothing_answers(stale.broker))
    assert {name: ask(stale.wire, "t") for name, ask in ASKS.items()} == AWAY
    request = OffsetFetchRequest(
        groups=[
            OffsetFetchRequestGroup(group_id="g", topics=[OffsetFetchRequestTopics(name="t", partition_indexes=[0])])
        ]
    )
    (group,) = stale.wire.call(api_keys.OFFSET_FETCH, 8, request).groups
    assert group.error_code == error_codes.COORDINATOR_NOT_AVAILABLE


def test_growth_of_what_another_broker_made_anew(stale: Stale) -> None:
    first = stale.create("t")
    assert metadata_of(stale.wire, "t").topic_id == first
    stale.delete(first)
    second = stale.create("t")
    request = CreatePartitionsRequest(topics=[CreatePartitionsTopic(name="t", count=3, assignments=None)])
    (answer,) = stale.wire.call(api_keys.CREATE_PARTITIONS, 3, request).results
    assert answer.error_code == 0
    found = metadata_of(stale.wire, "t")
    assert (found.topic_id, len(found.partitions)) == (second, 3)
