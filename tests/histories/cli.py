"""`python -m tests.histories`: runs with faults on a cluster of one kind, and the check of a history that was kept.

    python -m tests.histories --seed 7 --seconds 30 --cluster single --faults kill,pause
    python -m tests.histories --seed 7 --seconds 30 --cluster file --transactions
    python -m tests.histories --check build/histories/seed-7.jsonl

Ends with status 1 when there is an anomaly, or a client or broker did what it must not; then the history and the brokers' logs are kept.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

from support.cluster import Brokers, Cluster, Single
from support.replicated import Replicated

from . import history, ledger
from .checker import check, report
from .faults import KINDS
from .summary import table
from .transactional import SETTINGS
from .workload import Plan, run

CLUSTERS = ("single", "file", "minio", "versitygw", "replicated")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    asked = _parser().parse_args(arguments)
    if asked.check:
        return _check(asked.check)
    failures = sum(_one(asked, asked.seed + number) for number in range(asked.repeat))
    print(f"{asked.repeat} runs, {failures} of them with something wrong")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.histories", description="Nothing acknowledged is lost.")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20), help="of the faults and the clients")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long clients work")
    parser.add_argument("--cluster", choices=CLUSTERS, default="single", help="the stores")
    parser.add_argument("--brokers", type=int, default=3, help="of a cluster that is not single")
    parser.add_argument("--faults", help=f"some of {','.join(KINDS)}; 'none'; without it all that the cluster can")
    parser.add_argument("--repeat", type=int, default=1, help="runs, with seeds that count up")
    parser.add_argument("--rate", type=float, default=60.0, help="records of each producer in a second")
    parser.add_argument("--transactions", action="store_true", help="clients with transactions, and no others")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of every broker")
    parser.add_argument("--out", type=Path, default=Path("build/histories"), help="where histories are kept")
    parser.add_argument("--save", action="store_true", help="keep the history of a good run too")
    parser.add_argument("--ledger", type=Path, metavar="FILE", help="add a line about each run to it")
    parser.add_argument("--check", type=Path, metavar="FILE", help="check a kept history, and run nothing")
    return parser


def _check(path: Path) -> int:
    kept = history.read(path)
    anomalies = check(kept)
    print(table(kept))
    print(report(anomalies, 50))
    return 1 if anomalies else 0


def cluster_of(kind: str, brokers: int, settings: dict[str, str]) -> Brokers:
    """Not yet open."""
    if kind == "replicated":
        return Replicated(brokers, **settings)
    return Single(**settings) if kind == "single" else Cluster(brokers, kind, **settings)


def faults_of(asked: str | None, cluster: Brokers) -> list[str]:
    """Raises SystemExit for what the cluster cannot suffer."""
    if asked is None:
        return sorted(cluster.can)
    wanted = [] if asked == "none" else asked.split(",")
    unable = [name for name in wanted if name not in cluster.can]
    if unable:
        raise SystemExit(f"this cluster has no {', '.join(unable)}; it has {', '.join(sorted(cluster.can))}")
    return wanted


def _one(asked: argparse.Namespace, seed: int) -> bool:
    """Whether something was wrong."""
    settings = {**SETTINGS, **dict(each.split("=", 1) for each in asked.set)}
    cluster = cluster_of(asked.cluster, asked.brokers, settings)
    plan = Plan(seed, asked.seconds, faults_of(asked.faults, cluster), per_second=asked.rate)
    plan.transactions = asked.transactions
    print(
        f"-- seed {seed}: {asked.seconds:.0f} s on {asked.cluster}, faults {','.join(plan.faults) or 'none'}",
        flush=True,
    )
    with cluster:
        outcome = run(cluster, plan)
        logs = cluster.logs(1 << 20)
    anomalies = check(outcome.history)
    print(table(outcome.history))
    print(report(anomalies))
    for text in outcome.trouble:
        print(f"trouble: {text}")
    if asked.ledger:
        ledger.append(asked.ledger, ledger.line(asked.cluster, len(cluster.nodes), plan, outcome, anomalies))
    wrong = bool(anomalies or outcome.trouble)
    if wrong or asked.save:
        asked.out.mkdir(parents=True, exist_ok=True)
        kept = asked.out / f"{asked.cluster}-seed-{seed}.jsonl"
        history.write(kept, sorted(outcome.history, key=lambda op: op.start))
        kept.with_suffix(".log").write_text(logs)
        print(f"kept in {kept}; check it again with: python -m tests.histories --check {kept}")
    return wrong
