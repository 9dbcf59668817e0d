"""What is measured of transactions and of compaction beside Apache Kafka, what is expected of it, and why.

Seats: ``ours`` (an fsync before every answer), ``kafka`` (Apache Kafka 4.3.1 as it comes: answers from the page cache) and ``flush`` (another one with
``log.flush.interval.messages=1``: an fsync of every append, its own topics of transactions and offsets among them, which is what ``ours`` promises).

The sketches, for two shared cores where an fdatasync of a small append takes 220-350 us:

``process-1000``  four threads of one Java program, each with a transactional id and an input partition of its own. A transaction of 1,000 records of 100 B:
    seven batches of 16 KB to append, two flushes of 0.5 ms; it begins with a note in the journal that waits for no sync, takes the group's offset with another one,
    and ends with a third, 0.3 ms each. So 2-3 ms of waiting, beside 2 ms of the client's own work: 600-800 transactions/s of all four,
    bound by the two cores. Kafka answers each request in half of that, but a producer that goes on at once after an end meets its own markers (CONCURRENT_TRANSACTIONS),
    and comes again 20 ms later: 40 transactions/s of each thread.
``process-10``  the same but for the records: 0.1 ms of appending. Three notes and one flush: 1.2 ms; ends share a write and a sync: 2,000 transactions/s.
    Kafka: the same 20 ms.
``end-1``, ``end-10``, ``end-100``  EndTxn on an idle broker, from the request to its answer: one write of the journal and its sync, 0.3 ms, and 5 us
    for each further partition: its marker is made and its view learns it; the rows follow, 5 us each on another thread. Kafka answers when the decision is in its page cache, 0.3-0.5 ms, however
    many partitions there are, and writes the markers afterwards; *complete* is when the next transaction of the same producer may begin: with us the answer,
    with Kafka a few ms more.
``compaction``  3 million records of 100 B, 300,000 keys, 16 KB batches, one partition, nothing else to do. We look at each record once, 1 us: 90-100 MB/s if the cleaner
    took all of the loop's time. Kafka reads the keys, 0.3 us a record, then everything once more, 0.5 us.
``beside-cleaner``  500 requests/s of one record each, while a cleaner works on another partition, by the same without it. The work comes in slices of a fifth of a ms, with
    a ms and more between two of them: the p99 of 1-2 ms grows by one slice.
"""

from __future__ import annotations

from bench.workloads import FLUSH, KAFKA, METRICS, OURS, Target, Workload, at_most

SEATS = (OURS, KAFKA, FLUSH)

_END_METRICS = ("p50_ms", "p99_ms", "complete_p50_ms", "complete_p99_ms", "cpu_us_per_transaction")
_END_TARGETS = (
    at_most("p50_ms", KAFKA, 1.0, 0.5),
    at_most("p99_ms", KAFKA, 1.0, 0.5),
    at_most("complete_p50_ms", KAFKA, 1.0, 0.5),
    at_most("complete_p99_ms", KAFKA, 1.0, 0.5),
    at_most("p50_ms", FLUSH, 1.0, 0.5),
    at_most("p99_ms", FLUSH, 1.0, 0.5),
    at_most("complete_p50_ms", FLUSH, 1.0, 0.5),
    at_most("complete_p99_ms", FLUSH, 1.0, 0.5),
)
_PROCESS_METRICS = ("transactions_s", "records_s", "commit_p50_ms", "commit_p99_ms", "cpu_s_per_m")


def _process(records: int, title: str) -> Workload:
    return Workload(
        f"process-{records}",
        title,
        "process",
        (Target("transactions_s", KAFKA, 1.2, 2.0), Target("transactions_s", FLUSH, 1.2, 2.0)),
        seats=SEATS,
        partitions=4,
        load=(str(records),),
        records=records,
        quick_records=records,
        metrics=_PROCESS_METRICS,
    )


def _end(partitions: int, rounds: int) -> Workload:
    many = "one partition" if partitions == 1 else f"{partitions} partitions"
    return Workload(
        f"end-{partitions}",
        f"EndTxn, {many}, one producer",
        "end",
        _END_TARGETS,
        seats=SEATS,
        partitions=partitions,
        records=rounds,
        quick_records=rounds // 4,
        metrics=_END_METRICS,
    )


WORKLOADS: list[Workload] = [
    _process(1000, "read, process, write: 1,000 records of 100 B a transaction, 4 producers (Java)"),
    _process(10, "read, process, write: 10 records of 100 B a transaction, 4 producers (Java)"),
    _end(1, 800),
    _end(10, 400),
    _end(100, 200),
    Workload(
        "compaction",
        "compaction of 3 million records, 300,000 keys, 100 B, 16 KB batches",
        "compaction",
        (Target("mb_s", KAFKA, 0.7, 1.0),),
        seats=(OURS, KAFKA),
        partitions=1,
        records=3_000_000,
        quick_records=1_000_000,
        metrics=("mb_s", "seconds", "records_left", "cpu_s_per_m"),
    ),
    Workload(
        "beside-cleaner",
        "500 requests/s of one record, while another partition is compacted",
        "beside-cleaner",
        (at_most("part_of_p99", "", 1.2, 1.05),),
        seats=(OURS,),
        partitions=6,
        load=("--batch-bytes", "0", "--connections", "2", "--rate", "250"),
        records=3_000_000,
        quick_records=1_500_000,
        metrics=("p50_ms", "p99_ms", "alone_p99_ms", "part_of_p99"),
    ),
]

BY_NAME = {w.name: w for w in WORKLOADS}

# metric -> (how a person reads it, format)
ALL_METRICS: dict[str, tuple[str, str]] = {
    **METRICS,
    "transactions_s": ("transactions/s", "{:,.0f}"),
    "commit_p50_ms": ("commitTransaction p50 ms", "{:.2f}"),
    "commit_p99_ms": ("commitTransaction p99 ms", "{:.2f}"),
    "complete_p50_ms": ("p50 ms until the next transaction may begin", "{:.2f}"),
    "complete_p99_ms": ("p99 ms until the next transaction may begin", "{:.2f}"),
    "cpu_us_per_transaction": ("broker CPU us per transaction", "{:,.0f}"),
    "seconds": ("s", "{:.1f}"),
    "records_left": ("records left", "{:,.0f}"),
    "alone_p99_ms": ("p99 ms without the cleaner", "{:.2f}"),
    "part_of_p99": ("p99 by p99 without", "{:.2f}"),
}
