"""kafka-python: threads, pure Python."""

from __future__ import annotations

import time
from collections.abc import Mapping

from kafka import KafkaConsumer, KafkaProducer
from support.clients import member
from support.clients.port import LARGEST, Record


class KafkaPython:
    name = "kafka-python"
    null_headers = False

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap,
            compression_type=None if codec == "none" else codec,
            acks="all",
            linger_ms=20,
            max_request_size=LARGEST,
        )
        try:
            sent = [
                producer.send(topic, value=record.value, key=record.key, headers=list(record.headers))
                for record in records
            ]
            for future in sent:
                future.get(timeout=30)
        finally:
            producer.close()

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        consumer = KafkaConsumer(
            *wanted,
            bootstrap_servers=bootstrap,
            group_id=None,
            auto_offset_reset="earliest",
            fetch_max_bytes=fetch_bytes,
            max_partition_fetch_bytes=fetch_bytes,
        )
        got: dict[str, list[Record]] = {topic: [] for topic in wanted}
        missing, deadline = sum(wanted.values()), time.monotonic() + 30
        try:
            while missing > 0 and time.monotonic() < deadline:
                for partition, messages in consumer.poll(timeout_ms=200).items():
                    got[partition.topic] += [Record(m.key, m.value, tuple(m.headers)) for m in messages]
                    missing -= len(messages)
        finally:
            consumer.close()
        return got

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        return member.command(self.name, bootstrap, group, topic, assignors)
