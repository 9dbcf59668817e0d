"""python -m bench --cluster [--only NAME]... [--quick] [--rounds N] [--write] [--s3 minio|versitygw] [--keep]

Three brokers of ours beside three of Apache Kafka. All clusters run at once, each idle while another is measured; rounds begin one seat later each
time. Leaves ``cluster.json`` in ``bench/out``; ``--write`` also writes ``docs/benchmarks-cluster.md``. Needs Java, Maven and an S3 server
(``make s3-servers``). Exit status 1 when a measurement failed; missed targets are shown, and are no failure.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from bench.cluster import measure, report
from bench.cluster.seats import Cluster, KafkaCluster, MoldauCluster
from bench.cluster.stores import S3_ENGINES, Database, blob_engine
from bench.cluster.workloads import FILES, KAFKA, OURS, WORKS, Work
from bench.programs import LoadError
from bench.session import Session
from conformance.common.brokers import BrokerError

WARM_RECORDS = 30_000_000
"""Three brokers, and each record on all of them: with 8 million they were half as fast in the first works, and grew faster all the while."""


def warm_records(quick: bool) -> int:
    """Those of Kafka's brokers."""
    return WARM_RECORDS // (8 if quick else 1)


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
            blobs = blob_engine(engine)
            stack.enter_context(blobs)
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
            records = warm_records(quick) // (1 if name == KAFKA else 10)
            print(f"warming {name}: {len(seat.nodes)} brokers at {seat.bootstrap}", flush=True)
            measure.warm(seat, records)
        for work in works:
            print(f"{work.name}: {work.title}", flush=True)
            records = work.quick_records if quick else work.records
            results[work.name], failed = run_work(work, seats, records, min(rounds, work.rounds_max))
            failures += failed
            keep(results)
    return results, failures


def main(argv: Sequence[str]) -> int:
    session = Session("cluster", __doc__, WORKS, report.print_table, report.markdown)
    parser = session.parser()
    parser.add_argument("--s3", choices=S3_ENGINES, default=S3_ENGINES[0], help="the object store of the seat 'ours'")
    o = parser.parse_args(argv)

    def measured(works: Sequence[Work], rounds: int, quick: bool, keep: Callable[[report.Results], None]) -> int:
        return run(works, rounds, quick, o.s3, keep)[1]

    told = f"Kafka: 1 GiB heap a broker, warmed with {warm_records(o.quick):,} records; ours: defaults"
    return session.main(o, told, f"PostgreSQL 16 (fsync on); {o.s3} and a shared directory", measured)
