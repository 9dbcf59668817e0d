"""python -m bench [--only NAME]... [--quick] [--rounds N] [--write]: this broker beside Apache Kafka, in one run.

With ``--cluster``: three brokers beside three of Apache Kafka (``bench/cluster``); with ``--transactions``: transactions and compaction
(``bench/transactions``); with ``--groups``: groups (``bench/groups``). Each has options of its own.

Both brokers run at once, each idle while the other is measured; rounds go ours, kafka, flush, then start one seat later.
Each is warmed with at least 10 million records, and ours is left alone until the write-ahead files of that can be written over: it is measured as
one that has been running for a minute, not as one on a new data directory. Prints the table, leaves ``results.json`` and ``plot.svg`` in
``bench/out``; ``--write`` also writes ``docs/benchmarks.md`` and its plot. Needs Java and Maven. Exit status 1 when a
measurement failed; missed targets are shown, and are no failure.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, measure, report
from bench.programs import LoadError
from bench.workloads import BY_NAME, FLUSH, KAFKA, OURS, WORKLOADS, Workload
from conformance.common.brokers import CHECKOUT, Broker, BrokerError, Kafka, Moldau, terminated_as_exit

OUT = CHECKOUT / "bench" / "out"
_GONE_SECONDS = 1.7
"""Until the files of the topic that the other broker dropped are deleted: it does so after a second."""
KAFKA_SETTINGS = {"authorizer.class.name": "", "log.segment.delete.delay.ms": "1000"}
WARM_RECORDS = 10_000_000


def warm_records(quick: bool) -> int:
    return WARM_RECORDS // (10 if quick else 1)


def new_broker(stand_in: bool) -> Broker:
    return Kafka(KAFKA_SETTINGS) if stand_in else Moldau()


def measure_start(seats: dict[str, measure.Seat], stand_in: bool, rounds: int) -> dict[str, list[measure.Figures]]:
    """Fresh brokers, one after the other; and the peak memory of the ones that all the load went to."""
    found: dict[str, list[measure.Figures]] = {OURS: [], KAFKA: []}
    for round_number in range(rounds):
        for seat, kafka in ((OURS, stand_in), (KAFKA, True)):
            if kafka and round_number:
                continue  # four seconds against a third of one: once is enough
            with new_broker(kafka) as broker:
                time.sleep(1.0)
                figures = {"start_s": broker.start_seconds, "idle_mb": broker.resident_bytes() / 1e6}
            found[seat].append({**figures, "loaded_mb": seats[seat].broker.resident_bytes(peak=True) / 1e6})
    return found


def run_workload(workload: Workload, seats: dict[str, measure.Seat], records: int, rounds: int) -> tuple[Any, int]:
    found: dict[str, list[measure.Figures]] = {name: [] for name in workload.seats}
    failures = 0
    for round_number in range(rounds):
        turn = round_number % len(workload.seats)
        for name in [*workload.seats[turn:], *workload.seats[:turn]]:
            time.sleep(_GONE_SECONDS)
            os.sync()
            time.sleep(0.3)
            began = time.perf_counter()
            try:
                figures = measure.KINDS[workload.kind](seats[name], workload, records)
            except (LoadError, TimeoutError) as e:
                failures += 1
                figures = {}
                print(f"  {workload.name} {name}: FAILED: {e}", flush=True)
                if not seats[name].broker.alive():
                    raise BrokerError(f"the broker in seat {name} died") from e
            found[name].append(figures)
            shown = "  ".join(f"{m} {report.figure(figures[m], m)}" for m in workload.metrics if m in figures)
            print(f"  {workload.name} {name:6} {shown}  ({time.perf_counter() - began:.1f} s)", flush=True)
    return found, failures


def run(workloads: Sequence[Workload], rounds: int, quick: bool, stand_in: bool) -> tuple[report.Results, int]:
    results: report.Results = {}
    failures = 0
    with contextlib.ExitStack() as stack:
        kafka = stack.enter_context(Kafka(KAFKA_SETTINGS))
        ours = stack.enter_context(new_broker(stand_in))
        print(f"ours: pid {ours.pid} at {ours.bootstrap}; Kafka: pid {kafka.pid} at {kafka.bootstrap}", flush=True)
        seats = {OURS: measure.Seat(OURS, ours), KAFKA: measure.Seat(KAFKA, kafka), FLUSH: measure.Seat(FLUSH, kafka)}
        for name in (OURS, KAFKA):
            print(f"warming {name} with {warm_records(quick):,} records", flush=True)
            measure.warm(seats[name], warm_records(quick))
        if not quick and not stand_in:
            measure.wait_for_spares(ours.folder)
        for workload in workloads:
            print(f"{workload.name}: {workload.title}", flush=True)
            if workload.kind == "start":
                results[workload.name] = measure_start(seats, stand_in, rounds)
                continue
            records = workload.quick_records if quick else workload.records
            results[workload.name], failed = run_workload(workload, seats, records, rounds)
            failures += failed
    return results, failures


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=list(BY_NAME), help="this workload; repeatable"
    )
    parser.add_argument("--quick", action="store_true", help="one round of small loads, both warmed with a tenth")
    parser.add_argument("--rounds", type=int, help="default 5, with --quick 1")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--stand-in", action="store_true", help="Apache Kafka in our seat: measures the measuring")
    parser.add_argument("--again", action="store_true", help="report bench/out/results.json again, without running")
    parser.add_argument("--list", action="store_true", help="list the workloads")
    return parser


def main() -> int:
    o = arguments().parse_args()
    if o.list:
        for w in WORKLOADS:
            print(f"{w.name:20} {w.title}")
        return 0
    OUT.mkdir(parents=True, exist_ok=True)
    failures = 0
    if o.again:
        kept = json.loads((OUT / "results.json").read_text())
        results, about = kept["results"], kept["about"]
    else:
        rounds = o.rounds or (1 if o.quick else 5)
        workloads = [BY_NAME[name] for name in o.only] if o.only else WORKLOADS
        about = {
            **machine.describe(),
            "settings": f"{rounds} rounds{', quick' if o.quick else ''}; Kafka: 1 GiB heap, no authorizer; ours: defaults; both warmed with {warm_records(o.quick):,} records",
            "engine": "Apache Kafka (stand-in)" if o.stand_in else "SQLite and local files, one process",
        }
        try:
            results, failures = run(workloads, rounds, o.quick, o.stand_in)
        except (BrokerError, LoadError, TimeoutError) as e:
            print(e, file=sys.stderr)
            return 1
        (OUT / "results.json").write_text(json.dumps({"about": about, "results": results}, indent=1))
    report.print_table(results)
    svg = report.plot(results)
    (OUT / "plot.svg").write_text(svg)
    if o.write:
        docs = Path(CHECKOUT / "docs")
        docs.mkdir(exist_ok=True)
        (docs / "benchmarks.md").write_text(report.markdown(results, about))
        (docs / "benchmarks.svg").write_text(svg)
        print(f"wrote {docs / 'benchmarks.md'}")
    return 1 if failures else 0


if __name__ == "__main__":
    with terminated_as_exit():
        if "--cluster" in sys.argv:
            from bench.cluster.run import main as cluster_main

            sys.exit(cluster_main([a for a in sys.argv[1:] if a != "--cluster"]))
        if "--transactions" in sys.argv:
            from bench.transactions.run import main as transactions_main

            sys.exit(transactions_main([a for a in sys.argv[1:] if a != "--transactions"]))
        if "--groups" in sys.argv:
            from bench.groups.run import main as groups_main

            sys.exit(groups_main([a for a in sys.argv[1:] if a != "--groups"]))
        sys.exit(main())
