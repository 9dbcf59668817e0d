"""Run one of these workloads on one seat and turn what came back into metrics."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Callable

from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from bench import programs
from bench.measure import Figures
from bench.programs import JAVA, LoadError
from bench.topics import Topics
from bench.workloads import OURS, Workload
from conformance.common.brokers import Broker

WARM_SECONDS, SECONDS = 5.0, 5.0
INPUT_RECORDS = 400_000
"""Of each partition that is read; read again from the begin when it is through."""
KEYS_PART = 10
"""Records for each key."""
RECORD_BYTES = 100
AGE_SECONDS = 6.0
"""A record has been there for that long when it is compacted: with us five seconds are the least."""
BESIDE_SECONDS = 8.0
SEGMENT_BYTES = 32 << 20
"""Kafka leaves the newest of these alone."""
CLEANED_SECONDS_MAX = 90.0

_serial = itertools.count(1)
_OURS_SAYS = re.compile(r"event=compacted .*bytes_read=(\d+) .*records_removed=(\d+) .*seconds=([\d.]+)")
_KAFKA_SAYS = re.compile(
    r"cleaned log (\S+)-0 .*?processed in ([\d.,]+) seconds.*?Start size: ([\d.,]+) MB \(([\d.,]+) messages\)"
    r".*?End size: ([\d.,]+) MB \(([\d.,]+) messages\)",
    re.DOTALL,
)


class Seat:
    """A broker, and the topic of input that all rounds share."""

    def __init__(self, name: str, broker: Broker) -> None:
        self.name = name
        self.broker = broker
        self.topics = Topics(broker.bootstrap)
        self._admin = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 2})
        self._input = ""

    def topic(self, workload: str, partitions: int) -> str:
        name = f"{workload}-{self.name}-{next(_serial)}"
        self.topics.make(name, partitions)
        return name

    def input(self, partitions: int) -> str:
        """Filled when it is first asked for."""
        if not self._input:
            self._input = self.topic("input", partitions)
            options = ["--partitions", str(partitions), "--records", str(int(INPUT_RECORDS * partitions * 1.02))]
            options += ["--size", str(RECORD_BYTES), "--batch-bytes", "16384", "--connections", str(partitions)]
            programs.rawload("produce", self.broker.bootstrap, self._input, options, 180)
        return self._input

    def set_configs(self, topic: str, configs: dict[str, str]) -> None:
        entries = [ConfigEntry(k, v, incremental_operation=AlterConfigOpType.SET) for k, v in configs.items()]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        self._admin.incremental_alter_configs([resource])[resource].result(30)


def process(seat: Seat, w: Workload, records: int) -> Figures:
    """Consume, produce, send offsets, commit."""
    source, target = seat.input(w.partitions), seat.topic(w.name, w.partitions)
    command = [JAVA, "bench/transactions/ReadProcessWrite.java", seat.broker.bootstrap, source, target]
    command += [str(w.partitions), str(records), str(INPUT_RECORDS), str(WARM_SECONDS), str(SECONDS)]
    try:
        found, cpu = programs.counted(seat.broker, command, WARM_SECONDS + SECONDS + 60)
    finally:
        seat.topics.drop(target)
    if not found["transactions"]:
        raise LoadError("no transaction was committed")
    return {
        "transactions_s": found["transactions"] / found["seconds"],
        "records_s": found["records"] / found["seconds"],
        "commit_p50_ms": found["commit_p50_ms"],
        "commit_p99_ms": found["commit_p99_ms"],
        "cpu_s_per_m": cpu / found["records"] * 1e6,
    }


def end(seat: Seat, w: Workload, rounds: int) -> Figures:
    """EndTxn."""
    topic = seat.topic(w.name, w.partitions)
    command = [sys.executable, "-m", "bench.transactions.rawtxn", seat.broker.bootstrap, topic]
    try:
        found, cpu = programs.counted(seat.broker, [*command, str(w.partitions), str(rounds)], 120)
    finally:
        seat.topics.drop(topic)
    metrics = ("p50_ms", "p99_ms", "complete_p50_ms", "complete_p99_ms")
    return {**{m: found[m] for m in metrics}, "cpu_us_per_transaction": cpu / rounds * 1e6}


def _filled(seat: Seat, w: Workload, records: int) -> str:
    """A topic of keyed records that is not compacted yet, and old enough to be."""
    topic = seat.topic(w.name, 1)
    seat.set_configs(topic, {"segment.bytes": str(SEGMENT_BYTES), "min.cleanable.dirty.ratio": "0.01"})
    command = [sys.executable, "-m", "bench.transactions.keyed", seat.broker.bootstrap, topic]
    programs.run([*command, str(records), str(records // KEYS_PART)], 300)
    time.sleep(AGE_SECONDS)
    return topic


def _said(seat: Seat, topic: str, begin: int) -> Figures | None:
    """What the broker's log says of a run of the cleaner over the topic, `begin` bytes into it or later."""
    with seat.broker.log.open("rb") as log:
        log.seek(begin)
        text = log.read().decode(errors="replace")
    if seat.name == OURS:
        runs = list(_OURS_SAYS.finditer(text))
        if not runs:
            return None
        read, removed, seconds = max((int(run[1]), int(run[2]), float(run[3])) for run in runs)
        return {"mb": read / 1e6, "removed": removed, "seconds": seconds}
    for run in _KAFKA_SAYS.finditer(text):
        if run[1] == topic:
            seconds, mib, messages, _, left = (float(run[n].replace(",", "")) for n in (2, 3, 4, 5, 6))
            return {"mb": mib * 2**20 / 1e6, "removed": messages - left, "seconds": seconds}
    return None


