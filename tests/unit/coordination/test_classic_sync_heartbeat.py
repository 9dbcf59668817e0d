"""SyncGroup and Heartbeat in each state, and members that die."""

from __future__ import annotations

import pytest
from playbook import Playbook, stable


def joined(*names: str) -> Playbook:
    """All have joined generation 1, nobody has synced."""
    return Playbook(group_initial_rebalance_delay_ms=0).come(*names).after(1).forget()


def test_followers_wait_for_the_leader() -> None:
    play = joined("a", "b").sync("b-1", 1).quiet()
    play.sync("a-1", 1, {"a-1": b"A", "b-1": b"B"}).said("sync a: assigned 'A'", "sync b: assigned 'B'")
    assert play.state.startswith("Stable 1")


def test_a_follower_that_syncs_late_gets_the_same_assignment() -> None:
    play = joined("a", "b").sync("a-1", 1, {"a-1": b"A", "b-1": b"B"}).said("sync a: assigned 'A'")
    play.after(3_000).sync("b-1", 1).said("sync b: assigned 'B'")
    play.sync("b-1", 1).said("sync b: assigned 'B'")


def test_whom_the_leader_forgets_gets_nothing() -> None:
    joined("a", "b").sync("b-1", 1).sync("a-1", 1, {"a-1": b"A", "stranger": b"?"}).said(
        "sync a: assigned 'A'", "sync b: assigned ''"
    )


def test_a_sync_sent_twice_answers_both() -> None:
    play = joined("a", "b").sync("b-1", 1).sync("b-1", 1).said("sync b: REBALANCE_IN_PROGRESS")
    play.sync("a-1", 1, {"b-1": b"B"}).said("sync a: assigned ''", "sync b: assigned 'B'")
    assert not play.open


def test_sync_is_checked() -> None:
    play = joined("a")
    play.sync("b-1", 1).said("sync b: UNKNOWN_MEMBER_ID")
    play.sync("a-1", 0).said("sync a: ILLEGAL_GENERATION")
    play.sync("a-1", 2).said("sync a: ILLEGAL_GENERATION")
    play.sync("a-1", 1, instance_id="i").said("sync a: UNKNOWN_MEMBER_ID")
    play.sync("a-1", 1, protocol_type="connect").said("sync a: INCONSISTENT_GROUP_PROTOCOL")
    play.sync("a-1", 1, protocol_name="sticky").said("sync a: INCONSISTENT_GROUP_PROTOCOL")
    play.sync("a-1", 1, {"a-1": b"A"}, protocol_type="consumer", protocol_name="range").said("sync a: assigned 'A'")


def test_sync_in_the_states_where_there_is_nothing_to_sync() -> None:
    Playbook().sync("a-1", 1).said("sync a: UNKNOWN_MEMBER_ID")
    stable("a").leave("a-1").forget().sync("a-1", 1).said("sync a: UNKNOWN_MEMBER_ID")
    stable("a", "b").join("a", "a-1").sync("b-1", 1).said("sync b: REBALANCE_IN_PROGRESS")


def test_members_that_do_not_sync_are_out_after_the_rebalance_timeout() -> None:
    play = joined("a", "b", "c").sync("b-1", 1)
    for _ in range(19):
        play.after(3_000).beat("a-1", 1).beat("c-1", 1)
    play.forget().after(3_000).said("sync b: REBALANCE_IN_PROGRESS")
    assert play.state == "PreparingRebalance 1 leader=b-1 members=b-1"
    play.join("b", "b-1").said("join b: generation 2 range id=b-1 leader=b-1 members=b-1")


def test_a_stable_group_drops_who_never_fetched_its_assignment() -> None:
    play = joined("a", "b").sync("a-1", 1, {}).forget()
    for _ in range(19):
        play.after(3_000).beat("a-1", 1).beat("b-1", 1)
    play.forget().after(3_000).beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.beat("b-1", 1).said("heartbeat b: UNKNOWN_MEMBER_ID")


def test_all_synced_means_no_sync_timeout() -> None:
    play = stable("a", "b")
    for _ in range(40):
        play.after(3_000).beat("a-1", 1).beat("b-1", 1)
    assert set(play.lines) == {"heartbeat a: NONE", "heartbeat b: NONE"}


def test_heartbeat_in_each_state() -> None:
    Playbook().beat("a-1", 1).said("heartbeat a: UNKNOWN_MEMBER_ID")
    stable("a").leave("a-1").forget().beat("a-1", 1).said("heartbeat a: UNKNOWN_MEMBER_ID")
    joined("a").beat("a-1", 1).said("heartbeat a: NONE")
    play = stable("a").beat("a-1", 1).beat("a-1", 0).beat("a-1", 2).beat("x-1", 1)
    play.said(
        "heartbeat a: NONE",
        "heartbeat a: ILLEGAL_GENERATION",
        "heartbeat a: ILLEGAL_GENERATION",
        "heartbeat x: UNKNOWN_MEMBER_ID",
    )
    play.come("b").beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")


