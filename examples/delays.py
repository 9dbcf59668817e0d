"""How late flights come to each airport, counted exactly once, however often this program is killed.

    python examples/delays.py [BOOTSTRAP]     default $MOLDAU_BOOTSTRAP, else 127.0.0.1:9092; needs confluent-kafka

Reads the topic `flights` (which `examples/flights.py` fills, and this program where there is none) and keeps a table in the topic `delays`: of each airport how many
flights came, and how many minutes late in all. The topic is compacted, so it holds a record for each airport in the end. Each step is a transaction: the lines of the table
that changed, and the offsets of what was read. So a program that is killed (`kill -9`) and started again finds a table that fits its offsets, and goes on
with what is not counted yet. Nothing here is special to Moldau.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from flights import PARTITIONS, TOPIC, produce, rows

TABLE, GROUP = "delays", "airports"
STEP_RECORDS, STEP_SECONDS = 5000, 0.1
"""A transaction has so many records, or what came in that time."""
HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,tailnum,origin,dest,"
    "air_time,distance,hour,minute,time_hour"
)
DELAY, AIRPORT = HEADER.split(",").index("arr_delay"), HEADER.split(",").index("dest")

Totals = dict[str, tuple[int, int]]
"""Airport to (flights that arrived, minutes late in all)."""


def add(totals: Totals, lines: Iterable[str]) -> set[str]:
    """Count these flights; returns whose totals changed. Those that were cancelled never arrived."""
    changed = set()
    for row in csv.reader(lines):
        if row[DELAY] not in ("", "NA"):
            arrived, late = totals.get(row[AIRPORT], (0, 0))
            totals[row[AIRPORT]] = arrived + 1, late + int(float(row[DELAY]))
            changed.add(row[AIRPORT])
    return changed


def reader(bootstrap: str) -> Consumer:
    """Of what was committed; it says where a partition ends, and commits nothing by itself."""
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": GROUP,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )


def good(message: Message) -> bool:
    """Whether it is a record; False: a partition ends here. Raises KafkaException for everything else."""
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF:
        return False
    raise KafkaException(error)


def table(bootstrap: str) -> Totals:
    """What the topic says, as far as it is committed."""
    consumer = reader(bootstrap)
    consumer.assign([TopicPartition(TABLE, 0, OFFSET_BEGINNING)])
    totals: Totals = {}
    try:
        while True:
            for message in consumer.consume(STEP_RECORDS, STEP_SECONDS):
                if not good(message):
                    return totals
                key, value = message.key(), message.value()
                assert key is not None
                assert value is not None
                arrived, late = value.decode().split()
                totals[key.decode()] = int(arrived), int(late)
    finally:
        consumer.close()


def work(bootstrap: str, partitions: int) -> Totals:
    """Read from where the last transaction ended to the end of all partitions."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": GROUP})
    producer.init_transactions(30)  # a program before this one is shut out, and what it had begun is undone
    totals = table(bootstrap)
    consumer = reader(bootstrap)
    consumer.assign(consumer.committed([TopicPartition(TOPIC, number) for number in range(partitions)], timeout=30))
    ended: set[int | None] = set()
    while len(ended) < partitions:
        messages = consumer.consume(STEP_RECORDS, STEP_SECONDS)
        records = [message for message in messages if good(message)]
        ended |= {message.partition() for message in messages if message.error() is not None}
        if not records:
            continue
        producer.begin_transaction()
        for airport in add(totals, [(message.value() or b"").decode() for message in records]):
            producer.produce(TABLE, "{} {}".format(*totals[airport]), key=airport)
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction(30)
    consumer.close()
    return totals


def main(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        topics = admin.list_topics(timeout=10).topics
    except KafkaException:
        raise SystemExit(
            f"no broker answers on {bootstrap}: start one with 'make serve', or name another one"
        ) from None
    if TABLE not in topics:
        admin.create_topics([NewTopic(TABLE, 1, config={"cleanup.policy": "compact"})])[TABLE].result()
    if TOPIC not in topics:
        header, *lines = rows(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moldau")
        admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()
        produce(bootstrap, lines, next(csv.reader([header])).index("carrier"))
    totals = work(bootstrap, len(topics[TOPIC].partitions) if TOPIC in topics else PARTITIONS)
    print("airport   arrived  minutes late")
    for airport, (arrived, late) in sorted(totals.items(), key=lambda each: each[1][1] / each[1][0]):
        print(f"{airport:7} {arrived:9,} {late / arrived:13.1f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MOLDAU_BOOTSTRAP") or "127.0.0.1:9092")
