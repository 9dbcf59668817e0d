"""What is measured of three brokers together, what is expected of it, and why.

Seats: ``ours`` (three brokers, PostgreSQL 16 that syncs, an S3 server), ``files`` (the same with a shared directory), ``kafka`` (three brokers of
Apache Kafka 4.3.1 and a controller; three replicas, ``min.insync.replicas=2``, the page cache as it comes). All on the same two cores, so that
CPU is what counts: each record of Kafka's is received, checked, written and kept three times, of ours once, and put once.

The sketches:

``produce-100b``, ``produce-1kb``  A mebibyte costs a broker of ours 1.5 ms: read, CRC, hand over; the put 0.3 ms more for the
    copy into the socket (what goes to this host is not hashed for the signature); the S3 server 3 ms (it hashes it and writes it). Kafka spends 3 times 3 ms, and the copying between brokers. So 1.5 times
    the rate, at 0.6 times the CPU; three times where the blob store is a directory.
``java-produce``, ``java-produce-1kb``  Kafka's producer with its defaults (16 KB batches) takes most of two cores itself: ratios nearer to one.
``java-produce-1mb``  The same with batches of 1 MB, and records that come from a file: to make a kilobyte of random letters takes the program 5 us.
``java-produce-random``  So with these it ends at 175,000 records/s, whoever listens (measured with ``acks=0`` and one broker): servers that share its two
    cores can hardly differ by half.
``express``  one commit of PostgreSQL (0.3 to 0.5 ms of statement, one fsync of 0.3 ms), and two sockets: 1 ms.
``standard``  the linger of 250 ms, a put whose request is 30 ms late, a commit: 290 ms.
``failover``  A killed broker's sockets close; its peers see that, connect and are refused: it is named no more after milliseconds. librdkafka tries again
    after 100 ms, Java's client too: 0.2 to 0.5 s. Kafka's controller waits nine seconds for a heartbeat.
``join``, ``restart``  Partitions move to the newcomer, and leave a broker that stops, while both serve: an answer that names the new leader, a connection
    and a request: 0.2 s.
``partitions``  A partition of 50,000 is a row of the catalog (1 s to read them) until somebody uses it.
``rows``  A segment of 8 MiB is a row of `extent` and one of `blob`: 256 rows a GiB, and those of what is too young to be merged.
``cold``  A reader of old data has its own memory, its own requests, and no part in the queues of others; it shares the cores.
    How much that alone costs is measured too: the same reader at other brokers, which share nothing but the machine and the stores' servers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.workloads import Target, at_most

OURS, FILES, KAFKA = "ours", "files", "kafka"
SEATS = (OURS, FILES, KAFKA)
WITHOUT = "without"
"""In place of a seat: what the same seat did without the disturbance."""


class Work(NamedTuple):
    """One row of the table. ``kind`` chooses the code in ``measure.py``; targets are for the seat ``ours``."""

    name: str
    title: str
    kind: str
    targets: Sequence[Target]
    metrics: Sequence[str]
    seats: Sequence[str] = SEATS
    partitions: int = 12
    load: Sequence[str] = ()
    records: int = 0
    quick_records: int = 0
    size: int = 100
    storage: str = ""
    rounds_max: int = 99
    from_file: bool = False


_PRODUCE = ("records_s", "mb_s", "p50_ms", "p99_ms", "cpu_s_per_m")
_STALL = ("stall_s", "stall_librdkafka_s", "stall_java_s", "errors", "lost")
_LARGE = ("batch.size=1000000", "linger.ms=20", "max.request.size=8000000", "buffer.memory=67108864")

WORKS: list[Work] = [
    Work(
        "produce-100b",
        "produce 100 B records, 1 MB requests, 12 partitions, standard",
        "produce",
        (Target("records_s", KAFKA, 1.5, 3.0), at_most("cpu_s_per_m", KAFKA, 0.6, 0.6)),
        _PRODUCE,
        load=("--batch-bytes", "1000000"),
        records=6_000_000,
        quick_records=2_000_000,
        storage="standard",
    ),
    Work(
        "produce-1kb",
        "produce 1 KB records, 1 MB requests, 12 partitions, standard",
        "produce",
        (Target("records_s", KAFKA, 1.5, 3.0), at_most("cpu_s_per_m", KAFKA, 0.6, 0.6)),
        _PRODUCE,
        load=("--batch-bytes", "1000000"),
        records=600_000,
        quick_records=200_000,
        size=1000,
        storage="standard",
    ),
    Work(
        "java-produce",
        "Kafka's ProducerPerformance, 100 B, acks=all, standard",
        "java-produce",
        (Target("records_s", KAFKA, 1.5, 3.0), at_most("cpu_s_per_m", KAFKA, 0.6, 0.6)),
        _PRODUCE,
        records=2_000_000,
        quick_records=500_000,
        storage="standard",
        rounds_max=2,
    ),
    Work(
        "java-produce-1kb",
        "Kafka's ProducerPerformance, 1 KB, acks=all, standard",
        "java-produce",
        (Target("records_s", KAFKA, 1.5, 3.0), at_most("cpu_s_per_m", KAFKA, 0.6, 0.6)),
        _PRODUCE,
        records=400_000,
        quick_records=100_000,
        size=1000,
        storage="standard",
        rounds_max=2,
    ),
    Work(
        "java-produce-1mb",
        "Kafka's ProducerPerformance, 1 KB from a file, batch.size 1 MB, standard",
        "java-produce",
        (Target("records_s", KAFKA, 1.5, 3.0), at_most("cpu_s_per_m", KAFKA, 0.6, 0.6)),
        _PRODUCE,
        load=_LARGE,
        records=600_000,
        quick_records=150_000,
        size=1000,
        storage="standard",
        from_file=True,
    ),
    Work(
        "java-produce-random",
        "Kafka's ProducerPerformance, 1 KB of random letters, batch.size 1 MB, standard",
        "java-produce",
        (),
        _PRODUCE,
        load=_LARGE,
        records=250_000,
        quick_records=150_000,
        size=1000,
        storage="standard",
        rounds_max=2,
    ),
    Work(
        "express",
        "one small record at a time, express",
        "trip",
        (at_most("p50_ms", "", 3.0, 1.0), at_most("p99_ms", "", 15.0, 5.0)),
        ("p50_ms", "p99_ms", "trip_p50_ms", "trip_p99_ms", "cpu_us_per_request"),
        partitions=1,
        records=3_000,
        quick_records=1_000,
        storage="express",
    ),
    Work(
        "standard",
        "one small record at a time, standard, 30 ms to the object store",
        "far-trip",
        (
            at_most("p50_ms", "", 350, 290),
            at_most("p99_ms", "", 600, 320),
            at_most("trip_p50_ms", "", 350, 290),
            at_most("trip_p99_ms", "", 600, 320),
        ),
        ("p50_ms", "p99_ms", "trip_p50_ms", "trip_p99_ms"),
        seats=(OURS,),
        partitions=12,
        records=360,
        quick_records=240,
        storage="standard",
        rounds_max=2,
    ),
    Work(
        "failover",
        "a broker is killed under load (kill -9)",
        "failover",
        (at_most("stall_s", "", 1.5, 0.5), at_most("stall_s", KAFKA, 0.1, 0.05)),
        _STALL,
        rounds_max=2,
    ),
    Work(
        "join",
        "a fourth broker comes",
        "join",
        (at_most("stall_s", "", 1.0, 0.2), at_most("errors", "", 0, 0), at_most("lost", "", 0, 0)),
        _STALL,
        seats=(OURS, FILES),
        rounds_max=3,
    ),
    Work(
        "restart",
        "three brokers are restarted, one after the other",
        "restart",
        (at_most("stall_s", "", 1.0, 0.2), at_most("errors", "", 0, 0), at_most("lost", "", 0, 0)),
        _STALL,
        rounds_max=2,
    ),
    Work(
        "partitions",
        "50,000 partitions in the metadata",
        "partitions",
        (at_most("start_s", "", 3.0, 1.5), Target("part_of_rate", "", 0.8, 0.95)),
        ("start_s", "part_of_rate", "records_s", "idle_mb"),
        seats=(OURS,),
        records=3_000_000,
        quick_records=1_000_000,
        rounds_max=1,
    ),
    Work(
        "rows",
        "PostgreSQL after a GiB of records, merged",
        "rows",
        (at_most("rows_per_gib", "", 2000, 500),),
        ("rows_per_gib", "rows_before", "metadata_mb_per_gib", "merge_s"),
        seats=(FILES,),
        records=1_000_000,
        quick_records=300_000,
        size=1000,
        rounds_max=1,
    ),
    Work(
        "cold",
        "producers while a consumer reads what is an hour old",
        "cold",
        (at_most("p99_of_without", "", 1.2, 1.05),),
        ("p50_ms", "p99_ms", "p99_without_ms", "p99_elsewhere_ms", "p99_of_without", "cold_mb_s"),
        seats=(OURS, FILES),
        records=3_000_000,
        quick_records=1_500_000,
        rounds_max=1,
    ),
]

BY_NAME = {work.name: work for work in WORKS}

# metric -> (how a person reads it, format); beside those of bench.workloads
METRICS: dict[str, tuple[str, str]] = {
    "cpu_s_per_m": ("CPU s of all servers per million records", "{:.3f}"),
    "cpu_us_per_request": ("CPU us of all servers per record", "{:.0f}"),
    "trip_p50_ms": ("end to end p50 ms", "{:.2f}"),
    "trip_p99_ms": ("end to end p99 ms", "{:.2f}"),
    "stall_s": ("longest stall s", "{:.2f}"),
    "stall_librdkafka_s": ("longest stall s, librdkafka", "{:.2f}"),
    "stall_java_s": ("longest stall s, Java", "{:.2f}"),
    "errors": ("records given up", "{:.0f}"),
    "lost": ("acknowledged records that did not come", "{:.0f}"),
    "part_of_rate": ("part of the rate with 60 partitions", "{:.2f}"),
    "rows_per_gib": ("rows per GiB, merged", "{:,.0f}"),
    "rows_before": ("rows per GiB, before", "{:,.0f}"),
    "metadata_mb_per_gib": ("MB of tables and indexes per GiB, merged", "{:.2f}"),
    "merge_s": ("s until all is merged", "{:.0f}"),
    "p99_without_ms": ("p99 ms without the reader", "{:.2f}"),
    "p99_elsewhere_ms": ("p99 ms with the reader at other brokers of the machine", "{:.2f}"),
    "p99_of_without": ("p99 by p99 without", "{:.2f}"),
    "cold_mb_s": ("MB/s of the reader", "{:.1f}"),
}
