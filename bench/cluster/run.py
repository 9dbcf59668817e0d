"""python -m bench --cluster [--only NAME]... [--quick] [--rounds N] [--write] [--s3 minio|versitygw] [--keep]

Three brokers of ours beside three of Apache Kafka. All clusters run at once, each idle while another is measured; rounds begin one seat later each
time. Leaves ``cluster.json`` in ``bench/out``; ``--write`` also writes ``docs/benchmarks-cluster.md``. Needs Java, Maven and an S3 server
(``make s3-servers``). Exit status 1 when a measurement failed; missed targets are shown, and are no failure.
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
from bench.cluster import measure, report
from bench.cluster.seats import Cluster, KafkaCluster, MoldauCluster
from bench.cluster.stores import S3_ENGINES, Database, blob_engine
from bench.cluster.workloads import BY_NAME, FILES, KAFKA, OURS, WORKS, Work
from bench.programs import LoadError
from conformance.common.brokers import CHECKOUT, BrokerError

OUT = CHECKOUT / "bench" / "out"
WARM_RECORDS = 8_000_000


def run_work(
    work: Work, seats: dict[str, Cluster], records: int, rounds: int
) -> tuple[dict[str, list[measure.Figures]], int]:
    """Figures of each seat, round by round (a round that failed is empty), and how many failed. Raises BrokerError."""
    found: dict[str, list[measure.Figures]] = {name: [] for name in work.seats}
    failures = 0
    for round_number in range(rounds):
        turn = round_number % len(work.seats)
        for name in [*work.seats[turn:], *work.seats[:turn]]:
            os.sync()
            time.sleep(0.3)
            began = time.perf_counter()
            try:
                figures = measure.KINDS[work.kind](seats[name], work, records, round_number)
            except (LoadError, TimeoutError) as e:
                failures += 1
                figures = {}
                print(f"  {work.name} {name}: FAILED: {e}", flush=True)
                if not seats[name].alive():
                    raise BrokerError(f"a server in seat {name} died") from e
            found[name].append(figures)
            shown = "  ".join(f"{m} {report.figure(figures[m], m)}" for m in work.metrics if m in figures)
            print(f"  {work.name} {name:6} {shown}  ({time.perf_counter() - began:.1f} s)", flush=True)
    return found, failures


def open_seats(stack: contextlib.ExitStack, wanted: set[str], s3: str) -> dict[str, Cluster]:
    """Only those that are needed; each of ours with a PostgreSQL of its own, so that nobody pays for the others' idling."""
    seats: dict[str, Cluster] = {}
    if KAFKA in wanted:
        seats[KAFKA] = stack.enter_context(KafkaCluster())
    for name, engine in ((OURS, s3), (FILES, "files")):
        if name in wanted:
            blobs = stack.enter_context(blob_engine(engine))
            seats[name] = stack.enter_context(MoldauCluster(stack.enter_context(Database()), blobs))
    return seats


def run(
    works: Sequence[Work], rounds: int, quick: bool, s3: str, keep: Callable[[report.Results], None]
) -> tuple[report.Results, int]:
    """`keep` is told of all results after each work. Raises BrokerError."""
    results: report.Results = {}
    failures = 0
    with contextlib.ExitStack() as stack:
        seats = open_seats(stack, {name for work in works for name in work.seats}, s3)
        for name, seat in seats.items():
            records = WARM_RECORDS if name == KAFKA else WARM_RECORDS // 10
            print(f"warming {name}: {len(seat.nodes)} brokers at {seat.bootstrap}", flush=True)
            measure.warm(seat, records // (8 if quick else 1))
        for work in works:
            print(f"{work.name}: {work.title}", flush=True)
            records = work.quick_records if quick else work.records
            results[work.name], failed = run_work(work, seats, records, min(rounds, work.rounds_max))
            failures += failed
            keep(results)
    return results, failures


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench --cluster", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", metavar="NAME", choices=list(BY_NAME), help="this one; repeatable")
    parser.add_argument("--quick", action="store_true", help="one round of small loads, Kafka warmed with an eighth")
    parser.add_argument("--rounds", type=int, help="default 3, with --quick 1; slow works take fewer")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks-cluster.md")
    parser.add_argument("--s3", choices=S3_ENGINES, default=S3_ENGINES[0], help="the object store of the seat 'ours'")
    parser.add_argument(
        "--keep", action="store_true", help="what bench/out/cluster.json has of other works stays in it"
    )
    parser.add_argument("--again", action="store_true", help="report bench/out/cluster.json again, without running")
    parser.add_argument("--list", action="store_true", help="list what is measured")
    return parser


def main(argv: Sequence[str]) -> int:
    o = arguments().parse_args(argv)
    if o.list:
        for work in WORKS:
            print(f"{work.name:18} {work.title}")
        return 0
    OUT.mkdir(parents=True, exist_ok=True)
    kept = OUT / "cluster.json"
    failures = 0
    before = json.loads(kept.read_text()) if (o.keep or o.again) and kept.exists() else {"results": {}, "about": {}}
    if o.again:
        results, about = before["results"], before["about"]
    else:
        rounds = o.rounds or (1 if o.quick else 3)
        about = {
            **machine.describe(),
            "settings": f"{rounds} rounds{', quick' if o.quick else ''}; Kafka: 1 GiB heap a broker; ours: defaults",
            "engine": f"PostgreSQL 16 (fsync on); {o.s3} and a shared directory",
        }

        def keep(found: report.Results) -> None:
            merged = {**before["results"], **found}
            ordered = {work.name: merged[work.name] for work in WORKS if work.name in merged}
            kept.write_text(json.dumps({"about": about, "results": ordered}, indent=1))

        works = [BY_NAME[name] for name in o.only] if o.only else WORKS
        try:
            _, failures = run(works, rounds, o.quick, o.s3, keep)
        except (BrokerError, LoadError, TimeoutError) as e:
            print(e, file=sys.stderr)
            return 1
        results = json.loads(kept.read_text())["results"]
    report.print_table(results)
    if o.write:
        page = CHECKOUT / "docs" / "benchmarks-cluster.md"
        page.write_text(report.markdown(results, about))
        print(f"wrote {page}")
    return 1 if failures else 0
