"""aiokafka: asyncio, pure Python."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from support.clients import member
from support.clients.port import LARGEST, Record


class AioKafka:
    name = "aiokafka"
    null_headers = True

    def produce(self, bootstrap: str, topic: str, records: list[Record], codec: str) -> None:
        async def main() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=bootstrap,
                compression_type=None if codec == "none" else codec,
                acks="all",
                enable_idempotence=True,
                linger_ms=20,
                max_request_size=LARGEST,
            )
            async with producer:
                sent = [
                    await producer.send(topic, record.value, record.key, headers=list(record.headers))
                    for record in records
                ]
                await asyncio.gather(*sent)

        asyncio.run(main())

    def consume(
        self, bootstrap: str, wanted: Mapping[str, int], fetch_bytes: int = 1_048_576
    ) -> dict[str, list[Record]]:
        got: dict[str, list[Record]] = {topic: [] for topic in wanted}

        async def main() -> None:
            consumer = AIOKafkaConsumer(
                *wanted,
                bootstrap_servers=bootstrap,
                group_id=None,
                auto_offset_reset="earliest",
                fetch_max_bytes=fetch_bytes,
                max_partition_fetch_bytes=fetch_bytes,
            )
            missing, deadline = sum(wanted.values()), time.monotonic() + 30
            async with consumer:
                while missing > 0 and time.monotonic() < deadline:
                    for partition, messages in (await consumer.getmany(timeout_ms=200)).items():
                        got[partition.topic] += [Record(m.key, m.value, tuple(m.headers)) for m in messages]
                        missing -= len(messages)

        asyncio.run(main())
        return got

    def member(self, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
        return member.command(self.name, bootstrap, group, topic, assignors)
