"""Transactions end to end, with real clients: on one machine, with two workers there, and on two brokers that share their stores.

confluent-kafka (librdkafka) uses transactions of version 1 or 2 as it likes, aiokafka version 1. What a reader of committed records sees is compared
with what was committed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
)
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewTopic
from support.postgres import Servers
from support.wire import Wire

from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from moldau.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from moldau.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

QUICK = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": "100", "group.initial.rebalance.delay.ms": "0"}


@pytest.fixture(params=["alone", "workers", "shared"])
def bootstrap(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where clients begin."""
    if request.param == "alone":
        with BrokerThread(settings=QUICK) as broker:
            yield broker.bootstrap
        return
    if request.param == "workers":
        process = BrokerProcess(
            tmp_path / "data", *[f"{key}={value}" for key, value in QUICK.items()], workers=2
        ).start()
        try:
            admin = AdminClient({"bootstrap.servers": process.bootstrap})
            wait_until(lambda: len(admin.list_topics(timeout=5).brokers) == 2)
            yield process.bootstrap
        finally:
            process.stop()
        return
    servers: Servers = request.getfixturevalue("postgres_servers")
    server = servers[16]
    (tmp_path / "blobs").mkdir()
    shared = {
        **QUICK,
        "moldau.metadata.url": server.url(server.database()),
        "moldau.blobs.url": f"file://{tmp_path / 'blobs'}",
    }
    with (
        BrokerThread(settings={**shared, "node.id": "1"}) as one,
        BrokerThread(settings={**shared, "node.id": "2"}) as two,
    ):
        wait_until(lambda: len(AdminClient({"bootstrap.servers": one.bootstrap}).list_topics(timeout=5).brokers) == 2)
        yield f"{one.bootstrap},{two.bootstrap}"


def wait_until(done: Callable[[], Any], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.05)


def topics(bootstrap: str, *names: str, partitions: int = 3) -> AdminClient:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(name, partitions) for name in names]).values():
        future.result(10)
    return admin


def transactional(bootstrap: str, transactional_id: str = "t", **configs: Any) -> Producer:
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": transactional_id, "linger.ms": 0, **configs}
    )
    producer.init_transactions(20)
    return producer


