"""Playing all scenarios against a broker, keeping the notes as JSON, and comparing two sets of notes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import scenarios_batches
import scenarios_cluster
import scenarios_configs
import scenarios_consumer
import scenarios_fetch
import scenarios_groups
import scenarios_log
import scenarios_offsets
import scenarios_producers
import scenarios_share
import scenarios_streams
import scenarios_topics
import scenarios_transactions
import scenarios_wire
from conversation import SCENARIOS, Notes, Scenario, play
from routing import Router
from wire import Wire

from moldau.protocol import api_keys
from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.registry import request_class

MODULES = (
    scenarios_wire,
    scenarios_batches,
    scenarios_cluster,
    scenarios_configs,
    scenarios_consumer,
    scenarios_fetch,
    scenarios_groups,
    scenarios_log,
    scenarios_offsets,
    scenarios_producers,
    scenarios_share,
    scenarios_streams,
    scenarios_topics,
    scenarios_transactions,
)
RECORDED = Path(__file__).resolve().parent / "recorded"
# both brokers run with these
SETTINGS = {
    "auto.create.topics.enable": "true",
    "num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "100",
    "group.max.size": "3",
    "group.consumer.assignment.interval.ms": "0",
    "group.streams.initial.rebalance.delay.ms": "0",
    "group.streams.assignment.interval.ms": "0",
}
PAUSE = 0.25  # Apache Kafka's
Versions = dict[str, Notes]  # version of the scenario's API, as text -> notes


def names() -> list[str]:
    return [s.name for s in SCENARIOS]


def by_name(name: str) -> Scenario:
    return next(s for s in SCENARIOS if s.name == name)


def served(port: int) -> dict[int, tuple[int, int]]:
    """What the broker advertises."""
    wire = Wire(port)
    try:
        wire.send(api_keys.API_VERSIONS, 0, ApiVersionsRequest())
        answer: Any = wire.receive()
        return {a.api_key: (a.min_version, a.max_version) for a in answer.api_keys}
    finally:
        wire.close()


def versions_of(s: Scenario, ranges: dict[int, tuple[int, int]]) -> range:
    """The versions that a broker advertises and we can write."""
    if s.api_key not in ranges:
        return range(0)
    low, high = ranges[s.api_key]
    ours = request_class(s.api_key)
    return range(max(low, ours.MIN_VERSION), min(high, ours.MAX_VERSION) + 1)


def play_all(port: int, wanted: Iterable[str], pause: float = 0.0, router: Router | None = None) -> dict[str, Versions]:
    """All versions of the scenarios. `pause`: seconds that the broker may take to apply what it has answered. `router`: says which of
    several brokers a request goes to."""
    ranges = served(port)
    found: dict[str, Versions] = {}
    for name in wanted:
        s = by_name(name)
        notes = {str(v): play(s, port, v, pause, router) for v in versions_of(s, ranges)}
        found[name] = {v: n for v, n in notes.items() if n}
    return found


def store(name: str, versions: Versions) -> None:
    """One answer per line: an answer that is the one of the version before is kept as `"="`."""
    RECORDED.mkdir(exist_ok=True)
    lines, before = [], {}
    for version, notes in versions.items():
        rows = []
        for label, answer in notes:
            same = label in before and before[label] == answer
            rows.append(f"  {json.dumps([label, '=' if same else answer], ensure_ascii=False)}")
            before[label] = answer
        lines.append(f' "{version}": [\n' + ",\n".join(rows) + "\n ]")
    (RECORDED / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def load(name: str) -> Versions:
    versions: Versions = json.loads((RECORDED / f"{name}.json").read_text())
    before: dict[str, Any] = {}
    for notes in versions.values():
        for note in notes:
            if note[1] == "=":
                note[1] = before[note[0]]
            before[note[0]] = note[1]
    return versions


class Difference(NamedTuple):
    scenario: str
    version: str
    label: str
    path: str
    kafka: Any
    ours: Any


KEYS = ["api_key", "name", "topic", "group_id", "resource_name", "feature", "partition_index", "index", "partition"]
KEYS += ["partition_id", "member_id", "replica_id"]


def keyed(items: list[Any], others: list[Any]) -> dict[str, Any]:
    """Items by what tells them apart: a name or number where there is one (0 is left out), else the position."""
    everything = [*items, *others]
    key = next((k for k in KEYS if any(isinstance(x, dict) and k in x for x in everything)), None)
    found: dict[str, Any] = {}
    for i, item in enumerate(items):
        name = str(item.get(key, 0)) if key and isinstance(item, dict) else f"#{i}"
        again = 2
        while name in found:
            name = f"{name.split('#')[0]}#{again}"
            again += 1
        found[name] = item
    return found


def differing(a: Any, b: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The smallest parts in which two answers differ; what only one side has is one part: `topics[t].partitions[0]`."""
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in [*a, *(k for k in b if k not in a)]:
            yield from differing(a.get(key), b.get(key), f"{path}.{key}" if path else key)
    elif isinstance(a, list) and isinstance(b, list):
        ours, theirs = keyed(b, a), keyed(a, b)
        for key in [*theirs, *(k for k in ours if k not in theirs)]:
            yield from differing(theirs.get(key), ours.get(key), f"{path}[{key}]")
    else:
        yield path, a, b


def compare(name: str, kafka: Versions, ours: Versions) -> Iterator[Difference]:
    """Every part in which two sets of notes differ, for the versions that both have."""
    for version in sorted(kafka.keys() & ours.keys(), key=int):
        theirs, mine = dict(map(tuple, kafka[version])), dict(map(tuple, ours[version]))
        for label in [*theirs, *(x for x in mine if x not in theirs)]:
            found = differing(theirs.get(label, "not asked"), mine.get(label, "not asked"))
            yield from (Difference(name, version, label, *d) for d in found)
