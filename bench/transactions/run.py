"""python -m bench --transactions [--only NAME]... [--quick] [--rounds N] [--write] [--keep]

Transactions and compaction of this broker beside Apache Kafka, in one run. Both brokers run at once, each idle while the other is measured; rounds begin
one seat later each time. Leaves ``transactions.json`` in ``bench/out``; ``--write`` also writes ``docs/benchmarks-transactions.md``. Needs Java and Maven.
Exit status 1 when a measurement failed; missed targets are shown, and are no failure.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from bench.measure import Figures, wait_for_spares, warm
from bench.measure import Seat as PlainSeat
from bench.programs import LoadError
from bench.report import Results
from bench.session import Session
from bench.transactions import measure, report
from bench.transactions.workloads import WORKLOADS
from bench.workloads import FLUSH, KAFKA, OURS, Workload
from conformance.common.brokers import Broker, BrokerError, Kafka, Moldau

COMMON = {"log.cleaner.backoff.ms": "200"}
KAFKA_SETTINGS = {**COMMON, "authorizer.class.name": "", "log.segment.delete.delay.ms": "1000"}
OUR_SETTINGS = {**COMMON, "group.initial.rebalance.delay.ms": "0"}
WARM_RECORDS = {KAFKA: 8_000_000, FLUSH: 2_000_000, OURS: 8_000_000}
"""Half of them first: then ours has write-ahead files to write over, and at the end of the other half it does."""
QUICK_PART = 8
"""A quick run makes one part of so many."""


def told(quick: bool) -> str:
    """The settings, for the page."""
    ours, cached, synced = (f"{WARM_RECORDS[name] // (QUICK_PART if quick else 1):,}" for name in (OURS, KAFKA, FLUSH))
    return (
        "Kafka: 1 GiB heap, no authorizer; ours: defaults; all: log.cleaner.backoff.ms=200;"
        f" warmed with {ours} records (ours), {cached} (Kafka, page cache) and {synced} (Kafka, synced)"
    )


def warm_all(brokers: dict[str, Broker], part: int) -> None:
    """With one part of so many of the records."""
    for name, broker in brokers.items():
        print(f"warming {name}: pid {broker.pid} at {broker.bootstrap}", flush=True)
        warm(PlainSeat(name, broker), WARM_RECORDS[name] // part)


def run_workload(
    w: Workload, seats: dict[str, measure.Seat], records: int, rounds: int
) -> tuple[dict[str, list[Figures]], int]:
    """Figures of each seat, round by round (a round that failed is empty), and how many failed. Raises BrokerError."""
    found: dict[str, list[Figures]] = {name: [] for name in w.seats}
    failures = 0
    for round_number in range(rounds):
        turn = round_number % len(w.seats)
        for name in [*w.seats[turn:], *w.seats[:turn]]:
            os.sync()
            time.sleep(0.3)
            began = time.perf_counter()
            try:
                figures = measure.KINDS[w.kind](seats[name], w, records)
            except (LoadError, TimeoutError) as e:
                failures += 1
                figures = {}
                print(f"  {w.name} {name}: FAILED: {e}", flush=True)
                if not seats[name].broker.alive():
                    raise BrokerError(f"the broker in seat {name} died") from e
            found[name].append(figures)
            shown = "  ".join(f"{m} {report.figure(figures[m], m)}" for m in w.metrics if m in figures)
            print(f"  {w.name} {name:6} {shown}  ({time.perf_counter() - began:.1f} s)", flush=True)
    return found, failures


def run(workloads: Sequence[Workload], rounds: int, quick: bool, keep: Callable[[Results], None]) -> int:
    """`keep` is told of all results after each workload. Returns how many failed. Raises BrokerError."""
    results: Results = {}
    failures = 0
    with contextlib.ExitStack() as stack:
        wanted = {seat for w in workloads for seat in w.seats}
        brokers: dict[str, Broker] = {}
        if KAFKA in wanted:
            brokers[KAFKA] = stack.enter_context(Kafka(KAFKA_SETTINGS))
        if FLUSH in wanted:
            brokers[FLUSH] = stack.enter_context(Kafka({**KAFKA_SETTINGS, "log.flush.interval.messages": "1"}))
        brokers[OURS] = stack.enter_context(Moldau(OUR_SETTINGS))
        warm_all(brokers, QUICK_PART if quick else 2)
        if not quick:
            wait_for_spares(brokers[OURS].folder)
            warm_all(brokers, 2)
        seats = {name: measure.Seat(name, broker) for name, broker in brokers.items()}
        for w in workloads:
            print(f"{w.name}: {w.title}", flush=True)
            records = w.quick_records if quick else w.records
            results[w.name], failed = run_workload(w, seats, records, rounds)
            failures += failed
            keep(results)
    return failures


def main(argv: Sequence[str]) -> int:
    session = Session("transactions", __doc__, WORKLOADS, report.print_table, report.markdown)
    o = session.parser().parse_args(argv)
    return session.main(o, told(o.quick), "SQLite and local files, one process", run)
