"""Consumer groups with real clients: joining, rebalancing, committing, and a restart that nobody notices."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from moldau.broker.options import Options
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

PARTITIONS = 4


def quick_options() -> Options:
    options = Options()
    options.group_initial_rebalance_delay_ms = 0
    return options


@pytest.fixture
def bootstrap(tmp_path: Path) -> Iterator[str]:
    with BrokerThread(quick_options(), tmp_path) as broker:
        create_topic(broker.bootstrap)
        yield broker.bootstrap


def create_topic(bootstrap: str, topic: str = "t") -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(10)


def produce(bootstrap: str, begin: int, end: int) -> set[bytes]:
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    values = {b"%d" % number for number in range(begin, end)}
    for number, value in enumerate(sorted(values)):
        producer.produce("t", value=value, partition=number % PARTITIONS)
    assert producer.flush(10) == 0
    return values


class Member:
    """A consumer that keeps a diary."""

    def __init__(self, bootstrap: str, **config: object) -> None:
        self.assigned = 0
        self.values: set[bytes] = set()
        self.last: Message | None = None
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "g",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "heartbeat.interval.ms": 100,
                "session.timeout.ms": 6000,
                "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 100,
                **config,
            }
        )
        self.consumer.subscribe(["t"], on_assign=self._on_assign)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.assigned += 1

    @property
    def partitions(self) -> list[int]:
        return sorted(partition.partition for partition in self.consumer.assignment())

    def poll(self) -> None:
        message = self.consumer.poll(0.02)
        if message is not None and message.error() is None:
            self.values.add(message.value())
            self.last = message


def poll_until(members: list[Member], done: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, [(member.partitions, member.values) for member in members]
        for member in members:
            member.poll()


def committed(bootstrap: str, group: str) -> dict[int, int]:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(10)
    return {each.partition: each.offset for each in found.topic_partitions}


def test_two_members_share_the_partitions_and_the_rest_takes_over(bootstrap: str) -> None:
    values = produce(bootstrap, 0, 40)
    first = Member(bootstrap)
    poll_until([first], lambda: first.partitions == [0, 1, 2, 3])
    second = Member(bootstrap)
    both = [first, second]
    poll_until(both, lambda: len(first.partitions) == len(second.partitions) == 2)
    assert sorted(first.partitions + second.partitions) == [0, 1, 2, 3]
    poll_until(both, lambda: first.values | second.values == values)
    first.consumer.close()
    poll_until([second], lambda: second.partitions == [0, 1, 2, 3])
    second.consumer.close()


def test_a_new_member_goes_on_where_the_group_has_committed(bootstrap: str) -> None:
    values = produce(bootstrap, 0, 8)
    first = Member(bootstrap)
    poll_until([first], lambda: first.values == values)
    first.consumer.commit(asynchronous=False)
    first.consumer.close()
    assert committed(bootstrap, "g") == {0: 2, 1: 2, 2: 2, 3: 2}
    more = produce(bootstrap, 100, 108)
    second = Member(bootstrap)
    poll_until([second], lambda: len(second.values) >= 8)
    assert second.values == more
    second.consumer.close()


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_restart_is_no_rebalance(tmp_path: Path, strategy: str) -> None:
    with BrokerThread(quick_options(), tmp_path) as broker:
        bootstrap = broker.bootstrap
        create_topic(bootstrap)
        members = [Member(bootstrap, **{"partition.assignment.strategy": strategy}) for _ in range(2)]
        poll_until(members, lambda: all(len(member.partitions) == 2 for member in members))
        values = produce(bootstrap, 0, 8)
        poll_until(members, lambda: members[0].values | members[1].values == values)
        before = [(member.assigned, member.partitions, member.consumer.memberid()) for member in members]
    with BrokerThread(quick_options(), tmp_path, int(bootstrap.split(":")[1])):
        values |= produce(bootstrap, 100, 108)
        poll_until(members, lambda: members[0].values | members[1].values == values)
        for member in members:
            member.consumer.commit(asynchronous=False)
        beats = time.monotonic() + 0.5  # five heartbeats
        poll_until(members, lambda: time.monotonic() > beats)
        assert [(member.assigned, member.partitions, member.consumer.memberid()) for member in members] == before
        assert sum(committed(bootstrap, "g").values()) == 16
        for member in members:
            member.consumer.close()


def test_a_static_member_comes_back_to_its_partitions(bootstrap: str) -> None:
    members = [Member(bootstrap, **{"group.instance.id": name}) for name in ("a", "b")]
    poll_until(members, lambda: all(len(member.partitions) == 2 for member in members))
    mine, assigned = members[1].partitions, members[0].assigned
    members[1].consumer.close()
    again = Member(bootstrap, **{"group.instance.id": "b"})
    both = [members[0], again]
    poll_until(both, lambda: again.partitions != [])
    assert again.partitions == mine
    assert members[0].assigned == assigned
    for member in both:
        member.consumer.close()


def test_administration(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    values = produce(bootstrap, 0, 8)
    member = Member(bootstrap, **{"client.id": "reader"})
    poll_until([member], lambda: member.values == values)
    member.consumer.commit(asynchronous=False)
    listed = admin.list_consumer_groups().result(10).valid
    assert [(group.group_id, group.state.name) for group in listed] == [("g", "STABLE")]
    described = admin.describe_consumer_groups(["g"])["g"].result(10)
    assert (described.state.name, described.partition_assignor) == ("STABLE", "range")
    assert [(each.client_id, each.host) for each in described.members] == [("reader", "/127.0.0.1")]
    assert len(described.members[0].assignment.topic_partitions) == PARTITIONS
    with pytest.raises(KafkaException, match="NON_EMPTY_GROUP"):
        admin.delete_consumer_groups(["g"])["g"].result(10)
    member.consumer.close()
    moved = ConsumerGroupTopicPartitions("g", [TopicPartition("t", 1, 7)])
    admin.alter_consumer_group_offsets([moved])["g"].result(10)
    assert committed(bootstrap, "g") == {0: 2, 1: 7, 2: 2, 3: 2}
    admin.delete_consumer_groups(["g"])["g"].result(10)
    assert admin.list_consumer_groups().result(10).valid == []
    assert committed(bootstrap, "g") == {}


def test_offsets_go_with_their_topic(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("g", [TopicPartition("t", 0, 5)])])["g"].result(10)
    assert committed(bootstrap, "g") == {0: 5}
    admin.delete_topics(["t"])["t"].result(10)
    create_topic(bootstrap)
    assert committed(bootstrap, "g") == {}


def test_aiokafka(bootstrap: str) -> None:
    from aiokafka import AIOKafkaConsumer

    values = produce(bootstrap, 0, 8)

    async def member() -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            "t",
            bootstrap_servers=bootstrap,
            group_id="g",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=100,
        )
        await consumer.start()
        return consumer

    async def main() -> None:
        async with AsyncExitStack() as stack:
            first = await member()
            stack.push_async_callback(first.stop)
            seen: set[bytes] = set()
            while seen != values:
                for records in (await first.getmany(timeout_ms=500)).values():
                    seen |= {record.value for record in records}
            await first.commit()
            second = await member()
            stack.push_async_callback(second.stop)
            while not len(first.assignment()) == len(second.assignment()) == 2:
                await first.getmany(timeout_ms=50)
            assert not first.assignment() & second.assignment()

    asyncio.run(asyncio.wait_for(main(), 15))
    assert committed(bootstrap, "g") == {0: 2, 1: 2, 2: 2, 3: 2}


@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")  # how it reads its schemas
def test_kafka_python(bootstrap: str) -> None:
    from kafka import KafkaConsumer

    values = produce(bootstrap, 0, 8)
    consumer = KafkaConsumer(
        "t",
        bootstrap_servers=bootstrap,
        group_id="g",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=10_000,
    )
    seen: set[bytes] = set()
    for record in consumer:
        seen.add(record.value)
        if seen == values:
            break
    consumer.commit()
    consumer.close(autocommit=False)
    assert committed(bootstrap, "g") == {0: 2, 1: 2, 2: 2, 3: 2}
