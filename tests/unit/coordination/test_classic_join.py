"""Joining: how generations come about."""

from __future__ import annotations

import pytest
from playbook import RANGE, Playbook, stable, subscription

OTHER = (("range", subscription("t", "u")),)


def test_the_first_member_asks_for_its_id_and_leads_after_the_delay() -> None:
    (
        Playbook()
        .join("a")
        .said("join a: MEMBER_ID_REQUIRED id=a-1")
        .join("a", "a-1")
        .quiet()
        .after(2_999)
        .quiet()
        .after(1)
        .said("join a: generation 1 range id=a-1 leader=a-1 members=a-1")
        .sync("a-1", 1, {"a-1": b"all"})
        .said("sync a: assigned 'all'")
    )


def test_two_members_that_join_at_once_are_one_generation() -> None:
    (
        Playbook()
        .join("a")
        .join("b")
        .join("b", "b-1")
        .join("a", "a-1")
        .said("join a: MEMBER_ID_REQUIRED id=a-1", "join b: MEMBER_ID_REQUIRED id=b-1")
        .after(3_000)  # a came within the delay: once more
        .quiet()
        .after(3_000)
        .said(
            "join b: generation 1 range id=b-1 leader=b-1 members=b-1,a-1",
            "join a: generation 1 range id=a-1 leader=b-1",
        )
    )


def test_the_delay_is_extended_up_to_the_rebalance_timeout() -> None:
    play = Playbook()
    for n in range(8):
        play.come(f"m{n}", rebalance_timeout_ms=10_000).after(1_250)
    members = ",".join(f"m{n}-1" for n in range(8))
    assert play.state == f"CompletingRebalance 1 leader=m0-1 members={members}"
    play.said(
        f"join m0: generation 1 range id=m0-1 leader=m0-1 members={members}",
        *(f"join m{n}: generation 1 range id=m{n}-1 leader=m0-1" for n in range(1, 8)),
    )


@pytest.mark.parametrize("ask_first", [True, False])
@pytest.mark.parametrize("delay", [0, 3_000])
def test_ten_members_at_the_same_moment_end_in_one_rebalance(ask_first: bool, delay: int) -> None:
    play = Playbook(group_initial_rebalance_delay_ms=delay)
    names = [f"m{n}" for n in range(10)]
    for name in names:
        play.join(name, requires_known_member_id=ask_first)
    if ask_first:
        play.said(*(f"join {name}: MEMBER_ID_REQUIRED id={name}-1" for name in names))
        for name in names:
            play.join(name, f"{name}-1")
    play.after(6_000)
    ids = [f"{name}-1" for name in names]
    assert play.state == f"CompletingRebalance 1 leader=m0-1 members={','.join(ids)}"
    assert len(play.lines) == 10
    play.forget()
    for member_id in reversed(ids):
        play.sync(member_id, 1, {i: i.encode() for i in ids} if member_id == "m0-1" else None)
    assert sorted(play.lines) == sorted(f"sync {i[:-2]}: assigned '{i}'" for i in ids)
    play.forget()
    for _ in range(20):
        play.after(3_000)
        for member_id in ids:
            play.beat(member_id, 1)
    assert set(play.lines) == {f"heartbeat {name}: NONE" for name in names}
    assert not play.open
    assert play.written == 1


def test_a_third_member_makes_the_others_join_again() -> None:
    play = stable("a", "b").come("c").quiet()
    play.beat("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.join("b", "b-1").quiet()
    play.join("a", "a-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1,c-1",
        "join b: generation 2 range id=b-1 leader=a-1",
        "join c: generation 2 range id=c-1 leader=a-1",
    )


def test_who_does_not_join_again_in_time_is_out() -> None:
    play = stable("a", "b", "c").come("d").join("a", "a-1")
    for _ in range(19):  # b and c live, but do not join
        play.after(3_000).beat("b-1", 1).beat("c-1", 1)
    play.forget().after(3_000).said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,d-1", "join d: generation 2 range id=d-1 leader=a-1"
    )
    play.beat("b-1", 1).said("heartbeat b: UNKNOWN_MEMBER_ID")
    play.join("b", "b-1").said("join b: UNKNOWN_MEMBER_ID id=b-1")


