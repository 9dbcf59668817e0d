"""The same requests to Apache Kafka and to us: every answer is the same, or `differences.toml` says why not.

Kafka's answers are recorded (`recorded/*.json`, by `record.py`), so that this runs without Java; the test marked `java` asks a
live Kafka whether they still are its answers.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answers import PAUSE, SETTINGS, Difference, by_name, compare, load, names, play_all, served
from explained import read

from conformance.common.brokers import Kafka, Moldau
from moldau.protocol import api_keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SHOWN = 25


class Ours:
    """Our broker, and what it answered: each scenario is played once."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.ranges = served(port)
        self._found: dict[str, list[Difference]] = {}

    def missing(self, name: str) -> str:
        """Why a scenario cannot be played: the APIs that are not served."""
        s = by_name(name)
        return ", ".join(api_keys.name(k) for k in (s.api_key, *s.needs) if k not in self.ranges)

    def differences(self, name: str) -> list[Difference]:
        if name not in self._found:
            recorded, found = load(name), play_all(self.port, [name])[name]
            self._found[name] = list(compare(name, recorded, found))
            assert recorded.keys() & found.keys(), f"no version of {name} in common: {recorded.keys()}, {found.keys()}"
        return self._found[name]


@pytest.fixture(scope="session")
def ours() -> Iterator[Ours]:
    with Moldau(SETTINGS) as broker:
        yield Ours(broker.port)


@pytest.mark.parametrize("name", names())
def test_answers_are_kafkas(ours: Ours, name: str) -> None:
    if missing := ours.missing(name):
        pytest.skip(f"not served yet: {missing}")
    explanations = read()
    unexplained = [d for d in ours.differences(name) if not any(e.covers(d) for e in explanations)]
    told = [f"v{d.version} {d.label!r} {d.path}: Kafka {d.kafka!r}, ours {d.ours!r}" for d in unexplained]
    assert not told, f"{len(told)} differences:\n" + "\n".join(told[:SHOWN])


def test_every_explanation_is_needed(ours: Ours) -> None:
    playable = [name for name in names() if not ours.missing(name)]
    if len(playable) < len(names()):
        pytest.skip(f"scenarios that cannot be played yet: {sorted(set(names()) - set(playable))}")
    differences = [d for name in playable for d in ours.differences(name)]
    stale = [str(e) for e in read() if not any(e.covers(d) for d in differences)]
    assert not stale, "\n".join(stale)


@pytest.mark.java
@pytest.mark.timeout(600)
def test_the_recorded_answers_are_kafkas() -> None:
    with Kafka({**SETTINGS, "authorizer.class.name": ""}) as kafka:
        found = play_all(kafka.port, names(), PAUSE)
    assert [d for name in names() for d in compare(name, load(name), found[name])] == []
