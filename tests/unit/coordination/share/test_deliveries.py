"""What is told of a share-partition's window."""

from __future__ import annotations

from moldau.coordination.share.deliveries import STATES, Deliveries, count_deliveries
from moldau.coordination.share.run import ACKNOWLEDGED, ACQUIRED, ARCHIVED, ARCHIVING, AVAILABLE, Run


def test_an_empty_window() -> None:
    assert count_deliveries([]) == Deliveries(0, 0, 0, 0, 0, 0, {})


def test_each_state_is_counted_by_offsets() -> None:
    runs = [
        Run(10, 14, ACQUIRED, 1, "one"),
        Run(15, 15, ACKNOWLEDGED, 5),
        Run(16, 17, AVAILABLE, 3),
        Run(18, 20, ARCHIVED, 9),
        Run(21, 21, ARCHIVING, 4),
        Run(22, 28, ACQUIRED, 2, "two"),
        Run(29, 29, ACQUIRED, 1, "one"),
    ]
    counted = count_deliveries(runs)
    assert counted.by_state() == {
        "acquired": 13,
        "redeliverable": 2,
        "acknowledged": 1,
        "archiving": 1,
        "archived": 3,
    }
    assert counted.members == {"one": 6, "two": 7}
    assert counted.delivery_count_max == 4, "of what is not done with"


def test_every_state_has_a_name_of_its_own() -> None:
    assert sorted(STATES) == [AVAILABLE, ACQUIRED, ACKNOWLEDGED, ARCHIVING, ARCHIVED]
    assert set(STATES.values()) < set(Deliveries._fields)
