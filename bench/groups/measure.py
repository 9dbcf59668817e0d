"""Run one of these workloads on one seat and turn what came back into metrics."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable

from bench import programs
from bench.groups.workloads import MEMBERS
from bench.measure import Figures, Seat
from bench.workloads import KAFKA, Workload

KILLS = 1
WARM_REQUESTS = {True: 20_000, False: 3_000}
"""Of a seat of Apache Kafka, and of ours: what they were asked before anything counts."""


def _command(program: str, seat: Seat, topic: str, w: Workload, *numbers: object) -> list[str]:
    head = [sys.executable, "-m", f"bench.groups.{program}", seat.broker.bootstrap, topic, str(w.partitions)]
    return [*head, *map(str, numbers)]


def rebalance(seat: Seat, w: Workload, rounds: int) -> Figures:
    """The median of the changes of each kind."""
    topic = seat.topic(w.name, w.partitions)
    try:
        command = _command("rebalance", seat, topic, w, MEMBERS, rounds, KILLS)
        found = json.loads(programs.run(command, 300).splitlines()[-1])
    finally:
        seat.topics.drop(topic)
    return {metric: statistics.median(found[metric]) for metric in w.metrics}


def request(seat: Seat, w: Workload, requests: int) -> Figures:
    """CPU of the broker for each."""
    topic = seat.topic(w.name, w.partitions)
    try:
        command = _command("requests", seat, topic, w, MEMBERS, *w.load, WARM_REQUESTS[seat.name == KAFKA], requests)
        found, cpu = programs.counted(seat.broker, command, 180)
    finally:
        seat.topics.drop(topic)
    return {
        "requests_s": found["requests"] / found["seconds"],
        "cpu_us_per_request": cpu / found["requests"] * 1e6,
    }


def share(seat: Seat, w: Workload, records: int) -> Figures:
    """All records of a topic, in batches as a busy producer's (16 KB)."""
    topic = seat.topic(w.name, w.partitions)
    options = ["--partitions", str(w.partitions), "--records", str(records), "--batch-bytes", "16384"]
    options += ["--connections", str(w.partitions)]
    try:
        there = programs.rawload("produce", seat.broker.bootstrap, topic, options, 120)["records"]
        found, cpu = programs.counted(seat.broker, _command("sharing", seat, topic, w, *w.load, there), 240)
    finally:
        seat.topics.drop(topic)
    return {"records_s": found["records"] / found["seconds"], "cpu_s_per_m": cpu / found["records"] * 1e6}


KINDS: dict[str, Callable[[Seat, Workload, int], Figures]] = {
    "rebalance": rebalance,
    "request": request,
    "share": share,
}