def compaction(seat: Seat, w: Workload, records: int) -> Figures:
    """From the change of the policy until the cleaner says that it is through; MB are those that it found."""
    topic = _filled(seat, w, records)
    begin = seat.broker.log.stat().st_size
    try:
        before = seat.broker.cpu_seconds()
        seat.set_configs(topic, {"cleanup.policy": "compact"})
        deadline = time.monotonic() + CLEANED_SECONDS_MAX
        while (said := _said(seat, topic, begin)) is None:
            if time.monotonic() > deadline:
                raise LoadError(f"the cleaner was not through after {CLEANED_SECONDS_MAX:.0f} s")
            time.sleep(0.05)
        cpu = seat.broker.cpu_seconds() - before
    finally:
        seat.topics.drop(topic)
    return {
        "mb_s": said["mb"] / said["seconds"],
        "seconds": said["seconds"],
        "records_left": records - said["removed"],
        "cpu_s_per_m": cpu / records * 1e6,
    }


def beside_cleaner(seat: Seat, w: Workload, records: int) -> Figures:
    """The load alone, then while the cleaner works. Raises LoadError when that was through too early."""
    compacted, topic = _filled(seat, w, records), seat.topic(f"{w.name}-load", w.partitions)
    rate = sum(float(w.load[at + 1]) for at in range(len(w.load)) if w.load[at] in ("--rate",))
    connections = sum(int(w.load[at + 1]) for at in range(len(w.load)) if w.load[at] in ("--connections",))
    options = ["--partitions", str(w.partitions), "--records", str(int(rate * connections * BESIDE_SECONDS)), *w.load]
    begin = seat.broker.log.stat().st_size
    try:
        alone = programs.rawload("produce", seat.broker.bootstrap, topic, options, 60)
        seat.set_configs(compacted, {"cleanup.policy": "compact"})
        time.sleep(1.0)
        beside = programs.rawload("produce", seat.broker.bootstrap, topic, options, 60)
        if _said(seat, compacted, begin) is not None:
            raise LoadError("the cleaner was through before the load")
        deadline = time.monotonic() + CLEANED_SECONDS_MAX
        while _said(seat, compacted, begin) is None:
            if time.monotonic() > deadline:
                raise LoadError("the cleaner never worked")
            time.sleep(0.05)
    finally:
        seat.topics.drop(topic)
        seat.topics.drop(compacted)
    return {
        "p50_ms": beside["p50_ms"],
        "p99_ms": beside["p99_ms"],
        "alone_p99_ms": alone["p99_ms"],
        "part_of_p99": beside["p99_ms"] / alone["p99_ms"],
    }


KINDS: dict[str, Callable[[Seat, Workload, int], Figures]] = {
    "process": process,
    "end": end,
    "compaction": compaction,
    "beside-cleaner": beside_cleaner,
}
