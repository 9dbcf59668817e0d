"""confluent-kafka: librdkafka under Python."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from support.clients import member
from support.clients.port import LARGEST, Record


class Confluent:
    name = "confluent"
    null_headers = True

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "compression.type": codec,
                "message.max.bytes": LARGEST,
                "enable.idempotence": True,
                "linger.ms": 20,
            }
        )
        errors: list[KafkaError] = []
        for record in records:
            producer.produce(
                topic,
                key=record.key,
                value=record.value,
                headers=list(record.headers),
                on_delivery=lambda error, _: errors.append(error) if error else None,
            )
        assert producer.flush(30) == 0
        assert not errors

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "unused",
                "enable.auto.commit": False,
                "message.max.bytes": min(fetch_bytes, 1_000_000),  # fetch.max.bytes is never less than this
                "fetch.max.bytes": fetch_bytes,
                "max.partition.fetch.bytes": fetch_bytes,
            }
        )
        consumer.assign([TopicPartition(topic, 0, 0) for topic in wanted])
        got: dict[str, list[Record]] = {topic: [] for topic in wanted}
        missing, deadline = sum(wanted.values()), time.monotonic() + 30
        while missing > 0 and time.monotonic() < deadline:
            for message in consumer.consume(missing, 0.2):
                assert message.error() is None, message.error()
                headers = tuple(message.headers() or ())
                got[message.topic()].append(Record(message.key(), message.value(), headers))
                missing -= 1
        consumer.close()
        return got

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        return member.command(self.name, bootstrap, group, topic, assignors)
