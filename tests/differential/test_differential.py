"""The same requests to Apache Kafka and to us: every answer is the same, or `differences.toml` says why not.

Kafka's answers are recorded (`recorded/*.json`, by `record.py`), so that this runs without Java; `record.py --check` asks a live
Kafka whether they still are its answers. We are one broker alone, one that shares its stores, and three: there each request goes where clients
take it (`routing.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answers import RECORDED, SETTINGS, Difference, by_name, compare, load, names, play_all, served
from explained import read
from routing import Router

from conformance.common.brokers import Moldau
from conformance.common.cluster import Cluster
from moldau.protocol import api_keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SHOWN = 25


class Ours:
    """Our brokers, and what they answered: each scenario is played once."""

    def __init__(self, brokers: int, port: int) -> None:
        self.port = port
        self.ranges = served(port)
        self.explanations = read(brokers)
        self._router = Router(port) if brokers > 1 else None
        self._found: dict[str, list[Difference]] = {}

    def missing(self, name: str) -> str:
        """Why a scenario cannot be played: the APIs that are not served."""
        s = by_name(name)
        return ", ".join(api_keys.name(k) for k in (s.api_key, *s.needs) if k not in self.ranges)

    def differences(self, name: str) -> list[Difference]:
        if name not in self._found:
            recorded, found = load(name), play_all(self.port, [name], router=self._router)[name]
            self._found[name] = list(compare(name, recorded, found))
            assert recorded.keys() & found.keys(), f"no version of {name} in common: {recorded.keys()}, {found.keys()}"
        return self._found[name]


@pytest.fixture(scope="session", params=["alone", "shared stores", "three"])
def ours(request: pytest.FixtureRequest) -> Iterator[Ours]:
    brokers = 3 if request.param == "three" else 1
    with Moldau(SETTINGS) if request.param == "alone" else Cluster(brokers, SETTINGS) as broker:
        yield Ours(brokers, broker.port)


@pytest.mark.parametrize("name", names())
def test_answers_are_kafkas(ours: Ours, name: str) -> None:
    assert not (missing := ours.missing(name)), f"not served: {missing}"
    unexplained = [d for d in ours.differences(name) if not any(e.covers(d) for e in ours.explanations)]
    told: dict[str, list[str]] = {}
    for d in unexplained:
        told.setdefault(f"{d.label!r} {d.path}: Kafka {d.kafka!r}, ours {d.ours!r}", []).append(d.version)
    lines = [f"version {', '.join(versions)}: {text}" for text, versions in told.items()]
    assert not lines, f"{len(unexplained)} differences:\n" + "\n".join(lines[:SHOWN])


def test_every_recorded_answer_has_its_scenario() -> None:
    assert {path.stem for path in RECORDED.glob("*.json")} == set(names())


@pytest.mark.timeout(400)  # the first of its broker: it plays all scenarios
def test_every_explanation_is_needed(ours: Ours) -> None:
    differences = [d for name in names() for d in ours.differences(name)]
    stale = [str(e) for e in ours.explanations if not any(e.covers(d) for d in differences)]
    assert not stale, "\n".join(stale)
