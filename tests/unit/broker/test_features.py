"""Levels of features as they are told, and as a store keeps them."""

from __future__ import annotations

import pytest

from moldau.broker import features
from moldau.metadata.rows import BrokerRow


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_was_set_is_told(level: int) -> None:
    kept = {features.TRANSACTION: features.stored(level)}
    assert features.finalized(kept).get(features.TRANSACTION, 0) == level
    assert features.transaction_version(kept) == level
    assert all(kept.values())  # level 0 would mean that it was never set


def test_a_new_cluster_and_one_from_before_levels_were_stored() -> None:
    assert features.at_first() == {name: high for name, (_, high) in features.SUPPORTED.items()}
    assert features.finalized({}) == {"metadata.version": 30, "transaction.version": 2}


def row(serves: str, age_ms: int = 0) -> BrokerRow:
    return BrokerRow(7, 1, "", None, "0.9", False, age_ms, serves)


@pytest.mark.parametrize(
    ("serves", "level", "why"),
    [
        ('{"some.version": [0, 1]}', 1, None),
        ('{"some.version": [0, 1]}', 0, None),
        ('{"some.version": [0, 1]}', 2, "broker 7 (release 0.9) serves some.version 0 to 1, not 2"),
        ('{"some.version": [2, 3]}', 1, "broker 7 (release 0.9) serves some.version 2 to 3, not 1"),
        ("{}", 1, "broker 7 (release 0.9) knows no some.version"),
        ("{}", 0, None),
        ("", 1, "broker 7 (release 0.9) knows no some.version"),
    ],
)
def test_what_a_broker_can_serve(serves: str, level: int, why: str | None) -> None:
    assert features.unable(row(serves), "some.version", level) == why
    assert features.unable(row(serves, 60_000), "some.version", level) is None, "it is dead"
    assert features.first_unable([row(serves, 60_000), row(serves)], "some.version", level) == why


def test_releases_that_did_not_say_what_they_serve() -> None:
    assert features.unable(row(""), "metadata.version", 30) is None
    assert features.unable(row(""), "metadata.version", 31) is not None
    assert features.unable(row(""), "transaction.version", 2) is None


def test_levels_that_this_release_does_not_serve() -> None:
    assert features.too_new({}) is None
    assert features.too_new(features.at_first()) is None
    assert features.too_new({"never.version": features.stored(0)}) is None
    low, high = features.SUPPORTED["metadata.version"]
    told = features.too_new({"metadata.version": high + 1}) or ""
    assert told.startswith(
        f"the cluster has metadata.version at level {high + 1}, and this release serves {low} to {high}: "
    )
    assert "never.version at level 1, and this release does not know it" in (
        features.too_new({"never.version": 1}) or ""
    )
