"""Types of groups are made when the first of their events comes, whichever that is."""

from __future__ import annotations

import pytest

from moldau.coordination import types


@pytest.mark.parametrize("name", types.MODERN_NAMES)
def test_every_event_of_a_type_says_whose_it_is(name: str) -> None:
    """But those of the classic protocol, which groups of others take over: such a group is there by then."""
    theirs = [event for event in types.modern_class(name).owns if event.__module__ != "moldau.coordination.events"]
    assert len(theirs) >= 2
    assert {event.owner for event in theirs} == {name}