def read(bootstrap: str, topic: str, *, committed: bool = True, partitions: int = 3) -> list[bytes]:
    """Everything up to the end that this reader has."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": "read_committed" if committed else "read_uncommitted",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([Place(topic, each, OFFSET_BEGINNING) for each in range(partitions)])
    values, ends = [], 0
    while ends < partitions:
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF
            ends += 1
        else:
            values.append(message.value())
    consumer.close()
    return sorted(values)


def write(producer: Producer, topic: str, values: list[bytes], partitions: int = 3) -> None:
    for at, value in enumerate(values):
        producer.produce(topic, value, partition=at % partitions)
    assert producer.flush(20) == 0


def numbers(start: int, count: int) -> list[bytes]:
    return [b"%06d" % each for each in range(start, start + count)]


def test_commits_and_aborts(bootstrap: str) -> None:
    topics(bootstrap, "t")
    producer = transactional(bootstrap)
    expected, everything = [], []
    for round_ in range(8):
        values = numbers(round_ * 100, 30)
        producer.begin_transaction()
        write(producer, "t", values)
        everything += values
        assert read(bootstrap, "t") == sorted(expected)
        if round_ % 3 == 1:
            producer.abort_transaction(20)
        else:
            producer.commit_transaction(20)
            expected += values
    assert read(bootstrap, "t") == sorted(expected)
    assert read(bootstrap, "t", committed=False) == sorted(everything)


def test_read_process_write(bootstrap: str) -> None:
    admin = topics(bootstrap, "in", "out")
    source = Producer({"bootstrap.servers": bootstrap})
    write(source, "in", numbers(0, 200))
    producer = transactional(bootstrap)
    seen = 0
    rounds = 0
    while seen < 200:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "g",
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe(["in"])
        while seen < 200:
            messages = [each for each in consumer.consume(25, 10) if not each.error()]
            if not messages:
                continue
            producer.begin_transaction()
            for message in messages:
                producer.produce("out", b"<%s>" % message.value(), partition=message.partition())
            producer.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 20
            )
            rounds += 1
            if rounds % 3 == 2:
                producer.abort_transaction(20)
                break  # from what was committed last, as after a restart
            producer.commit_transaction(20)
            seen += len(messages)
        consumer.close()
    assert read(bootstrap, "out") == [b"<%s>" % value for value in numbers(0, 200)]
    (future,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("g")]).values()
    assert sum(place.offset for place in future.result(10).topic_partitions) == 200


@pytest.mark.parametrize("size", [0, 200_000], ids=["small", "large"])
def test_batches_of_a_transaction_keep_their_order(bootstrap: str, size: int) -> None:
    """Many are under way when it begins, and what the leader remembers of the one before is over: another broker has ended it."""
    topics(bootstrap, "t")
    wanted: list[bytes] = []
    for transactional_id in ("a", "b"):
        producer = transactional(bootstrap, transactional_id, **{"batch.num.messages": 1})
        for _ in range(4):
            values = numbers(len(wanted), 12)
            wanted += values
            producer.begin_transaction()
            for at, value in enumerate(values):
                producer.produce("t", value + b"." * size, partition=at % 3)
            producer.commit_transaction(20)
    assert [value[:6] for value in read(bootstrap, "t")] == wanted


def test_a_zombie_is_fenced(bootstrap: str) -> None:
    topics(bootstrap, "t")
    zombie = transactional(bootstrap)
    zombie.begin_transaction()
    write(zombie, "t", numbers(0, 9))
    other = transactional(bootstrap)
    with pytest.raises(KafkaException) as raised:
        zombie.commit_transaction(20)
    assert raised.value.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED)
    other.begin_transaction()
    write(other, "t", numbers(100, 9))
    other.commit_transaction(20)
    assert read(bootstrap, "t") == numbers(100, 9)


def test_time_out(bootstrap: str) -> None:
    topics(bootstrap, "t")
    slow = transactional(bootstrap, **{"transaction.timeout.ms": 1000})
    slow.begin_transaction()
    write(slow, "t", numbers(0, 9))
    other = transactional(bootstrap, "other")
    other.begin_transaction()
    write(other, "t", numbers(100, 9))
    other.commit_transaction(20)
    wait_until(lambda: read(bootstrap, "t") == numbers(100, 9))
    with pytest.raises(KafkaException):
        slow.commit_transaction(20)
    assert read(bootstrap, "t") == numbers(100, 9)
    with pytest.raises(KafkaException) as raised:
        transactional(bootstrap, "greedy", **{"transaction.timeout.ms": 900_001})
    assert raised.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_aiokafka(bootstrap: str) -> None:
    topics(bootstrap, "in", "out")
    write(Producer({"bootstrap.servers": bootstrap}), "in", numbers(0, 60))

    async def work() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id="aio", transaction_timeout_ms=20_000)
        consumer = AIOKafkaConsumer(
            "in",
            bootstrap_servers=bootstrap,
            group_id="aio",
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await producer.start()
        await consumer.start()
        done = rounds = 0
        while done < 60:
            found = await consumer.getmany(timeout_ms=5_000, max_records=7)
            rounds += 1
            await producer.begin_transaction()
            for place, records in found.items():
                for record in records:
                    await producer.send("out", b"<%s>" % record.value, partition=place.partition)
            offsets = {place: records[-1].offset + 1 for place, records in found.items()}
            if rounds % 4 == 2:
                await producer.abort_transaction()
                for place, records in found.items():
                    consumer.seek(TopicPartition(place.topic, place.partition), records[0].offset)
                continue
            await producer.send_offsets_to_transaction(offsets, "aio")
            await producer.commit_transaction()
            done += sum(map(len, found.values()))
        await consumer.stop()
        await producer.stop()

    asyncio.run(work())
    assert read(bootstrap, "out") == [b"<%s>" % value for value in numbers(0, 60)]


def finalized(bootstrap: str) -> int:
    """The level of `transaction.version` that the broker tells."""
    with Wire(bootstrap) as wire:
        answer = wire.ask(ApiVersionsRequest(client_software_name="x", client_software_version="1"), 4)
    return {each.name: each.max_version_level for each in answer.finalized_features}.get("transaction.version", 0)


def set_level(bootstrap: str, level: int, kind: int) -> None:
    with Wire(bootstrap) as wire:
        update = FeatureUpdateKey(feature="transaction.version", max_version_level=level, upgrade_type=kind)
        assert wire.ask(UpdateFeaturesRequest(timeout_ms=5000, feature_updates=[update]), 2).error_code == 0


def test_the_kind_changes_while_clients_run(bootstrap: str) -> None:
    """Up and down; who runs goes on, and new ones use what is told. Every broker hears of it."""
    topics(bootstrap, "t")
    brokers = bootstrap.split(",")
    assert {finalized(each) for each in brokers} == {2}
    expected: list[bytes] = []
    old = transactional(bootstrap, "old")
    for at, level in enumerate((1, 0, 2, 0, 1, 2)):
        set_level(brokers[at % len(brokers)], level, 1 if level > finalized(brokers[at % len(brokers)]) else 2)
        wait_until(lambda level=level: {finalized(each) for each in brokers} == {level})  # type: ignore[misc]
        for producer, start in ((old, at * 100), (transactional(bootstrap, f"new-{at}"), 5000 + at * 100)):
            producer.begin_transaction()
            write(producer, "t", numbers(start, 6))
            producer.commit_transaction(20)
            expected += numbers(start, 6)
    assert read(bootstrap, "t") == sorted(expected)


def test_an_administrator_aborts(bootstrap: str) -> None:
    topics(bootstrap, "t", partitions=1)
    producer = transactional(bootstrap)
    producer.begin_transaction()
    write(producer, "t", numbers(0, 3), partitions=1)
    for each in bootstrap.split(","):
        with Wire(each) as wire:
            answer = wire.ask(DescribeProducersRequest(topics=[TopicRequest(name="t", partition_indexes=[0])]), 0)
            (state,) = answer.topics[0].partitions[0].active_producers
            assert state.current_txn_start_offset == 0
    topic = WritableTxnMarkerTopic(name="t", partition_indexes=[0])
    marker = WritableTxnMarker(
        producer_id=state.producer_id, producer_epoch=state.producer_epoch, transaction_result=False, topics=[topic]
    )
    with Wire(bootstrap.split(",")[0]) as wire:
        codes = []
        for commit, epoch in ((True, 0), (False, 7), (False, 0), (False, 0)):
            marker.transaction_result = commit
            marker.producer_epoch = state.producer_epoch + epoch
            answer = wire.ask(WriteTxnMarkersRequest(markers=[marker]), 1)
            codes.append(answer.markers[0].topics[0].partitions[0].error_code)
    assert codes == [
        KafkaError.INVALID_REQUEST,
        KafkaError.INVALID_PRODUCER_EPOCH,
        0,
        KafkaError.INVALID_PRODUCER_EPOCH,
    ]
    with pytest.raises(KafkaException):
        producer.commit_transaction(20)
    assert read(bootstrap, "t", partitions=1) == []


def test_the_broker_is_killed_between(tmp_path: Path) -> None:
    """What was open goes on, what was committed stays, what is not committed is never seen."""
    broker = BrokerProcess(tmp_path / "data").start()
    try:
        topics(broker.bootstrap, "t")
        producer = transactional(broker.bootstrap)
        expected: list[bytes] = []
        for round_ in range(6):
            values = numbers(round_ * 100, 12)
            producer.begin_transaction()
            write(producer, "t", values[:6])
            if round_ % 2:
                broker.kill()
                broker.start()
            assert read(broker.bootstrap, "t") == expected
            write(producer, "t", values[6:])
            if round_ % 3 == 2:
                producer.abort_transaction(30)
            else:
                producer.commit_transaction(30)
                expected += values
        assert read(broker.bootstrap, "t") == expected
    finally:
        broker.stop()
