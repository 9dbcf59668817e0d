"""``moldau bench``: how fast a broker takes and gives records, through the ordinary Kafka client.

Three measurements, each with the client's own cost in it (librdkafka driven from Python):

- *produce*: as many records as the client can send, batched; latency is from the call to the acknowledgement, queueing
  included, of every hundredth record.
- *consume*: the same records read back.
- *one by one*: a record is sent when the one before is acknowledged: the latency of a single write.
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from moldau.cli.completion import complete_topics
from moldau.cli.errors import CliError, note
from moldau.cli.options import cluster_options, format_option

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from moldau.cli.client import Cluster

_SAMPLE_EVERY = 100
_DISTINCT_VALUES = 64


@click.command(short_help="Measure how fast a broker takes and gives records.")
@click.argument(
    "what",
    metavar="[all|produce|consume|latency]",
    type=click.Choice(["all", "produce", "consume", "latency"]),
    default="all",
)
@click.option(
    "-t",
    "--topic",
    shell_complete=complete_topics,
    help="Use this topic.  [default: one of its own, deleted at the end]",
)
@click.option(
    "-p", "--partitions", type=click.IntRange(1), default=6, show_default=True, help="Partitions of its own topic."
)
@click.option(
    "-n", "--records", type=click.IntRange(1), default=500_000, show_default=True, help="Records to write and read."
)
@click.option("-s", "--size", type=click.IntRange(0), default=100, show_default=True, help="Bytes of a value.")
@click.option("--pings", type=click.IntRange(1), default=500, show_default=True, help="Records to send one by one.")
@click.option(
    "-z",
    "--compression",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    show_default=True,
    help="Compress batches.",
)
@click.option(
    "--acks",
    type=click.Choice(["all", "1", "0"]),
    default="all",
    show_default=True,
    help="Which acknowledgement to wait for.",
)
@format_option
@cluster_options
def bench(
    cluster: "Cluster",
    what: str,
    topic: str | None,
    partitions: int,
    records: int,
    size: int,
    pings: int,
    compression: str,
    acks: str,
    output: str,
) -> None:
    """Measure how fast a broker takes and gives records: all, or produce, consume or latency alone."""
    from moldau.cli.output import Column, print_rows

    if what == "consume" and topic is None:
        raise click.UsageError("'bench consume' reads a topic that has records: give --topic.")
    name = topic or f"moldau-bench-{os.urandom(4).hex()}"
    if topic is None:
        _create(cluster, name, partitions)
    else:
        cluster.partitions([name])
    producer_properties = {"acks": acks, "compression.type": compression}
    rows: list[dict[str, Any]] = []
    try:
        if what in ("all", "produce"):
            with _Bar("produce", records) as advance:
                rows.append(_produce(cluster, name, records, size, producer_properties, advance))
        if what in ("all", "consume"):
            with _Bar("consume", records) as advance:
                rows.append(_consume(cluster, name, records, advance))
        if what in ("all", "latency"):
            with _Bar("one by one", pings) as advance:
                rows.append(_ping(cluster, name, pings, size, producer_properties, advance))
    finally:
        if topic is None:
            _delete(cluster, name)
    print_rows(
        rows,
        [
            Column("what", ""),
            Column("records", right=True, text=lambda value: f"{value:,}"),
            Column("seconds", right=True, text=_decimal(2)),
            Column("records_per_s", "RECORDS/S", right=True, text=_decimal(0)),
            Column("mb_per_s", "MB/S", right=True, text=_decimal(1)),
            Column("p50_ms", "P50 MS", right=True, text=_decimal(2)),
            Column("p95_ms", "P95 MS", right=True, text=_decimal(2)),
            Column("p99_ms", "P99 MS", right=True, text=_decimal(2)),
            Column("max_ms", "MAX MS", right=True, text=_decimal(2)),
        ],
        output,
    )


def _create(cluster: "Cluster", name: str, partitions: int) -> None:
    from moldau.cli.client import error_text
    from moldau.cli.topic import create_topics

    failure = create_topics(cluster, [name], partitions=partitions).get(name)
    if failure is not None:
        raise CliError(f"cannot create topic {name}: {error_text(failure)}")


def _delete(cluster: "Cluster", name: str) -> None:
    futures = cluster.admin.delete_topics([name], request_timeout=cluster.timeout_s)
    for failure in cluster.wait_all(futures, "delete the topic").values():
        if isinstance(failure, Exception):
            note(f"could not delete topic {name}: moldau topic delete {name}")


# -- measurements ------------------------------------------------------------------------------------------------------


class _Acks:
    """Counts acknowledgements and keeps latencies."""

    def __init__(self) -> None:
        self.failed = 0
        self.error: KafkaError | None = None
        self.latencies_s: list[float] = []

    def count(self, error: "KafkaError | None", message: "Message") -> None:
        if error is not None:
            self.failed += 1
            self.error = self.error or error
        else:
            self.latencies_s.append(message.latency() or 0.0)

    def check(self) -> None:
        """CliError where a record was not written: a rate of refusals is no rate."""
        if self.error is not None:
            raise CliError(f"a record was not written: {self.error.str()}")


def _values(size: int) -> list[bytes]:
    """Values that compress about as text does: half random, half repeated."""
    half = size // 2
    return [(os.urandom((half + 1) // 2).hex().encode()[:half] + b"m" * size)[:size] for _ in range(_DISTINCT_VALUES)]


def _produce(
    cluster: "Cluster", topic: str, records: int, size: int, properties: dict[str, str], advance: Callable[[int], None]
) -> dict[str, Any]:
    acks = _Acks()
    producer = cluster.producer(
        {
            "linger.ms": "5",
            "batch.size": "1000000",
            "queue.buffering.max.messages": "1000000",
            "message.timeout.ms": str(max(1, round(cluster.timeout_s * 1000))),
            **properties,
        }
    )
    values = _values(size)
    started = time.perf_counter()
    for number in range(records):
        callback = acks.count if number % _SAMPLE_EVERY == 0 else None
        while True:
            try:
                producer.produce(topic, values[number % _DISTINCT_VALUES], on_delivery=callback)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 5000 == 4999:
            producer.poll(0)
            acks.check()
            cluster.poll_errors()
            advance(5000)
    deadline = time.perf_counter() + cluster.timeout_s + 1
    while len(producer) and time.perf_counter() < deadline:
        producer.flush(0.1)
    elapsed = time.perf_counter() - started
    acks.check()
    if len(producer):
        raise cluster.unreachable("write")
    return _row("produce", records, records * size, elapsed, acks.latencies_s)


def _consume(cluster: "Cluster", topic: str, records: int, advance: Callable[[int], None]) -> dict[str, Any]:
    known = [(topic, each) for each in cluster.partitions([topic])[topic]]
    from confluent_kafka import TopicPartition

    beginnings = cluster.beginnings(known)
    ends = cluster.ends(known)
    there = sum(ends[where] - beginnings[where] for where in known)
    if not there:
        raise CliError(f"topic {topic!r} has no records to read")
    wanted = min(records, there)
    consumer = cluster.consumer(
        {
            "group.id": "moldau-bench",
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
            "fetch.max.bytes": "52428800",
            "queued.min.messages": "1000000",
        }
    )
    got = got_bytes = 0
    started = time.perf_counter()
    last = started
    try:
        consumer.assign([TopicPartition(*where, beginnings[where]) for where in known])
        while got < wanted:
            batch = [each for each in consumer.consume(min(10_000, wanted - got), 0.1) if each.error() is None]
            if batch:
                got += len(batch)
                got_bytes += sum(len(each.value() or b"") for each in batch)
                advance(len(batch))
                last = time.perf_counter()
            elif time.perf_counter() - last > cluster.timeout_s:
                # Offsets are no count of records where there are transaction markers or compaction.
                break
    finally:
        elapsed = last - started
        consumer.close()
    if not got:
        raise cluster.unreachable("read")
    return _row("consume", got, got_bytes, elapsed, [])


def _ping(
    cluster: "Cluster", topic: str, pings: int, size: int, properties: dict[str, str], advance: Callable[[int], None]
) -> dict[str, Any]:
    acks = _Acks()
    producer = cluster.producer(
        {"linger.ms": "0", "message.timeout.ms": str(max(1, round(cluster.timeout_s * 1000))), **properties}
    )
    values = _values(size)
    taken: list[float] = []
    started = time.perf_counter()
    for number in range(pings):
        sent = time.perf_counter()
        producer.produce(topic, values[number % _DISTINCT_VALUES], partition=0, on_delivery=acks.count)
        while producer.flush(0.1):
            cluster.poll_errors()
        acks.check()
        taken.append(time.perf_counter() - sent)
        advance(1)
    return _row("one by one", pings, pings * size, time.perf_counter() - started, taken)


def _row(what: str, records: int, size: int, elapsed_s: float, latencies_s: list[float]) -> dict[str, Any]:
    ordered = sorted(latencies_s)

    def at(share: float) -> float | None:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000, 3) if ordered else None

    elapsed_s = max(elapsed_s, 1e-9)
    return {
        "what": what,
        "records": records,
        "seconds": round(elapsed_s, 3),
        "records_per_s": round(records / elapsed_s, 1),
        "mb_per_s": round(size / elapsed_s / 1e6, 3),
        "p50_ms": at(0.5),
        "p95_ms": at(0.95),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
    }


def _decimal(places: int) -> Callable[[Any], str]:
    return lambda value: "-" if value is None else f"{value:,.{places}f}"


class _Bar:
    """A progress bar on stderr where that is a terminal."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = total
        self.bar: Any = None

    def __enter__(self) -> Callable[[int], None]:
        import sys

        if not sys.stderr.isatty():
            return lambda done: None
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.bar.start()
        task = self.bar.add_task(self.what, total=self.total)
        return lambda done: self.bar.update(task, advance=done)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
