"""Run one work on one seat and turn what came back into metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median

from bench import programs
from bench.cluster.events import failover, join, restart
from bench.cluster.seats import Cluster, MoldauCluster
from bench.cluster.stores import Bucket, DelayLine
from bench.cluster.workloads import Work

Figures = dict[str, float]

DELAY_MS = 30.0
MANY_PARTITIONS = 50_000
PARTITIONS_A_TOPIC = 1_000
FEW_PARTITIONS = 60
MERGED_SECONDS = 240.0
"""How long a merge is waited for."""
COLD_SECONDS = 10.0
COLD_MB_S = 50.0
_TABLES = "SELECT string_agg(format('SELECT count(*) AS n FROM %I', tablename), ' UNION ALL ') FROM pg_tables WHERE schemaname = 'public'"
_BYTES = (
    "SELECT sum(pg_total_relation_size(format('%I', tablename)::regclass)) FROM pg_tables WHERE schemaname = 'public'"
)


def time_limit(records: int) -> float:
    """Generous: what is twenty times slower than expected is still measured."""
    return 150.0 + records / 10_000


def _load(seat: Cluster, mode: str, topic: str, w: Work, records: int, partitions: int) -> Figures:
    options = ["--partitions", str(partitions), "--records", str(records), "--size", str(w.size), *w.load]
    before = seat.cpu_seconds()
    found = programs.rawload(mode, seat.bootstrap, topic, options, time_limit(records))
    cpu = seat.cpu_seconds() - before
    rate = found["records"] / found["seconds"]
    times = {name: found[name] for name in found if name.endswith("_ms")}
    return {
        "records_s": rate,
        "mb_s": rate * w.size / 1e6,
        **times,
        "cpu_s_per_m": cpu / found["records"] * 1e6,
        "cpu_us_per_request": cpu / found["requests"] * 1e6,
    }


def _on_topic(mode: str, seat: Cluster, w: Work, records: int) -> Figures:
    topic = seat.topics.make(w.name, w.partitions, seat.mode(w.storage))
    try:
        return _load(seat, mode, topic, w, records, w.partitions)
    finally:
        seat.topics.drop(topic)


def produce(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    return _on_topic("produce", seat, w, records)


def trip(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    return _on_topic("trip", seat, w, records)


def java_produce(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    topic = seat.topics.make(w.name, w.partitions, seat.mode(w.storage))
    try:
        before = seat.cpu_seconds()
        found = programs.java_produce(seat.bootstrap, topic, records, w.size, time_limit(records), w.load, w.from_file)
        return {**found, "cpu_s_per_m": (seat.cpu_seconds() - before) / records * 1e6}
    finally:
        seat.topics.drop(topic)


# -- clusters of their own --------------------------------------------------------------------------------------------


def far_trip(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """On brokers whose object store is far away."""
    assert isinstance(seat, MoldauCluster)
    assert isinstance(seat.blobs, Bucket)
    with (
        DelayLine(seat.blobs.port, DELAY_MS) as line,
        MoldauCluster(seat.database, seat.blobs, endpoint=line.endpoint) as far,
    ):
        return trip(far, w, records, round_number)


def partitions(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """The rate on 60 partitions when there are no others, and when there are 50,000; then how long a broker takes to start."""
    assert isinstance(seat, MoldauCluster)
    load = w._replace(load=("--batch-bytes", "1000000"))
    with MoldauCluster(seat.database, seat.blobs) as own:
        topic = own.topics.make("few", FEW_PARTITIONS, own.mode("standard"))

        def rate() -> float:
            runs = [_load(own, "produce", topic, load, records, FEW_PARTITIONS)["records_s"] for _ in range(4)]
            return median(runs[1:])

        alone = rate()
        for _ in range(MANY_PARTITIONS // PARTITIONS_A_TOPIC):
            own.topics.make("many", PARTITIONS_A_TOPIC)
        among = rate()
        starts = []
        for node in own.nodes:
            node.end()
            starts.append(node.start().start_seconds)
        return {
            "start_s": max(starts),
            "records_s": among,
            "part_of_rate": among / alone,
            "idle_mb": max(node.resident_bytes() for node in own.nodes) / 1e6,
        }


def _rows(seat: MoldauCluster) -> int:
    return int(seat.sql(f"SELECT sum(n) FROM ({seat.sql(_TABLES)}) AS counts"))


def rows(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """What PostgreSQL keeps of a load in small requests, before and after maintenance."""
    assert isinstance(seat, MoldauCluster)
    with MoldauCluster(seat.database, seat.blobs) as own:
        topic = own.topics.make("rows", w.partitions)
        empty, empty_bytes = _rows(own), int(own.sql(_BYTES))
        load = w._replace(load=("--batch-bytes", "16384", "--connections", "2"))
        _load(own, "produce", topic, load, records, w.partitions)
        gib = int(own.sql("SELECT sum(bytes_total) FROM partition")) / 2**30
        before = _rows(own) - empty
        began = time.perf_counter()
        least, least_at = before, began
        while (now := time.perf_counter()) - began < MERGED_SECONDS and now - max(least_at, began + 90) < 30:
            time.sleep(2)
            found = _rows(own) - empty
            if found < least:
                least, least_at = found, time.perf_counter()
        own.sql("VACUUM")
        return {
            "rows_before": before / gib,
            "rows_per_gib": (_rows(own) - empty) / gib,
            "metadata_mb_per_gib": (int(own.sql(_BYTES)) - empty_bytes) / 1e6 / gib,
            "merge_s": least_at - began,
        }


def cold(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """Producers of small requests: alone, with somebody who reads what was appended an hour ago, and with the same reader at other brokers
    of the same machine, which share the stores' servers and the cores with them and nothing else."""
    assert isinstance(seat, MoldauCluster)
    with ExitStack() as stack:
        own, far = (_with_old(seat, w, records, stack) for _ in range(2))
        topic = own[0].topics.make("new", w.partitions)
        rate = 100.0
        paced = w._replace(load=("--batch-bytes", "1000", "--rate", str(rate)))
        requests = int(COLD_SECONDS * rate * len(own[0].nodes)) * 8
        pool = stack.enter_context(ThreadPoolExecutor(1))

        def producers() -> Figures:
            return _load(own[0], "produce", topic, paced, requests, w.partitions)

        def beside(reader: tuple[MoldauCluster, str] | None) -> tuple[Figures, float]:
            os.sync()  # what was loaded must not be written back while commits are timed
            time.sleep(0.3)
            if reader is None:
                return producers(), 0.0
            options = ["--partitions", str(w.partitions), "--seconds", str(COLD_SECONDS + 2), "--mb-s", str(COLD_MB_S)]
            scanning = pool.submit(programs.rawload, "scan", reader[0].bootstrap, reader[1], options, 120.0)
            time.sleep(1.0)
            figures = producers()
            scanned = scanning.result()
            return figures, scanned["bytes"] / scanned["seconds"] / 1e6

        producers()
        turns = (None, own, far, far, own, None) * 2
        found = [(reader, *beside(reader)) for reader in turns]

        def middle(reader: tuple[MoldauCluster, str] | None, metric: str) -> float:
            return median([figures[metric] for who, figures, _ in found if who is reader])

        return {
            "p50_ms": middle(own, "p50_ms"),
            "p99_ms": middle(own, "p99_ms"),
            "p99_without_ms": middle(None, "p99_ms"),
            "p99_elsewhere_ms": middle(far, "p99_ms"),
            "p99_of_without": middle(own, "p99_ms") / middle(None, "p99_ms"),
            "cold_mb_s": median([read for who, _, read in found if who is own]),
        }


