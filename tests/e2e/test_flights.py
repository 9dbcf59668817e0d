"""The main job on real input: a third of a million rows, keyed, through a broker that is killed in the middle.

confluent-kafka produces (idempotent), a group of three aiokafka consumers reads; every acknowledged row arrives exactly once in the log and in order
for each key.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import KafkaError, Message, Producer
from support.flights import ROWS, flights
from test_round_trip import create

from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 6


def send(broker: BrokerProcess, rows: list[tuple[str, str]]) -> int:
    """Produce all rows, kill -9 the broker twice on the way; returns how many were acknowledged."""
    acknowledged = 0
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        nonlocal acknowledged
        if error is None:
            acknowledged += 1
        else:
            errors.append(error)

    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
    )
    kills = [len(rows) // 3, len(rows) * 2 // 3]
    for index, (carrier, line) in enumerate(rows):
        if kills and index >= kills[0]:
            kills.pop(0)
            broker.kill()
            broker.start()
        while True:
            try:
                producer.produce("flights", key=carrier, value=line, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.05)
        if index % 500 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0
    assert not errors
    return acknowledged


async def receive(bootstrap: str, count: int) -> dict[str, list[str]]:
    """A group of three reads everything; rows by carrier in the order of their partition."""
    by_carrier: dict[str, list[str]] = defaultdict(list)
    seen = 0
    deadline = time.monotonic() + 120
    offsets: dict[int, int] = {}

    async def member() -> None:
        nonlocal seen
        consumer = AIOKafkaConsumer(
            "flights", bootstrap_servers=bootstrap, group_id="readers", auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            while seen < count and time.monotonic() < deadline:
                for partition, messages in (await consumer.getmany(timeout_ms=200, max_records=5000)).items():
                    for message in messages:
                        # a rebalance may bring records again that were not committed yet: take each offset once
                        if message.offset == offsets.get(partition.partition, 0):
                            offsets[partition.partition] = message.offset + 1
                            by_carrier[message.key.decode()].append(message.value.decode())
                            seen += 1
        finally:
            await consumer.stop()

    await asyncio.gather(*(member() for _ in range(3)))
    return by_carrier


def test_every_acknowledged_flight_arrives_once_and_in_order(moldau_broker_process: BrokerProcess) -> None:
    rows = flights()
    assert len(rows) == ROWS
    create(moldau_broker_process.bootstrap, "flights", PARTITIONS)
    assert send(moldau_broker_process, rows) == ROWS
    got = asyncio.run(receive(moldau_broker_process.bootstrap, ROWS))
    expected: dict[str, list[str]] = defaultdict(list)
    for carrier, line in rows:
        expected[carrier].append(line)
    assert {carrier: len(lines) for carrier, lines in got.items()} == {
        carrier: len(lines) for carrier, lines in expected.items()
    }
    assert got == expected
