"""Makes a client library use a broker, so that tools/capture.py can record what it says:

    python -m tools.golden.drive_clients librdkafka 127.0.0.1:19105

Each does what people do: create a topic, produce, consume in a group, commit, look around, delete. The parts that need
transactions or the consumer protocol are drivers of their own. The broker should be empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any


def librdkafka(server: str) -> None:
    from confluent_kafka import ConsumerGroupTopicPartitions, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, OffsetSpec, ResourceType

    common = {"bootstrap.servers": server, "client.id": "golden"}
    admin = AdminClient(common)
    _done(admin.create_topics([NewTopic("rd", 2, 1, config={"retention.ms": "100000"})]))
    producer = Producer({**common, "linger.ms": 5, "compression.type": "lz4", "enable.idempotence": True})
    for i in range(10):
        producer.produce("rd", f"value {i}", key=f"key {i}", headers={"h": "1"})
    producer.flush(20)
    consumer = _consume({**common, "group.id": "rd"}, "rd", 10)
    consumer.commit(asynchronous=False)
    consumer.committed([TopicPartition("rd", 0)], timeout=20)
    consumer.offsets_for_times([TopicPartition("rd", 0, 1)], timeout=20)
    _done(admin.describe_consumer_groups(["rd"]))
    consumer.close()
    admin.list_consumer_groups().result(20)
    _done(admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("rd")]))
    _done(admin.list_offsets({TopicPartition("rd", 0): OffsetSpec.latest()}))
    _done(admin.describe_configs([ConfigResource(ResourceType.TOPIC, "rd")]))
    _done(admin.create_partitions([NewPartitions("rd", 3)]))
    admin.describe_cluster().result(20)
    _done(admin.delete_records([TopicPartition("rd", 0, 1)]))
    _done(admin.delete_consumer_groups(["rd"]))
    _done(admin.delete_topics(["rd"]))


def librdkafka_newer(server: str) -> None:
    """Transactions and the consumer protocol (KIP-848)."""
    from confluent_kafka import Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic

    common = {"bootstrap.servers": server, "client.id": "golden"}
    admin = AdminClient(common)
    _done(admin.create_topics([NewTopic("rn", 2, 1)]))
    producer = Producer({**common, "transactional.id": "rn-txn"})
    producer.init_transactions(20)
    producer.begin_transaction()
    for i in range(10):
        producer.produce("rn", f"value {i}")
    producer.commit_transaction(20)
    consumer = _consume({**common, "group.id": "rn", "group.protocol": "consumer"}, "rn", 10)
    producer.begin_transaction()
    producer.produce("rn", "never seen")
    producer.send_offsets_to_transaction([TopicPartition("rn", 0, 1)], consumer.consumer_group_metadata(), 20)
    producer.abort_transaction(20)
    consumer.commit(asynchronous=False)
    _done(admin.describe_consumer_groups(["rn"]))
    consumer.close()
    _done(admin.delete_topics(["rn"]))


def _done(futures: dict[Any, Any]) -> None:
    for future in futures.values():
        future.result(20)


def _consume(config: dict[str, Any], topic: str, count: int) -> Any:
    """A consumer that has read `count` records."""
    from confluent_kafka import Consumer

    consumer = Consumer({**config, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    for _ in range(count):
        message = consumer.poll(20)
        if message is None or message.error():
            raise SystemExit(f"nothing to consume: {message and message.error()}")
    return consumer


def kafka_python(server: str) -> None:
    import kafka
    from kafka.admin import KafkaAdminClient, NewTopic

    common = {"bootstrap_servers": server, "client_id": "golden"}
    admin = KafkaAdminClient(**common)
    admin.create_topics([NewTopic("kp", 2, 1)])
    producer = kafka.KafkaProducer(**common, compression_type="gzip")
    for i in range(10):
        producer.send("kp", f"value {i}".encode(), key=b"k").get(20)
    producer.close()
    consumer = kafka.KafkaConsumer(
        "kp", **common, group_id="kp", auto_offset_reset="earliest", consumer_timeout_ms=10_000
    )
    for _, _message in zip(range(10), consumer, strict=False):
        pass
    consumer.commit()
    consumer.close()
    admin.list_groups()
    admin.describe_groups(["kp"])
    admin.delete_topics(["kp"])
    admin.close()


def aiokafka(server: str) -> None:
    asyncio.run(_aiokafka(server, None))


def aiokafka_newer(server: str) -> None:
    """Transactions."""
    asyncio.run(_aiokafka(server, "ai-txn"))


async def _aiokafka(server: str, transactional_id: str | None) -> None:
    import aiokafka
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    common = {"bootstrap_servers": server, "client_id": "golden"}
    admin = AIOKafkaAdminClient(**common)
    await admin.start()
    await admin.create_topics([NewTopic("ai", 2, 1)])
    producer = aiokafka.AIOKafkaProducer(**common, transactional_id=transactional_id)
    async with producer, producer.transaction() if transactional_id else contextlib.nullcontext():
        for i in range(10):
            await producer.send_and_wait("ai", f"value {i}".encode())
    consumer = aiokafka.AIOKafkaConsumer(
        "ai", **common, group_id="ai", auto_offset_reset="earliest", isolation_level="read_committed"
    )
    async with consumer:
        for _ in range(10):
            await asyncio.wait_for(consumer.getone(), 20)
        await consumer.commit()
    await admin.list_consumer_groups()
    await admin.describe_consumer_groups(["ai"])
    await admin.delete_topics(["ai"])
    await admin.close()


DRIVERS = (librdkafka, librdkafka_newer, kafka_python, aiokafka, aiokafka_newer)

if __name__ == "__main__":
    {driver.__name__: driver for driver in DRIVERS}[sys.argv[1]](sys.argv[2])
