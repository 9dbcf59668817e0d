"""python -m bench --groups [--only NAME]... [--quick] [--rounds N] [--write] [--keep]

Groups of this broker beside those of Apache Kafka, in one run. Both brokers run at once, each idle while the other is measured; rounds begin with the other seat
each time. Leaves ``groups.json`` in ``bench/out``; ``--write`` also writes ``docs/benchmarks-groups.md``. Needs Java and Maven. Exit status 1 when a
measurement failed; missed targets are shown, and are no failure.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from bench.groups import measure, report
from bench.groups.workloads import WORKLOADS
from bench.measure import Figures, Seat, warm
from bench.programs import LoadError
from bench.report import Results
from bench.session import Session
from bench.workloads import KAFKA, OURS, Workload
from conformance.common.brokers import Broker, BrokerError, Kafka, Moldau

COMMON = {
    "group.consumer.heartbeat.interval.ms": "1000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.assignment.interval.ms": "1000",
    "group.share.heartbeat.interval.ms": "1000",
    "group.share.min.heartbeat.interval.ms": "1000",
    "group.share.assignment.interval.ms": "1000",
}
KAFKA_SETTINGS = {**COMMON, "authorizer.class.name": "", "log.segment.delete.delay.ms": "1000"}
WARM_RECORDS = {KAFKA: 4_000_000, OURS: 400_000}
TOLD = (
    "both: heartbeats every 1 s, session time-out 6 s, assignment interval 1 s (its default), else as they come; Kafka: 1 GiB heap, no authorizer; "
    "warmed with 4 million records and a round of each work that does not count"
)


def measured(seat: Seat, w: Workload, records: int) -> Figures | None:
    """Nothing when it failed. Raises BrokerError."""
    os.sync()
    time.sleep(0.3)
    began = time.perf_counter()
    try:
        figures = measure.KINDS[w.kind](seat, w, records)
    except (LoadError, TimeoutError) as e:
        print(f"  {w.name} {seat.name}: FAILED: {e}", flush=True)
        if not seat.broker.alive():
            raise BrokerError(f"the broker in seat {seat.name} died") from e
        return None
    shown = "  ".join(f"{m} {report.figure(figures[m], m)}" for m in w.metrics if m in figures)
    print(f"  {w.name} {seat.name:6} {shown}  ({time.perf_counter() - began:.1f} s)", flush=True)
    return figures


def run_workload(
    w: Workload, seats: dict[str, Seat], records: int, rounds: int
) -> tuple[dict[str, list[Figures]], int]:
    """Figures of each seat, round by round (a round that failed is empty), and how many failed. Raises BrokerError."""
    found: dict[str, list[Figures]] = {name: [] for name in w.seats}
    for round_number in range(rounds):
        turn = round_number % len(w.seats)
        for name in [*w.seats[turn:], *w.seats[:turn]]:
            found[name].append(measured(seats[name], w, records) or {})
    return found, sum(not figures for each in found.values() for figures in each)


def run(workloads: Sequence[Workload], rounds: int, quick: bool, keep: Callable[[Results], None]) -> int:
    """`keep` is told of all results after each workload. Returns how many failed. Raises BrokerError."""
    results: Results = {}
    failures = 0
    with contextlib.ExitStack() as stack:
        brokers: dict[str, Broker] = {
            KAFKA: stack.enter_context(Kafka(KAFKA_SETTINGS)),
            OURS: stack.enter_context(Moldau(COMMON)),
        }
        seats = {name: Seat(name, broker) for name, broker in brokers.items()}
        for name, seat in seats.items():
            print(f"warming {name}: pid {seat.broker.pid} at {seat.broker.bootstrap}", flush=True)
            warm(seat, WARM_RECORDS[name] // (4 if quick else 1))
        for w in workloads:
            print(f"{w.name}: {w.title}", flush=True)
            if w.kind != "rebalance" and not quick:
                for seat in seats.values():
                    measured(seat, w, w.quick_records)
                print("  now it counts", flush=True)
            results[w.name], failed = run_workload(w, seats, w.quick_records if quick else w.records, rounds)
            failures += failed
            keep(results)
    return failures


def main(argv: Sequence[str]) -> int:
    session = Session("groups", __doc__, WORKLOADS, report.print_table, report.markdown)
    return session.main(session.parser().parse_args(argv), TOLD, "SQLite and local files, one process", run)
