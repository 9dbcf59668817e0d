"""The main job on real input: a third of a million rows, keyed, through a broker that is killed in the middle; and through three, of which one and two are.

confluent-kafka produces (idempotent), a group of three aiokafka consumers reads; every acknowledged row arrives exactly once in the log and in order
for each key.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import KafkaError, Message, Producer
from support.direct import Direct
from support.flights import ROWS, flights
from test_round_trip import create

from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTITIONS = 6


def send(bootstrap: str, rows: list[tuple[str, str]], kills: list[Callable[[], None]]) -> int:
    """Produce all rows, with those kills spread over the way; returns how many were acknowledged."""
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
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 200_000,
            "log_level": 0,
        }
    )
    at = {len(rows) * (n + 1) // (len(kills) + 1): kill for n, kill in enumerate(kills)}
    for index, (carrier, line) in enumerate(rows):
        if index in at:
            at[index]()
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


def expected(rows: list[tuple[str, str]]) -> dict[str, list[str]]:
    by_carrier: dict[str, list[str]] = defaultdict(list)
    for carrier, line in rows:
        by_carrier[carrier].append(line)
    return by_carrier


def same(got: dict[str, list[str]], rows: list[tuple[str, str]]) -> None:
    wanted = expected(rows)
    counts = {carrier: len(lines) for carrier, lines in wanted.items()}
    assert {carrier: len(lines) for carrier, lines in got.items()} == counts
    assert got == wanted


def test_every_acknowledged_flight_arrives_once_and_in_order(moldau_broker_process: BrokerProcess) -> None:
    broker = moldau_broker_process

    def kill() -> None:
        broker.kill()
        broker.start()

    rows = flights()
    assert len(rows) == ROWS
    create(broker.bootstrap, "flights", PARTITIONS)
    assert send(broker.bootstrap, rows, [kill, kill]) == ROWS
    same(asyncio.run(receive(broker.bootstrap, ROWS)), rows)


def test_flights_through_three_brokers_of_which_one_and_two_are_killed() -> None:
    rows = flights()
    with Direct(3) as cluster:

        def kill(*victims: int) -> None:
            for node_id in victims:
                cluster.kill(node_id)
            time.sleep(0.5)  # the rest serves alone
            for node_id in victims:
                cluster.start(node_id)

        create(cluster.bootstrap, "flights", PARTITIONS)
        kills = [lambda: kill(1), lambda: kill(2, 3), lambda: kill(3, 1), lambda: kill(1, 2, 3)]
        assert send(cluster.bootstrap, rows, kills) == ROWS
        with ThreadPoolExecutor(1) as pool:  # a broker dies under the consumers too
            got = pool.submit(asyncio.run, receive(cluster.bootstrap, ROWS))
            time.sleep(1)
            kill(2)
            same(got.result(), rows)
