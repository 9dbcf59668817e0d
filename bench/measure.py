"""Run one workload on one seat and turn what came back into metrics."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from bench import programs
from bench.topics import Topics
from bench.workloads import FLUSH, Workload
from conformance.common.brokers import Broker

Figures = dict[str, float]
_serial = itertools.count(1)


class Seat:
    """One place at the table: a broker, and whether its topics fsync before each answer."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.broker = broker
        self.topics = Topics(broker.bootstrap)

    def topic(self, workload: str, partitions: int) -> str:
        name = f"{workload}-{self.name}-{next(_serial)}"
        self.topics.make(name, partitions, flush=self.name == FLUSH)
        return name


def time_limit(records: int) -> float:
    """Generous: a broker that is twenty times slower than expected is still measured."""
    return 120.0 + records / 20_000


def _rates(seat: Seat, size: int, cpu: float, result: dict[str, float]) -> Figures:
    records, requests, seconds = result["records"], result["requests"], result["seconds"]
    return {
        "records_s": records / seconds,
        "requests_s": requests / seconds,
        "mb_s": records * size / seconds / 1e6,
        "p50_ms": result["p50_ms"],
        "p99_ms": result["p99_ms"],
        "cpu_s_per_m": cpu / records * 1e6,
        "cpu_us_per_request": cpu / requests * 1e6,
    }


def _load(seat: Seat, mode: str, topic: str, w: Workload, records: int, partitions: int) -> Figures:
    options = ["--partitions", str(partitions), "--records", str(records), "--size", str(w.size), *w.load]
    before = seat.broker.cpu_seconds()
    result = programs.rawload(mode, seat.broker.bootstrap, topic, options, time_limit(records))
    return _rates(seat, w.size, seat.broker.cpu_seconds() - before, result)


def produce(seat: Seat, w: Workload, records: int) -> Figures:
    topic = seat.topic(w.name, w.partitions)
    try:
        return _load(seat, "produce", topic, w, records, w.partitions)
    finally:
        seat.topics.drop(topic)


def _filled(seat: Seat, w: Workload, records: int) -> str:
    """A topic with at least ``records`` records, in batches as a busy producer's (16 KB)."""
    topic = seat.topic(w.name, w.partitions)
    options = ["--partitions", str(w.partitions), "--records", str(int(records * 1.01) + 1000), "--size", str(w.size)]
    options += ["--batch-bytes", "16384", "--connections", "6"]
    programs.rawload("produce", seat.broker.bootstrap, topic, options, time_limit(records))
    return topic


_REST_OF_A_CORE, _REST_SECONDS, _REST_SECONDS_MAX = 0.03, 7, 90.0
"""Ours leaves what is younger than five seconds alone."""


def _rested(seat: Seat) -> float:
    """Wait until the broker has put away what was written, and does nothing more for some seconds. How many CPU seconds that took."""
    began, quiet = seat.broker.cpu_seconds(), 0
    last, deadline = began, time.monotonic() + _REST_SECONDS_MAX
    while quiet < _REST_SECONDS and time.monotonic() < deadline:
        time.sleep(1.0)
        now = seat.broker.cpu_seconds()
        quiet = quiet + 1 if now - last < _REST_OF_A_CORE else 0
        last = now
    return last - began


def fetch(seat: Seat, w: Workload, records: int) -> Figures:
    topic = _filled(seat, w, records)
    try:
        put_away = _rested(seat)
        _load(seat, "fetch", topic, w, records, w.partitions)  # warm: every byte was read once
        return {
            **_load(seat, "fetch", topic, w, records, w.partitions),
            "put_away_cpu_s_per_m": put_away / records * 1e6,
        }
    finally:
        seat.topics.drop(topic)


def java_produce(seat: Seat, w: Workload, records: int) -> Figures:
    topic = seat.topic(w.name, w.partitions)
    try:
        before = seat.broker.cpu_seconds()
        found = programs.java_produce(seat.broker.bootstrap, topic, records, w.size, time_limit(records))
        return {**found, "cpu_s_per_m": (seat.broker.cpu_seconds() - before) / records * 1e6}
    finally:
        seat.topics.drop(topic)