def test_a_leader_that_does_not_join_again_is_replaced() -> None:
    play = stable("a", "b").come("c").join("b", "b-1").after(10_000)
    play.said(
        "join b: generation 2 range id=b-1 leader=b-1 members=b-1,c-1", "join c: generation 2 range id=c-1 leader=b-1"
    )


def test_a_pending_member_holds_the_join_phase_until_its_session_ends() -> None:
    play = stable("a").join("b").said("join b: MEMBER_ID_REQUIRED id=b-1")
    play.join("a", "a-1", OTHER).quiet()
    play.after(10_000).said("join a: generation 2 range id=a-1 leader=a-1 members=a-1")
    play.join("b", "b-1").said("join b: UNKNOWN_MEMBER_ID id=b-1")


def test_an_id_handed_out_that_is_never_used_leaves_no_group_behind() -> None:
    play = Playbook().join("a")
    assert play.state == "Empty 0"
    assert play.after(10_000).state == "gone"


def test_an_unknown_id_is_refused_and_makes_no_group() -> None:
    play = Playbook().join("a", "made-up").said("join a: UNKNOWN_MEMBER_ID id=made-up")
    assert play.state == "gone"
    stable("a").join("x", "made-up").said("join x: UNKNOWN_MEMBER_ID id=made-up")


def test_a_follower_that_joins_unchanged_gets_the_generation_at_hand() -> None:
    play = stable("a", "b").join("b", "b-1").said("join b: generation 1 range id=b-1 leader=a-1")
    play.sync("b-1", 1).said("sync b: assigned 'b'")
    assert play.state.startswith("Stable 1")


def test_a_follower_with_new_metadata_begins_a_rebalance() -> None:
    play = stable("a", "b").join("b", "b-1", OTHER).quiet()
    play.join("a", "a-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1", "join b: generation 2 range id=b-1 leader=a-1"
    )


def test_a_leader_that_joins_again_begins_a_rebalance_without_any_change() -> None:
    play = stable("a", "b").join("a", "a-1").quiet()
    assert play.state.startswith("PreparingRebalance 1")
    play.join("b", "b-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1", "join b: generation 2 range id=b-1 leader=a-1"
    )


def test_a_lost_answer_to_the_join_is_given_again() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", "b").after(1).forget()
    play.join("b", "b-1").said("join b: generation 1 range id=b-1 leader=a-1")
    play.join("a", "a-1").said("join a: generation 1 range id=a-1 leader=a-1 members=a-1,b-1")
    assert play.state.startswith("CompletingRebalance 1")


def test_new_metadata_before_the_sync_is_a_new_generation() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", "b").after(1).forget()
    play.sync("a-1", 7).said("sync a: ILLEGAL_GENERATION")
    play.sync("b-1", 1).quiet()
    play.join("a", "a-1", OTHER).said("sync b: REBALANCE_IN_PROGRESS")
    play.join("b", "b-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1", "join b: generation 2 range id=b-1 leader=a-1"
    )


def test_a_join_sent_twice_answers_both() -> None:
    play = stable("a", "b").join("a", "a-1").join("a", "a-1").said("join a: REBALANCE_IN_PROGRESS id=a-1")
    play.join("b", "b-1").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-1", "join b: generation 2 range id=b-1 leader=a-1"
    )
    assert not play.open


