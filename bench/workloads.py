"""What is measured, what is expected of it, and why.

Seats: ``ours`` (always fsync before the answer when acks=all), ``kafka`` (Apache Kafka 4.3.1 as it comes: the page
cache, no fsync) and ``flush`` (the same Kafka process, its topics with ``flush.messages=1``: fsync before the answer,
which is what ``ours`` promises). Only ratios of one run mean anything: absolute figures move by a factor of two with
the machine.

The sketches, for two shared cores where an fdatasync of a small append takes 220-350 us and CRC-32C runs at several
GB/s:

``produce-100b-1mb``  2.5-3.6 M rec/s. A request of 1 MB holds 9,250 records and costs a few fixed pieces whatever it
    holds: read (0.3 ms of copying out of the kernel), one CRC pass (0.1-0.2 ms), one write (0.3 ms), one fdatasync
    shared by the requests in flight (1-2 ms for 5 MB). No work per record, so about 3 ms of wall clock a request: 3 M
    rec/s. Kafka checks and walks every record of a batch, 0.4-0.5 us each.
``produce-100b-16kb``  1.2-1.3 M rec/s. 151 records a request, so 8,000 requests/s at 80 us of CPU each: parse 6 us,
    header and CRC 5 us, its share of one group commit (30 requests in flight) 30 us, socket 20 us.
``single-record``  13-14 k requests/s, 53 us of CPU each: up to 60 requests in flight share one commit (one fsync);
    the rest is reading, parsing and answering. Kafka spends 134-196 us a request on threads handing it over.
``produce-1kb-1mb``  356-376 MB/s. 960 records a request; bound by bytes: copy in, CRC, write, fsync (a 1 MB fdatasync
    is 1.5-2 ms here). Kafka's page cache does not wait for the disk: a ratio below one against it is allowed.
``latency-acks-all``  one request in flight: one fsync (220-350 us), a thread hop or two, socket both ways: 450-770 us
    p50.
``latency-acks-1``  the same without the fsync: 90-150 us p50.
``fetch-warm``  0.8-1.0 GB/s: 6 MB an answer, read from the page cache with large ``pread`` or sent by ``sendfile``;
    the client's own copy is half the time. It begins when the broker has put away what was written before (ours merges small batches into
    segments), which is measured by itself.
``java-produce``, ``java-consume``, ``java-end-to-end``  the client takes most of the two cores, so ratios near one
    are expected; what the broker saves in CPU the client can use.
``partitions-1000``  the 16 KB workload over 1,000 partitions while 500 consumers wait: at most 20 % below the same
    load on 6 partitions: finding a partition is a dictionary look-up; a commit touches the partitions of its requests
    only.
``idle-500``  1,000 long polls a second (500 consumers, 500 ms each). 8 % of a core is 80 us per poll: read, parse an
    empty incremental request, park it, one timer, answer.
``start``  imports 0.1 s, opening SQLite 20 ms, first answer: below 0.3 s; 30-60 MB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

OURS, KAFKA, FLUSH = "ours", "kafka", "flush"


class Target(NamedTuple):
    """A bound on the ratio ours / ``against`` of one metric (``against`` "" means: on our own absolute figure)."""

    metric: str
    against: str
    bound: float
    aim: float
    higher_is_better: bool = True

    def verdict(self, value: float) -> str:
        """'aim', 'met' or 'missed', of the figure to two decimals: as it is shown."""
        value = round(value, 2)
        if self.higher_is_better:
            return "aim" if value >= self.aim else "met" if value >= self.bound else "missed"
        return "aim" if value <= self.aim else "met" if value <= self.bound else "missed"


def at_most(metric: str, against: str, bound: float, aim: float) -> Target:
    return Target(metric, against, bound, aim, higher_is_better=False)


class Workload(NamedTuple):
    """One row of the table. ``kind`` chooses the code in ``measure.py``; ``load`` are rawload's options."""

    name: str
    title: str
    kind: str
    targets: Sequence[Target]
    seats: Sequence[str] = (OURS, KAFKA, FLUSH)
    partitions: int = 6
    load: Sequence[str] = ()
    records: int = 0
    quick_records: int = 0
    size: int = 100
    metrics: Sequence[str] = ("records_s", "cpu_s_per_m")


PRODUCE_METRICS = ("records_s", "mb_s", "p50_ms", "p99_ms", "cpu_s_per_m")
REQUEST_METRICS = ("requests_s", "p50_ms", "p99_ms", "cpu_us_per_request")
LATENCY_METRICS = ("p50_ms", "p99_ms", "cpu_us_per_request")

