"""Levels of features as they are told, and as a store keeps them."""

from __future__ import annotations

import pytest

from moldau.broker import features


@pytest.mark.parametrize("level", [0, 1, 2])
def test_what_was_set_is_told(level: int) -> None:
    kept = {features.TRANSACTION: features.stored(level)}
    assert features.finalized(kept).get(features.TRANSACTION, 0) == level
    assert features.transaction_version(kept) == level
    assert all(kept.values())  # level 0 would mean that it was never set


def test_a_new_cluster() -> None:
    assert features.finalized({}) == {"metadata.version": 30, "transaction.version": 2}
