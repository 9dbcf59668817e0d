"""What is kept of every run, good or not: one JSON object a line. `tools/docs/reliability.py` makes the table of docs/reliability.md of it."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .history import OK, Poll, Send, Txn

if TYPE_CHECKING:
    from .anomaly import Anomaly
    from .workload import Outcome, Plan

KEPT = Path(__file__).with_name("runs.jsonl")
"""The runs that the page counts; others are written where `--ledger` says."""


def line(cluster: str, brokers: int, plan: Plan, outcome: Outcome, anomalies: list[Anomaly]) -> dict[str, Any]:
    """`seconds` are those in which clients worked; `records` were acknowledged; `wrong` counts anomalies by their kind, and trouble."""
    sends = [op for op in outcome.history if isinstance(op, Send)]
    wrong = Counter(anomaly.kind for anomaly in anomalies)
    if outcome.trouble:
        wrong["trouble"] = len(outcome.trouble)
    txns = [op for op in outcome.history if isinstance(op, Txn)]
    counts = {"transactions": len(txns), "committed": sum(txn.result == OK for txn in txns)} if txns else {}
    return {
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cluster": cluster,
        "brokers": brokers,
        "seed": plan.seed,
        "seconds": plan.seconds,
        "faults": dict(sorted(Counter(fault.kind for fault in outcome.faults).items())),
        "sends": len(sends),
        "records": sum(send.result == OK for send in sends),
        "read": sum(len(op.records) for op in outcome.history if isinstance(op, Poll)),
        **counts,
        "operations": len(outcome.history),
        "wrong": dict(sorted(wrong.items())),
    }


def append(path: Path, run: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")


def read(path: Path = KEPT) -> list[dict[str, Any]]:
    """In the order in which they ended."""
    return [json.loads(each) for each in path.read_text("utf-8").splitlines()] if path.exists() else []