WORKLOADS: list[Workload] = [
    Workload(
        "produce-100b-1mb",
        "produce 100 B records, 1 MB requests, 6 partitions",
        "produce",
        (
            Target("records_s", KAFKA, 1.1, 1.5),
            Target("records_s", FLUSH, 1.7, 2.5),
            at_most("cpu_s_per_m", KAFKA, 0.7, 0.7),
        ),
        load=("--batch-bytes", "1000000"),
        records=8_000_000,
        quick_records=2_000_000,
        metrics=PRODUCE_METRICS,
    ),
    Workload(
        "produce-100b-16kb",
        "produce 100 B records, 16 KB requests, 6 connections",
        "produce",
        (
            Target("records_s", KAFKA, 1.7, 2.5),
            Target("records_s", FLUSH, 3.0, 5.0),
            at_most("cpu_s_per_m", KAFKA, 0.4, 0.4),
        ),
        load=("--batch-bytes", "16384", "--connections", "6"),
        records=3_000_000,
        quick_records=600_000,
        metrics=PRODUCE_METRICS,
    ),
    Workload(
        "single-record",
        "one record per request, 12 connections, 5 in flight",
        "produce",
        (
            Target("requests_s", KAFKA, 1.1, 2.0),
            Target("requests_s", FLUSH, 2.0, 4.0),
            at_most("cpu_us_per_request", KAFKA, 0.6, 0.6),
        ),
        load=("--batch-bytes", "0", "--connections", "12"),
        records=60_000,
        quick_records=15_000,
        metrics=REQUEST_METRICS,
    ),
    Workload(
        "produce-1kb-1mb",
        "produce 1 KB records, 1 MB requests, 6 partitions",
        "produce",
        (Target("mb_s", KAFKA, 0.8, 1.2), Target("mb_s", FLUSH, 1.6, 2.0), at_most("cpu_s_per_m", KAFKA, 1.1, 1.1)),
        load=("--batch-bytes", "1000000"),
        records=1_000_000,
        quick_records=250_000,
        size=1000,
        metrics=PRODUCE_METRICS,
    ),
    Workload(
        "latency-acks-all",
        "one small record at a time, acks=all",
        "produce",
        (at_most("p50_ms", FLUSH, 1.2, 0.7), at_most("p99_ms", FLUSH, 1.2, 0.7)),
        partitions=1,
        load=("--batch-bytes", "0", "--in-flight", "1"),
        records=5_000,
        quick_records=1_500,
        metrics=LATENCY_METRICS,
    ),
    Workload(
        "latency-acks-1",
        "one small record at a time, acks=1",
        "produce",
        (at_most("p50_ms", KAFKA, 1.0, 0.5), at_most("p99_ms", KAFKA, 1.0, 0.5)),
        seats=(OURS, KAFKA),
        partitions=1,
        load=("--batch-bytes", "0", "--in-flight", "1", "--acks", "1"),
        records=10_000,
        quick_records=3_000,
        metrics=LATENCY_METRICS,
    ),
    Workload(
        "fetch-warm",
        "fetch, warm, 6 partitions, 1 MiB of each per request",
        "fetch",
        (Target("mb_s", KAFKA, 0.9, 1.2), at_most("cpu_s_per_m", KAFKA, 0.8, 0.5)),
        seats=(OURS, KAFKA),
        records=10_000_000,
        quick_records=2_000_000,
        metrics=("records_s", "mb_s", "p50_ms", "p99_ms", "cpu_s_per_m", "put_away_cpu_s_per_m"),
    ),
    Workload(
        "java-produce",
        "Kafka's ProducerPerformance, 100 B, acks=all",
        "java-produce",
        (Target("records_s", KAFKA, 1.0, 1.3),),
        records=3_000_000,
        quick_records=500_000,
        metrics=("records_s", "mb_s", "p50_ms", "p99_ms", "cpu_s_per_m"),
    ),
    Workload(
        "java-consume",
        "Kafka's ConsumerPerformance, 100 B",
        "java-consume",
        (Target("records_s", KAFKA, 1.0, 1.3),),
        seats=(OURS, KAFKA),
        records=3_000_000,
        quick_records=500_000,
        metrics=("records_s", "mb_s", "cpu_s_per_m"),
    ),
    Workload(
        "java-end-to-end",
        "Kafka's EndToEndLatency, 100 B, acks=all",
        "java-end-to-end",
        (at_most("p50_ms", KAFKA, 1.0, 0.77),),
        partitions=1,
        records=5_000,
        quick_records=1_000,
        metrics=("p50_ms", "p99_ms"),
    ),
    Workload(
        "partitions-1000",
        "16 KB requests over 1,000 partitions, 500 consumers waiting",
        "many-partitions",
        (Target("part_of_rate", "", 0.8, 1.0),),
        seats=(OURS, KAFKA),
        partitions=1000,
        load=("--batch-bytes", "16384", "--connections", "6"),
        records=3_000_000,
        quick_records=600_000,
        metrics=("records_s", "part_of_rate", "cpu_s_per_m"),
    ),
    Workload(
        "idle-500",
        "500 idle long-polling consumers, 1,000 partitions",
        "idle",
        (at_most("core_percent", "", 8.0, 4.0),),
        seats=(OURS, KAFKA),
        partitions=1000,
        metrics=("core_percent", "polls_s"),
    ),
    Workload(
        "start",
        "start to first metadata answer; memory",
        "start",
        (
            at_most("start_s", "", 0.35, 0.2),
            at_most("idle_mb", "", 60.0, 40.0),
            at_most("loaded_mb", "", 200.0, 120.0),
        ),
        seats=(OURS, KAFKA),
        metrics=("start_s", "idle_mb", "loaded_mb"),
    ),
]

BY_NAME = {w.name: w for w in WORKLOADS}

# metric -> (how a person reads it, format)
METRICS: dict[str, tuple[str, str]] = {
    "records_s": ("records/s", "{:,.0f}"),
    "requests_s": ("requests/s", "{:,.0f}"),
    "mb_s": ("MB/s", "{:,.1f}"),
    "p50_ms": ("p50 ms", "{:.2f}"),
    "p99_ms": ("p99 ms", "{:.2f}"),
    "cpu_s_per_m": ("broker CPU s per million records", "{:.3f}"),
    "put_away_cpu_s_per_m": ("broker CPU s per million records, before: until what was written is put away", "{:.3f}"),
    "cpu_us_per_request": ("broker CPU us per request", "{:.0f}"),
    "core_percent": ("broker CPU, % of a core", "{:.1f}"),
    "polls_s": ("polls/s", "{:,.0f}"),
    "part_of_rate": ("part of the rate with 6 partitions", "{:.2f}"),
    "start_s": ("s to the first metadata answer", "{:.2f}"),
    "idle_mb": ("MB after start", "{:.0f}"),
    "loaded_mb": ("MB under load (peak)", "{:.0f}"),
}
