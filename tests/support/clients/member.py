"""`python member.py CLIENT BOOTSTRAP GROUP TOPIC ASSIGNORS`: a member of a group in a process of its own, so that it can be killed.

Prints `PARTITION OFFSET VALUE` for each record before its offset is committed, `+ PARTITIONS` and `- PARTITIONS` as they are assigned and revoked.
SIGTERM makes it commit and leave. Sessions last six seconds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SESSION_MS = 6000
HEARTBEAT_MS = 500


def command(client: str, bootstrap: str, group: str, topic: str, assignors: list[str]) -> list[str]:
    """How to start it."""
    return [sys.executable, str(Path(__file__)), client, bootstrap, group, topic, ",".join(assignors)]


def say(sign: str, partitions: Iterable[int]) -> None:
    print(sign, ",".join(map(str, sorted(partitions))), flush=True)


def show(partition: int, offset: int, value: bytes) -> None:
    print(partition, offset, value.decode(), flush=True)


def confluent(bootstrap: str, group: str, topic: str, assignors: str, stopped: Callable[[], bool]) -> None:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": assignors,
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": HEARTBEAT_MS,
            "auto.commit.interval.ms": 500,
        }
    )
    consumer.subscribe(
        [topic],
        on_assign=lambda _, partitions: say("+", (p.partition for p in partitions)),
        on_revoke=lambda _, partitions: say("-", (p.partition for p in partitions)),
        on_lost=lambda _, partitions: say("-", (p.partition for p in partitions)),
    )
    while not stopped():
        message = consumer.poll(0.1)
        if message is not None:
            assert message.error() is None, message.error()
            show(message.partition(), message.offset(), message.value())
    consumer.close()


def aiokafka(bootstrap: str, group: str, topic: str, assignors: str, stopped: Callable[[], bool]) -> None:
    from aiokafka import AIOKafkaConsumer
    from aiokafka.abc import ConsumerRebalanceListener
    from aiokafka.coordinator.assignors.range import RangePartitionAssignor
    from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    known = {"range": RangePartitionAssignor, "roundrobin": RoundRobinPartitionAssignor}

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            say("-", (p.partition for p in revoked))

        def on_partitions_assigned(self, assigned: Any) -> None:
            say("+", (p.partition for p in assigned))

    async def main() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            auto_offset_reset="earliest",
            partition_assignment_strategy=[known[name] for name in assignors.split(",")],
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            auto_commit_interval_ms=500,
        )
        consumer.subscribe([topic], listener=Listener())
        async with consumer:
            while not stopped():
                for messages in (await consumer.getmany(timeout_ms=100)).values():
                    for message in messages:
                        show(message.partition, message.offset, message.value)

    asyncio.run(main())


def kafka_python(bootstrap: str, group: str, topic: str, assignors: str, stopped: Callable[[], bool]) -> None:
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

    known = {
        "range": RangePartitionAssignor,
        "roundrobin": RoundRobinPartitionAssignor,
        "cooperative-sticky": CooperativeStickyAssignor,
    }

    class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            say("-", (p.partition for p in revoked))

        def on_partitions_assigned(self, assigned: Any) -> None:
            say("+", (p.partition for p in assigned))

    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        partition_assignment_strategy=[known[name] for name in assignors.split(",")],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        auto_commit_interval_ms=500,
    )
    consumer.subscribe([topic], listener=Listener())
    while not stopped():
        for messages in consumer.poll(timeout_ms=100).values():
            for message in messages:
                show(message.partition, message.offset, message.value)
    consumer.close()


def main() -> None:
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    client, *rest = sys.argv[1:]
    run = {"confluent": confluent, "aiokafka": aiokafka, "kafka-python": kafka_python}[client]
    run(*rest, lambda: bool(stop))  # type: ignore[call-arg]


if __name__ == "__main__":
    main()
