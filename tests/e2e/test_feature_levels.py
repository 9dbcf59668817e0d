"""Levels of features are raised when every live broker can serve them, at all brokers at once; a broker that cannot serve what is finalized does not start, and ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from support.aio import run
from support.direct import Direct
from support.wire import Wire

from moldau.broker import features
from moldau.broker.assembly import FORMAT_VERSION
from moldau.metadata.opening import Stores, open_stores
from moldau.metadata.rows import BrokerRow
from moldau.protocol import error_codes
from moldau.protocol.messages.api_versions import ApiVersionsRequest
from moldau.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

OLDER = json.dumps({**features.SUPPORTED, "transaction.version": [0, 1]})
"""What a broker of an earlier release might have registered."""


@pytest.fixture
def cluster() -> Iterator[Direct]:
    with Direct(2) as cluster:
        yield cluster


def in_store(cluster: Direct, body: Callable[[Stores], object]) -> None:
    async def main() -> None:
        stores = await open_stores(cluster.postgres.url(cluster._database), FORMAT_VERSION, 1)
        try:
            await body(stores)  # type: ignore[misc]
        finally:
            await stores.close()

    run(main())


def told(cluster: Direct) -> list[dict[str, int]]:
    """What each broker says is finalized."""
    found = []
    for node in cluster.nodes.values():
        with Wire(node.address) as wire:
            answer = wire.ask(ApiVersionsRequest(client_software_name="x", client_software_version="1"), 4)
        found.append({each.name: each.max_version_level for each in answer.finalized_features})
    return found


def epochs(cluster: Direct) -> list[int]:
    """How far each broker has followed; clients take levels only where that is more than they know."""
    found = []
    for node in cluster.nodes.values():
        with Wire(node.address) as wire:
            answer = wire.ask(ApiVersionsRequest(client_software_name="x", client_software_version="1"), 4)
        found.append(answer.finalized_features_epoch)
    return found


def until(holds: Callable[[], bool], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


def update(address: str, level: int, kind: int) -> tuple[int, str | None]:
    with Wire(address) as wire:
        key = FeatureUpdateKey(feature="transaction.version", max_version_level=level, upgrade_type=kind)
        answer = wire.ask(UpdateFeaturesRequest(timeout_ms=5000, feature_updates=[key]), 2)
    return answer.error_code, answer.error_message or None


def upgrade(cluster: Direct, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moldau", "cluster", "upgrade", "-b", cluster.bootstrap, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=20)


def test_all_or_none(cluster: Direct) -> None:
    newest = features.finalized(features.at_first())
    assert told(cluster) == [newest, newest], "a new cluster begins with the highest levels"
    before = max(epochs(cluster))
    assert update(cluster.address(1), 0, 2) == (0, None)
    lower = {name: level for name, level in newest.items() if name != "transaction.version"}
    until(lambda: told(cluster) == [lower, lower], lambda: told(cluster))
    assert min(epochs(cluster)) > before

    in_store(cluster, lambda it: it.cluster.start_broker(9, None, "", "0.0.9", 1, OLDER))
    why = "broker 9 (release 0.0.9) serves transaction.version 0 to 1, not 2"
    assert update(cluster.address(2), 2, 1) == (error_codes.INVALID_UPDATE_VERSION, why)
    refused = upgrade(cluster)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"error: nothing was raised: transaction.version: {why}\n"
    assert told(cluster) == [lower, lower]
    assert update(cluster.address(2), 1, 1) == (0, None), "that one it can serve"
    until(lambda: told(cluster) == [{**lower, "transaction.version": 1}] * 2, lambda: told(cluster))

    in_store(cluster, lambda it: it.cluster.forget_broker(9))
    tried = upgrade(cluster, "--dry-run", "--format", "json")
    rows = {row["feature"]: (row["before"], row["after"]) for row in json.loads(tried.stdout)}
    assert rows["transaction.version"] == (1, 2)
    assert told(cluster)[0]["transaction.version"] == 1
    assert upgrade(cluster).returncode == 0
    until(lambda: told(cluster) == [newest, newest], lambda: told(cluster))
    again = upgrade(cluster, "--format", "json")
    assert {row["before"] == row["after"] for row in json.loads(again.stdout)} == {True}


def test_a_release_that_is_too_old(cluster: Direct) -> None:
    """As if the others had gone on without it."""
    low, high = features.SUPPORTED["metadata.version"]

    def raises(stored: dict[str, int], _: list[BrokerRow]) -> dict[str, int]:
        return {**stored, "metadata.version": high + 1}

    cluster.stop(2)
    in_store(cluster, lambda it: it.cluster.alter_features(raises))
    until(lambda: not cluster.nodes[1].running, lambda: cluster.nodes[1].said())
    why = f"the cluster has metadata.version at level {high + 1}, and this release serves {low} to {high}"
    assert f"event=feature_not_served why='{why}" in cluster.nodes[1].said()
    with pytest.raises(RuntimeError, match=f"ended while it started(.|\n)*{why}: start the release that raised it"):
        cluster.start(2)