def java_consume(seat: Seat, w: Workload, records: int) -> Figures:
    topic = _filled(seat, w, records)
    try:
        _rested(seat)
        before = seat.broker.cpu_seconds()
        found = programs.java_consume(seat.broker.bootstrap, topic, records, time_limit(records))
        return {**found, "cpu_s_per_m": (seat.broker.cpu_seconds() - before) / records * 1e6}
    finally:
        seat.topics.drop(topic)


def java_end_to_end(seat: Seat, w: Workload, records: int) -> Figures:
    topic = seat.topic(w.name, w.partitions)
    try:
        return programs.java_end_to_end(seat.broker.bootstrap, topic, records, w.size, time_limit(records))
    finally:
        seat.topics.drop(topic)


CONSUMERS = 500


def many_partitions(seat: Seat, w: Workload, records: int) -> Figures:
    """The load on 6 partitions with nobody waiting, then on all of them with consumers waiting on another topic."""
    few, many = seat.topic(f"{w.name}-few", 6), seat.topic(w.name, w.partitions)
    waiting = seat.topic(f"{w.name}-waiting", w.partitions)
    try:
        alone = _load(seat, "produce", few, w, records, 6)
        seconds = time_limit(records)
        with programs.IdleConsumers(
            seat.broker.bootstrap, waiting, connections=CONSUMERS, partitions=w.partitions, seconds=seconds
        ):
            found = _load(seat, "produce", many, w, records, w.partitions)
        return {**found, "part_of_rate": found["records_s"] / alone["records_s"]}
    finally:
        for topic in (few, many, waiting):
            seat.topics.drop(topic)


def idle(seat: Seat, w: Workload, records: int) -> Figures:
    """Broker CPU while nothing happens but long polls."""
    topic, seconds = seat.topic(w.name, w.partitions), 20.0
    try:
        with programs.IdleConsumers(
            seat.broker.bootstrap, topic, connections=CONSUMERS, partitions=w.partitions, seconds=seconds
        ) as consumers:
            time.sleep(2.0)
            before, began = seat.broker.cpu_seconds(), time.perf_counter()
            time.sleep(seconds - 5.0)
            cpu, took = seat.broker.cpu_seconds() - before, time.perf_counter() - began
            polls = consumers.result()
        return {"core_percent": cpu / took * 100, "polls_s": polls["requests"] / polls["seconds"]}
    finally:
        seat.topics.drop(topic)


KINDS: dict[str, Callable[[Seat, Workload, int], Figures]] = {
    "produce": produce,
    "fetch": fetch,
    "java-produce": java_produce,
    "java-consume": java_consume,
    "java-end-to-end": java_end_to_end,
    "many-partitions": many_partitions,
    "idle": idle,
}


def warm(seat: Seat, records: int) -> None:
    """Every path once, until the Java virtual machine has compiled it: large, small and single requests, and reading."""
    topic = seat.topic("warm", 6)
    small = ["--batch-bytes", "16384", "--connections", "6"]
    single = ["--batch-bytes", "0", "--connections", "12"]
    part = max(10_000, records // 4)
    try:
        for count, options in ((records, []), (part, small), (max(5_000, records // 200), single)):
            options = ["--partitions", "6", "--records", str(count), *options]
            programs.rawload("produce", seat.broker.bootstrap, topic, options, time_limit(records))
        options = ["--partitions", "6", "--records", str(part)]
        programs.rawload("fetch", seat.broker.bootstrap, topic, options, time_limit(records))
    finally:
        seat.topics.drop(topic)


_SPARES_SECONDS_MAX = 60.0


def wait_for_spares(folder: Path) -> None:
    """Until a broker of ours that lives there has collected what its warming left: nothing more becomes a spare for some seconds."""
    deadline, found, quiet = time.monotonic() + _SPARES_SECONDS_MAX, 0, 0
    while time.monotonic() < deadline and (not found or quiet < 12):
        time.sleep(1.0)
        now = len(list((folder / "data" / "blobs").glob("*.spare")))
        found, quiet = now, quiet + 1 if now == found else 0
