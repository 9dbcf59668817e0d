"""python -m bench --transactions [--only NAME]... [--quick] [--rounds N] [--write] [--keep]

Transactions and compaction of this broker beside Apache Kafka, in one run. Both brokers run at once, each idle while the other is measured; rounds begin
one seat later each time. Leaves ``transactions.json`` in ``bench/out``; ``--write`` also writes ``docs/benchmarks-transactions.md``. Needs Java and Maven.
Exit status 1 when a measurement failed; missed targets are shown, and are no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence

from bench import machine
from bench.measure import Figures, warm
from bench.measure import Seat as PlainSeat
from bench.programs import LoadError
from bench.report import Results
from bench.transactions import measure, report
from bench.transactions.workloads import BY_NAME, WORKLOADS
from bench.workloads import FLUSH, KAFKA, OURS, Workload
from conformance.common.brokers import CHECKOUT, Broker, BrokerError, Kafka, Moldau

OUT = CHECKOUT / "bench" / "out"
COMMON = {"log.cleaner.backoff.ms": "200"}
KAFKA_SETTINGS = {**COMMON, "authorizer.class.name": "", "log.segment.delete.delay.ms": "1000"}
OUR_SETTINGS = {**COMMON, "group.initial.rebalance.delay.ms": "0"}
WARM_RECORDS = {KAFKA: 4_000_000, FLUSH: 1_000_000, OURS: 400_000}


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
        for name, broker in brokers.items():
            print(f"warming {name}: pid {broker.pid} at {broker.bootstrap}", flush=True)
            warm(PlainSeat(name, broker), WARM_RECORDS[name] // (4 if quick else 1))
        seats = {name: measure.Seat(name, broker) for name, broker in brokers.items()}
        for w in workloads:
            print(f"{w.name}: {w.title}", flush=True)
            records = w.quick_records if quick else w.records
            results[w.name], failed = run_workload(w, seats, records, rounds)
            failures += failed
            keep(results)
    return failures


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench --transactions", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", choices=list(BY_NAME), help="this one; repeatable")
    parser.add_argument("--quick", action="store_true", help="one round of small loads")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-transactions.md")
    parser.add_argument("--keep", action="store_true", help="what transactions.json has of other workloads stays in it")
    parser.add_argument("--again", action="store_true", help="report transactions.json again, without running")
    parser.add_argument("--list", action="store_true", help="list what is measured")
    return parser


def main(argv: Sequence[str]) -> int:
    o = arguments().parse_args(argv)
    if o.list:
        for w in WORKLOADS:
            print(f"{w.name:18} {w.title}")
        return 0
    OUT.mkdir(parents=True, exist_ok=True)
    kept = OUT / "transactions.json"
    failures = 0
    before = json.loads(kept.read_text()) if (o.keep or o.again) and kept.exists() else {"results": {}, "about": {}}
    if o.again:
        results, about = before["results"], before["about"]
    else:
        rounds = o.rounds or (1 if o.quick else 3)
        about = {
            **machine.describe(),
            "settings": f"{rounds} rounds{', quick' if o.quick else ''}; Kafka: 1 GiB heap, no authorizer; ours: defaults; both: log.cleaner.backoff.ms=200",
            "engine": "SQLite and local files, one process",
        }

        def keep(found: Results) -> None:
            merged = {**before["results"], **found}
            ordered = {w.name: merged[w.name] for w in WORKLOADS if w.name in merged}
            kept.write_text(json.dumps({"about": about, "results": ordered}, indent=1))

        try:
            failures = run([BY_NAME[name] for name in o.only] if o.only else WORKLOADS, rounds, o.quick, keep)
        except (BrokerError, LoadError, TimeoutError) as e:
            print(e, file=sys.stderr)
            return 1
        results = json.loads(kept.read_text())["results"]
    report.print_table(results)
    if o.write:
        page = CHECKOUT / "docs" / "benchmarks-transactions.md"
        page.write_text(report.markdown(results, about))
        print(f"wrote {page}")
    return 1 if failures else 0
