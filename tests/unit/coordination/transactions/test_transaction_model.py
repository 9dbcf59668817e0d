"""Every state of a small world of transactions is visited (`simulation.txn_model`); with any rule dropped something is found."""

from __future__ import annotations

import pytest
from simulation.txn_model import Bounds, Result, Rules, explore

BATCHES = frozenset({"init", "join", "produce"})
SOUND = {
    "a zombie": Bounds(late=0, inputs=1),
    "two transactions of each": Bounds(late=0, inputs=2),
    "two partitions": Bounds(partitions=2, late=0, inputs=1),
    "time runs out": Bounds(late=0, inputs=1, aborts=0, time_outs=1),
    "one late request": Bounds(workers=1, late=1, inputs=2),
    "the last epochs": Bounds(late=0, inputs=2, epoch=32_763),
    "version 1": Bounds(version=1, late=0, inputs=2),
    "version 1, late batches": Bounds(version=1, workers=1, late=1, inputs=2, late_kinds=BATCHES),
    "version 1, time runs out": Bounds(version=1, late=0, inputs=1, time_outs=1),
}
"""Seen in a second or two."""
LARGER = {
    "a zombie, and one late request": Bounds(late=1, inputs=1),
    "two late requests": Bounds(workers=1, late=2, inputs=2),
    "time runs out twice": Bounds(late=0, inputs=1, aborts=0, time_outs=2),
    "version 1, a zombie, and lost replies": Bounds(version=1, late=1, inputs=1, aborts=0, late_kinds=frozenset()),
}
"""Ten thousands of states."""
ALONE = Bounds(workers=1, late=1, inputs=2)
ALONE_1 = ALONE._replace(version=1)
DROPPED = {
    "guarded": ALONE_1._replace(late_kinds=frozenset({"produce"})),
    "guard_names_transaction": ALONE_1._replace(late_kinds=frozenset({"produce"})),
    "ends_compared": ALONE,
    "sequences": ALONE,
    "ends_raise_epoch": ALONE,
    "init_raises_epoch": Bounds(late=0, inputs=1),
    "init_aborts": Bounds(late=0, inputs=1),
    "end_at_once": Bounds(workers=1, late=0, inputs=1),
    "offsets_pending": Bounds(workers=1, late=0, inputs=1),
    "outcome_told": Bounds(workers=1, late=0, inputs=1, time_outs=1),
    "time_out_raises_epoch": Bounds(workers=1, late=0, inputs=1, time_outs=1),
    "clients_bump": ALONE_1._replace(late_kinds=frozenset({"produce"})),
}


def told(found: Result) -> str:
    return "\n".join([found.wrong, *found.way])


@pytest.mark.parametrize("name", SOUND)
def test_nothing_is_wrong_in_any_state(name: str) -> None:
    found = explore(SOUND[name])
    assert not found.wrong, told(found)
    assert found.states > 300
    assert found.depth > 20


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", LARGER)
def test_nothing_is_wrong_in_larger_worlds(name: str) -> None:
    found = explore(LARGER[name])
    assert not found.wrong, told(found)
    assert found.states > 3_000


@pytest.mark.parametrize("rule", Rules._fields)
def test_without_a_rule_something_is_wrong(rule: str) -> None:
    found = explore(DROPPED[rule], Rules()._replace(**{rule: False}))
    assert found.wrong
    assert found.way
    sound = explore(DROPPED[rule])
    assert not sound.wrong, told(sound)


@pytest.mark.parametrize("kind", ["end", "offsets"])
def test_version_1_is_only_as_good_as_its_connection(kind: str) -> None:
    """An EndTxn or TxnOffsetCommit that comes late meets the next transaction, which has the same epoch (KIP-890). Version 2 knows better."""
    bounds = ALONE._replace(version=1, late_kinds=frozenset({kind}))
    assert explore(bounds).wrong
    assert not explore(bounds._replace(version=2)).wrong


def test_a_world_that_is_too_large_says_so() -> None:
    with pytest.raises(MemoryError, match="more than 100 states"):
        explore(Bounds(states=100))
