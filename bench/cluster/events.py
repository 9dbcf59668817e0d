"""Things that happen to brokers while clients watch how long they wait (`watchers.py`)."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from bench.cluster.seats import Cluster, KafkaCluster, MoldauCluster
from bench.cluster.watchers import CLIENTS, PARTITIONS, Watchers
from bench.cluster.workloads import Work

Figures = dict[str, float]

QUIET_SECONDS = 2.0
"""Before the event."""
AFTER_SECONDS = 6.0
KAFKA_AFTER_SECONDS = 25.0
"""Kafka's controller waits nine seconds for the heartbeat of a broker."""


def _after(seat: Cluster) -> float:
    return KAFKA_AFTER_SECONDS if isinstance(seat, KafkaCluster) else AFTER_SECONDS


def _watched(seat: Cluster, w: Work, happens: Callable[[], None]) -> Figures:
    topics = {client: seat.topics.make(f"{w.name}-{client}", PARTITIONS) for client in CLIENTS}
    with Watchers(seat.bootstrap, topics) as watchers:
        time.sleep(QUIET_SECONDS)
        happens()
        found = watchers.results()
    for topic in topics.values():
        seat.topics.drop(topic)
    stalls = {f"stall_{client}_s": found[client]["stall_s"] for client in CLIENTS}
    return {
        "stall_s": max(stalls.values()),
        **stalls,
        "errors": sum(each["errors"] for each in found.values()),
        "lost": sum(each["lost"] for each in found.values()),
    }


def failover(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """kill -9, each round another broker; it comes back afterwards."""
    node = seat.nodes[round_number % len(seat.nodes)]

    def killed() -> None:
        node.end(signal.SIGKILL)
        time.sleep(_after(seat))

    try:
        return _watched(seat, w, killed)
    finally:
        node.start()
        time.sleep(2.0)


def join(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """One more broker; it leaves afterwards."""
    assert isinstance(seat, MoldauCluster)
    node = seat.node(len(seat.nodes) + 1)

    def comes() -> None:
        node.start()
        time.sleep(AFTER_SECONDS)

    try:
        return _watched(seat, w, comes)
    finally:
        node.end()
        time.sleep(2.0)


def restart(seat: Cluster, w: Work, records: int, round_number: int) -> Figures:
    """SIGTERM, and a new start; the next when the one before has had some seconds."""

    def restarted() -> None:
        for node in seat.nodes:
            node.end()
            node.start()
            time.sleep(_after(seat) / 2)

    return _watched(seat, w, restarted)