@pytest.mark.parametrize("dies", ["a-1", "b-1"])
def test_a_member_of_a_stable_group_dies(dies: str) -> None:
    play = stable("a", "b")
    lives = "b-1" if dies == "a-1" else "a-1"
    name = lives[0]
    for _ in range(3):
        play.after(3_000).beat(lives, 1)
    play.forget().after(999).beat(lives, 1).said(f"heartbeat {name}: NONE")
    play.after(1).beat(lives, 1).said(f"heartbeat {name}: REBALANCE_IN_PROGRESS")
    play.join(name, lives).said(f"join {name}: generation 2 range id={lives} leader={lives} members={lives}")


def test_the_leader_dies_while_the_others_wait_for_its_assignment() -> None:
    play = joined("a", "b").sync("b-1", 1).after(9_998).quiet()
    play.after(1).said("sync b: REBALANCE_IN_PROGRESS")
    play.join("b", "b-1").said("join b: generation 2 range id=b-1 leader=b-1 members=b-1")


def test_a_follower_dies_before_it_syncs() -> None:
    play = joined("a", "b").after(5_000).beat("a-1", 1).forget().after(5_000)
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1"
    play.sync("a-1", 1, {"a-1": b"A"}).said("sync a: REBALANCE_IN_PROGRESS")


@pytest.mark.parametrize("dies", ["a-1", "b-1"])
def test_a_member_dies_while_the_group_joins(dies: str) -> None:
    play = stable("a", "b").come("c")
    lives = "b-1" if dies == "a-1" else "a-1"
    play.join(lives[0], lives).quiet().after(10_000).said(
        f"join {lives[0]}: generation 2 range id={lives} leader={lives} members={lives},c-1",
        f"join c: generation 2 range id=c-1 leader={lives}",
    )


def test_the_last_member_dies() -> None:
    play = stable("a").after(10_000)
    assert play.state == "Empty 2"
    assert play.written == 2
    play.come("b").after(1).said("join b: generation 3 range id=b-1 leader=b-1 members=b-1")


def test_all_members_die_at_once() -> None:
    play = stable("a", "b", "c").after(10_000)
    assert play.state == "Empty 2"


def test_members_parked_in_sync_are_excused_from_their_session() -> None:
    play = joined("a", "b").sync("b-1", 1)
    for _ in range(10):
        play.after(3_000).beat("a-1", 1)
    play.forget().sync("a-1", 1, {"b-1": b"B"}).said("sync a: assigned ''", "sync b: assigned 'B'")
    play.after(9_999)
    assert play.state.startswith("Stable")
    play.after(1)
    assert play.state == "Empty 2"


def test_members_parked_in_join_are_excused_from_their_session() -> None:
    play = stable("a", "b").join("a", "a-1")
    for _ in range(15):
        play.after(3_000).beat("b-1", 1)
    play.forget().join("b", "b-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1", "join b: generation 2 range id=b-1 leader=a-1"
    )


def test_the_sync_timeout_of_a_generation_that_was_given_up_means_nothing() -> None:
    play = joined("a", "b").after(1_000).come("c")
    for _ in range(19):
        play.after(3_000).beat("a-1", 1).beat("b-1", 1)
    play.forget().after(2_500).beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.join("b", "b-1").join("a", "a-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1,c-1",
        "join b: generation 2 range id=b-1 leader=a-1",
        "join c: generation 2 range id=c-1 leader=a-1",
    )


def test_a_member_sent_back_from_sync_to_join_has_a_session_again() -> None:
    play = joined("a", "b").sync("b-1", 1)
    for _ in range(5):  # longer than b's session, but b is parked
        play.after(3_000).beat("a-1", 1)
    play.forget().come("c").said("sync b: REBALANCE_IN_PROGRESS").after(9_000).beat("a-1", 1).forget()
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1,b-1,c-1"
    play.after(1_000)
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1,c-1"


# -- the store fails


def test_an_assignment_that_cannot_be_stored_is_none() -> None:
    play = joined("a", "b").sync("b-1", 1)
    play.store_fails = True
    play.sync("a-1", 1, {"a-1": b"A"}).said("sync a: COORDINATOR_NOT_AVAILABLE", "sync b: COORDINATOR_NOT_AVAILABLE")
    play.store_fails = False
    play.join("a", "a-1").join("b", "b-1").forget()
    play.sync("b-1", 2).sync("a-1", 2, {"b-1": b"B"}).said("sync a: assigned ''", "sync b: assigned 'B'")


def test_a_group_that_cannot_be_stored_as_empty_tries_again() -> None:
    play = stable("a")
    play.store_fails = True
    play.leave("a-1").said("leave a: COORDINATOR_NOT_AVAILABLE").after(5_000)
    assert play.state == "PreparingRebalance 1"
    play.store_fails = False
    assert play.after(1_000).state == "Empty 2"
