from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from moldau.cluster.placement import order, score, spread

NODES = st.sets(st.integers(0, 1 << 30), min_size=1, max_size=8)


@given(st.integers(0, 1 << 40), NODES, st.integers(0, 1 << 30))
def test_only_what_a_new_broker_wins_moves(key: int, nodes: set[int], new: int) -> None:
    before, after = order(key, nodes), order(key, nodes | {new})
    assert [node for node in after if node in nodes] == before
    assert after[0] in (before[0], new)


def test_every_broker_gets_its_part() -> None:
    leaders = Counter(order(partition_id, [1, 2, 3, 4])[0] for partition_id in range(4000))
    assert set(leaders) == {1, 2, 3, 4}
    assert min(leaders.values()) > 900


def test_scores_are_the_same_everywhere() -> None:
    # brokers of several releases must name the same leaders
    assert (score(0, 0), score(1, 2), score(1 << 40, 7)) == (
        0x8209B480FAED1B10,
        0x18330D235A79896C,
        0xB24F3C33F69CC6E1,
    )


def test_replicas_go_over_racks_first() -> None:
    racks = {1: "a", 2: "a", 3: "b", 4: None}
    assert spread(1, [2, 3, 4], racks, 2) == [1, 3]
    assert spread(1, [2, 3, 4], racks, 3) == [1, 3, 2]
    assert spread(1, [2, 3, 4], racks, 9) == [1, 3, 2, 4]
    assert spread(4, [], racks, 3) == [4]
