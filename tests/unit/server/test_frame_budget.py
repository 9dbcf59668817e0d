"""Large requests wait for one another."""

from __future__ import annotations

from moldau.broker.outbox import NARROW_BYTES, Outbox
from moldau.server.frame_budget import FrameBudget


def test_the_last_one_let_in_may_exceed_it() -> None:
    budget = FrameBudget(10)
    assert budget.take(100)
    assert not budget.take(1)
    budget.give(100)
    assert budget.take(1)


def test_who_waits_is_let_in_in_turn_and_has_taken_already() -> None:
    budget = FrameBudget(10)
    budget.take(10)
    told: list[tuple[str, int]] = []
    for who, size in (("a", 8), ("b", 7), ("c", 1)):
        assert not budget.take(size)
        budget.wait(who, size, lambda granted, who=who: told.append((who, granted)))  # type: ignore[misc]
    budget.give(10)
    assert told == [("a", 8), ("b", 7)]
    assert (budget.held_bytes, budget.waiting) == (15, 1)
    budget.give(15)
    assert told[-1] == ("c", 1)


def test_who_is_gone_is_passed_over() -> None:
    budget = FrameBudget(1)
    budget.take(1)
    budget.wait("a", 5, lambda granted: None)
    budget.forget("a")
    budget.give(1)
    assert budget.held_bytes == 0


def test_a_full_outbox_narrows_what_fetches_are_answered_with() -> None:
    outbox = Outbox(100)
    assert outbox.room(1 << 30) == 1 << 30
    outbox.held_bytes = 100
    assert outbox.full
    assert outbox.room(1 << 30) == NARROW_BYTES
    assert outbox.room(10) == 10