def _with_old(seat: MoldauCluster, w: Work, records: int, stack: ExitStack) -> tuple[MoldauCluster, str]:
    """Brokers with a topic of that many records, which are an hour old."""
    with MoldauCluster(seat.database, seat.blobs) as before:
        old = before.topics.make("old", w.partitions, before.mode("standard"))
        _load(before, "produce", old, w._replace(load=("--batch-bytes", "1000000")), records, w.partitions)
        stores = before.stores
    seat.database.sql("UPDATE extent SET appended_at = appended_at - 3600000", stores[0])
    return stack.enter_context(MoldauCluster(seat.database, seat.blobs, stores=stores)), old


KINDS: dict[str, Callable[[Cluster, Work, int, int], Figures]] = {
    "produce": produce,
    "trip": trip,
    "java-produce": java_produce,
    "far-trip": far_trip,
    "failover": failover,
    "join": join,
    "restart": restart,
    "partitions": partitions,
    "rows": rows,
    "cold": cold,
}


def warm(seat: Cluster, records: int) -> None:
    """Every path once, until the Java virtual machines have compiled it: large, small and single requests, and reading."""
    topic = seat.topics.make("warm", 12)
    options = ["--partitions", "12", "--records"]
    small = ["--batch-bytes", "16384", "--connections", "4"]
    try:
        programs.rawload("produce", seat.bootstrap, topic, [*options, str(records)], time_limit(records))
        programs.rawload("produce", seat.bootstrap, topic, [*options, str(records // 4), *small], time_limit(records))
        programs.rawload("trip", seat.bootstrap, topic, [*options, str(max(600, records // 1000))], time_limit(records))
        programs.rawload("fetch", seat.bootstrap, topic, [*options, str(records // 2)], time_limit(records))
    finally:
        seat.topics.drop(topic)
