"""Leaving, deletion, and what a restart of the broker leaves of a group."""

from __future__ import annotations

import pytest
from playbook import GROUP, Playbook, stable

from moldau.coordination.classic.group import ClassicGroup
from moldau.coordination.classic.states import PREDECESSORS, STABLE, InvalidTransition
from moldau.coordination.config import GroupConfig


def test_a_follower_leaves() -> None:
    play = stable("a", "b").leave("b-1").said("leave b: NONE")
    play.beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.join("a", "a-1").said("join a: generation 2 range id=a-1 leader=a-1 members=a-1")


def test_the_leader_leaves_and_another_leads() -> None:
    play = stable("a", "b").leave("a-1").forget().join("b", "b-1")
    play.said("join b: generation 2 range id=b-1 leader=b-1 members=b-1")


def test_several_leave_in_one_rebalance() -> None:
    play = stable("a", "b", "c").leave("b-1", "c-1", "x-1").said("leave b+c+x: NONE,NONE,UNKNOWN_MEMBER_ID")
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1"


def test_the_last_leaves() -> None:
    play = stable("a", "b").leave("b-1", "a-1").said("leave b+a: NONE,NONE")
    assert play.state == "Empty 2"
    assert play.restart().state == "Empty 2"


def test_nobody_leaves() -> None:
    play = stable("a").leave("x-1").said("leave x: UNKNOWN_MEMBER_ID")
    assert play.state.startswith("Stable 1")
    Playbook().leave("x-1").said("leave x: UNKNOWN_MEMBER_ID")


def test_a_pending_member_leaves_without_a_rebalance() -> None:
    play = stable("a").join("b").leave("b-1").said("join b: MEMBER_ID_REQUIRED id=b-1", "leave b: NONE")
    assert play.state.startswith("Stable 1")


def test_the_join_phase_ends_when_the_member_it_waits_for_leaves() -> None:
    play = stable("a", "b").join("a", "a-1").quiet().leave("b-1")
    play.said("leave b: NONE", "join a: generation 2 range id=a-1 leader=a-1 members=a-1")
    play = stable("a").join("b").join("a", "a-1").forget().leave("b-1")
    play.said("leave b: NONE", "join a: generation 2 range id=a-1 leader=a-1 members=a-1")


def test_leaving_answers_what_the_member_has_parked() -> None:
    play = stable("a", "b").join("a", "a-1").leave("a-1").said("join a: UNKNOWN_MEMBER_ID id=", "leave a: NONE")
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", "b").after(1).sync("b-1", 1).forget()
    play.leave("b-1").said("sync b: UNKNOWN_MEMBER_ID", "leave b: NONE")
    assert not play.open


def test_everybody_leaves_during_the_first_delay() -> None:
    play = Playbook().come("a").leave("a-1").said("join a: UNKNOWN_MEMBER_ID id=", "leave a: NONE").after(6_000)
    assert play.state == "Empty 1"


# -- deletion


def test_only_groups_without_members_are_deleted() -> None:
    play = stable("a").delete().said("delete: NON_EMPTY_GROUP")
    play.leave("a-1").commit("", -1).forget().delete().said("delete: NONE")
    assert play.state == "gone"
    assert not play.records
    assert not play.offsets
    play.delete().said("delete: GROUP_ID_NOT_FOUND")
    assert play.restart().state == "gone"


def test_a_deleted_group_can_be_made_anew() -> None:
    play = stable("a").leave("a-1").delete().forget().come("b").after(1)
    play.said("join b: generation 1 range id=b-1 leader=b-1 members=b-1")


# -- restarts


def test_a_stable_group_goes_on_after_a_restart() -> None:
    play = stable("a", "b").after(9_000).restart().after(9_000)
    play.beat("a-1", 1).beat("b-1", 1).said("heartbeat a: NONE", "heartbeat b: NONE")
    play.sync("b-1", 1).said("sync b: assigned 'b'")
    play.join("b", "b-1").said("join b: generation 1 range id=b-1 leader=a-1")
    assert play.written == 1


def test_sessions_begin_anew_with_the_restart() -> None:
    play = stable("a", "b").restart().after(9_999).beat("a-1", 1).said("heartbeat a: NONE")
    play.after(1).beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")


def test_a_restart_inside_the_join_phase_falls_back_to_the_stored_generation() -> None:
    play = stable("a", "b").come("c").join("a", "a-1").restart()
    assert play.state == "Stable 1 leader=a-1 members=a-1,b-1"
    play.join("c", "c-1").said("join c: UNKNOWN_MEMBER_ID id=c-1")
    play.come("c").join("a", "a-1").join("b", "b-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1,c-2",
        "join b: generation 2 range id=b-1 leader=a-1",
        "join c: generation 2 range id=c-2 leader=a-1",
    )


def test_a_restart_inside_the_sync_phase_sends_the_members_back_to_join() -> None:
    play = stable("a", "b").come("c").join("a", "a-1").join("b", "b-1").restart().forget()
    play.sync("a-1", 2, {"a-1": b"A"}).said("sync a: ILLEGAL_GENERATION")
    play.beat("b-1", 2).said("heartbeat b: ILLEGAL_GENERATION")
    play.beat("c-1", 2).said("heartbeat c: UNKNOWN_MEMBER_ID")


def test_a_group_that_never_was_stable_is_gone_after_a_restart() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a").after(1).restart().forget()
    assert play.state == "gone"
    play.sync("a-1", 1, {}).said("sync a: UNKNOWN_MEMBER_ID")


def test_an_empty_group_keeps_its_generation() -> None:
    play = stable("a").leave("a-1").restart().forget()
    assert play.state == "Empty 2"
    play.come("b").after(1).said("join b: generation 3 range id=b-1 leader=b-1 members=b-1")


def test_heartbeats_and_parked_requests_write_nothing() -> None:
    play = stable("a", "b").beat("a-1", 1).come("c").join("a", "a-1").join("b", "b-1").sync("c-1", 2).sync("b-1", 2)
    assert play.written == 1


# -- the state machine itself


def test_every_illegal_transition_is_refused_with_the_story() -> None:
    for target, allowed in PREDECESSORS.items():
        for state in PREDECESSORS:
            group = ClassicGroup(GROUP, GroupConfig(), 0)
            group.state = state
            if state in allowed:
                group.enter(target, 1)
                assert (group.state, group.previous_state) == (target, state)
            else:
                group.tell(1, "JoinGroup", "somebody")
                with pytest.raises(InvalidTransition, match="somebody"):
                    group.enter(target, 1)
                assert group.state == state


def test_the_story_names_the_group_and_what_came_before() -> None:
    play = stable("a")
    with pytest.raises(InvalidTransition) as caught:
        raise play.group.broken("Empty cannot follow Stable")
    text = str(caught.value)
    assert text.startswith("group 'g': Empty cannot follow Stable; what happened before:\n")
    assert f"{STABLE}" not in text.partition("\n")[2]
    assert [line.split(": ")[1].split()[0] for line in text.splitlines()[1:]] == ["JoinGroup", "Tick", "SyncGroup"]