def test_session_timeouts_outside_the_bounds_are_refused() -> None:
    play = Playbook(group_min_session_timeout_ms=6_000, group_max_session_timeout_ms=30_000)
    for timeout in (5_999, 30_001):
        play.join("a", session_timeout_ms=timeout).said("join a: INVALID_SESSION_TIMEOUT id=")
    for timeout in (6_000, 30_000):
        play.join("b", session_timeout_ms=timeout)
    play.said("join b: MEMBER_ID_REQUIRED id=b-1", "join b: MEMBER_ID_REQUIRED id=b-2")


def test_the_first_join_of_a_member_is_not_parked_for_ever() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0)
    play.come("a", rebalance_timeout_ms=900_000).after(1).sync("a-1", 1, {}).forget()
    play.come("b", rebalance_timeout_ms=900_000)
    for _ in range(99):
        play.after(3_000).beat("a-1", 1)
    assert set(play.lines) == {"heartbeat a: REBALANCE_IN_PROGRESS"}
    play.forget().after(2_999).quiet().beat("a-1", 1).forget().after(1).said("join b: UNKNOWN_MEMBER_ID id=")


# -- protocols


def test_protocols_must_fit_the_group() -> None:
    play = stable("a")
    play.come("b", kind="connect").said("join b: INCONSISTENT_GROUP_PROTOCOL id=")
    play.come("b", protocols=(("sticky", b""),)).said("join b: INCONSISTENT_GROUP_PROTOCOL id=")
    play.join("a", "a-1", (("sticky", b""),)).said("join a: INCONSISTENT_GROUP_PROTOCOL id=a-1")
    assert play.state.startswith("Stable 1")


@pytest.mark.parametrize(("kind", "protocols"), [("", RANGE), ("consumer", ())])
def test_a_first_member_needs_a_type_and_a_protocol(kind: str, protocols: tuple[tuple[str, bytes], ...]) -> None:
    play = Playbook().come("a", kind=kind, protocols=protocols).said("join a: INCONSISTENT_GROUP_PROTOCOL id=")
    assert play.state == "gone"


def test_members_vote_for_a_protocol_that_all_support() -> None:
    play = Playbook()
    play.come("a", protocols=(("x", b"1"), ("y", b"2"), ("z", b"3")))
    play.come("b", protocols=(("z", b"4"), ("y", b"5")))
    play.come("c", protocols=(("w", b""), ("y", b"6"), ("z", b"7")))
    play.after(6_000)
    assert [line.split()[4] for line in play.lines] == ["y", "y", "y"]
    assert play.group.members["b-1"].metadata("y") == b"5"


def test_an_empty_group_takes_another_protocol_type() -> None:
    play = stable("a").leave("a-1").forget().come("k", kind="connect", protocols=(("sessioned", b""),)).after(1)
    play.said("join k: generation 3 sessioned id=k-1 leader=k-1 members=k-1")


# -- group.max.size


def test_a_full_group_refuses_new_members_and_keeps_the_old() -> None:
    play = stable("a", "b", group_max_size=2)
    play.come("c").said("join c: GROUP_MAX_SIZE_REACHED id=")
    play.join("c").said("join c: GROUP_MAX_SIZE_REACHED id=")
    play.join("b", "b-1").said("join b: generation 1 range id=b-1 leader=a-1")


def test_more_members_than_allowed_wait_for_the_same_generation() -> None:
    play = Playbook(group_max_size=2).come("a", "b", "c").said("join c: GROUP_MAX_SIZE_REACHED id=").after(6_000)
    assert play.state == "CompletingRebalance 1 leader=a-1 members=a-1,b-1"


def test_a_lowered_limit_is_enforced_after_a_restart() -> None:
    play = stable("a", "b", "c")
    play.config.group_max_size = 2
    play.restart()
    assert play.state.startswith("PreparingRebalance 1")
    play.join("c", "c-1").join("b", "b-1").quiet()
    play.join("a", "a-1").said(
        "join a: GROUP_MAX_SIZE_REACHED id=",
        "join b: generation 2 range id=b-1 leader=b-1 members=b-1,c-1",
        "join c: generation 2 range id=c-1 leader=b-1",
    )
