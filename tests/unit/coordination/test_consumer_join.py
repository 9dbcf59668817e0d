"""Consumer groups: members come, get their partitions, and give them up to others."""

from __future__ import annotations

import pytest
from consumer_playbook import ConsumerPlaybook, topic_id


def two(**settings: int) -> ConsumerPlaybook:
    """`a` and `b` share t[0-3] in epoch 3."""
    play = ConsumerPlaybook(dict(settings), t=4).beat("a", 0, "t").beat("b", 0, "t")
    play.beat("a", 2).beat("a", 2, owned="t[0 1]").beat("b", 3)
    assert play.state == "Stable 3/3 a:3 b:3"
    assert (play.has("a"), play.has("b")) == ("t[0 1]", "t[2 3]")
    play.forget()
    return play


def test_the_first_member_gets_everything_at_once() -> None:
    play = ConsumerPlaybook(t=3, u=1).beat("a", 0, "t u")
    play.said("a: epoch 2 t[0 1 2] u[0]")
    assert play.state == "Stable 2/2 a:2"


def test_a_partition_is_given_up_before_it_is_given_away() -> None:
    play = ConsumerPlaybook(t=4).beat("a", 0, "t").beat("b", 0, "t")
    play.said("a: epoch 2 t[0 1 2 3]", "b: epoch 3 - again in 500")
    play.beat("a", 2).said("a: epoch 2 t[0 1]")
    assert play.state == "Reconciling 3/3 a:2 gives t[2 3] b:3"
    play.beat("b", 3).said("b: epoch 3 again in 500")
    play.beat("a", 2, owned="t[0 1 2 3]").said("a: epoch 2")  # it is still at it
    play.beat("a", 2, owned="t[0 1]").said("a: epoch 3")
    play.beat("b", 3).said("b: epoch 3 t[2 3]")
    assert play.state == "Stable 3/3 a:3 b:3"


def test_a_heartbeat_that_changes_nothing_writes_nothing() -> None:
    play = two()
    written = play.written
    for _ in range(50):
        play.after(4_000).beat("a", 3).beat("b", 3).said("a: epoch 3", "b: epoch 3")
    assert play.written == written


def test_the_answer_was_lost_and_the_member_comes_with_its_previous_epoch() -> None:
    play = ConsumerPlaybook(t=4).beat("a", 0, "t").beat("b", 0, "t").beat("a", 2).beat("a", 2, owned="t[0 1]").forget()
    assert play.group.members["a"].member_epoch == 3
    play.beat("a", 2, owned="t[0 1]").said("a: epoch 3")
    play.beat("a", 2, owned="t[0 1 2]").said("a: FENCED_MEMBER_EPOCH")  # t-2 is not its any more
    play.beat("a", 2).said("a: FENCED_MEMBER_EPOCH")  # it does not say what it owns


def test_epochs_that_are_not_the_members_are_fenced() -> None:
    play = two()
    play.beat("a", 4).beat("a", 2, owned="").said("a: FENCED_MEMBER_EPOCH", "a: epoch 3")
    play.beat("x", 3).said("x: UNKNOWN_MEMBER_ID")
    play.beat("a", 0, "t").said("a: epoch 3 t[0 1]")  # a fenced member joins anew under its id


def test_who_leaves_frees_its_partitions() -> None:
    play = two().leave_for_good("b")
    play.said("b: epoch -1")
    assert play.state == "Assigning 4/3 a:3"
    play.after(0)
    assert play.state == "Reconciling 4/4 a:3"
    play.beat("a", 3).said("a: epoch 4 t[0 1 2 3]")
    play.leave_for_good("a").said("a: epoch -1")
    assert play.state == "Empty 5/4"
    play.delete().said("delete: NONE")
    assert play.state == "gone"
    assert not play.records


def settled(names: str, **topics: int) -> ConsumerPlaybook:
    """All are at their target; they were heard of one after the other, a second apart, the last one just now."""
    play = ConsumerPlaybook(**topics)
    for name in names:
        play.beat(name, 0, "t")
    for _ in range(3):
        for name in names:
            play.beat(name, play.group.members[name].member_epoch, owned=play.has(name))
    for name in names:
        play.after(1_000).beat(name, play.group.members[name].member_epoch)
    assert play.state.startswith("Stable")
    return play.forget()


def shares(play: ConsumerPlaybook) -> str:
    """How many partitions each is to have."""
    return " ".join(
        f"{name}:{len(member.target[topic_id('t')])}" for name, member in sorted(play.group.members.items())
    )


def test_who_is_heard_of_next_gets_what_is_free() -> None:
    """The heartbeats of b, c, d, e are due in 1, 2, 3 and 4 s."""
    assert shares(settled("abcde", t=10).leave_for_good("a").after(0)) == "b:3 c:3 d:2 e:2"


def test_who_is_late_is_the_last_to_get_something() -> None:
    play = settled("abcde", t=10)
    for name in "de":
        play.after(2_000).beat(name, play.group.members[name].member_epoch)
    play.after(2_000)  # b and c were heard of 9 and 8 s ago
    assert shares(play.leave_for_good("a").after(0)) == "b:2 c:2 d:3 e:3"


def test_who_is_heard_of_next_gives_up() -> None:
    play = settled("abc", t=9)
    assert shares(play.beat("d", 0, "t")) == "a:2 b:2 c:3 d:2"


def test_who_is_silent_for_its_session_is_out() -> None:
    play = two()
    for _ in range(9):
        play.after(5_000).beat("a", 3)
    assert play.lines == ["a: epoch 3"] * 8 + ["a: epoch 4 t[0 1 2 3]"]
    play.forget().beat("b", 3).said("b: UNKNOWN_MEMBER_ID")


def test_who_does_not_give_up_in_its_rebalance_timeout_is_out() -> None:
    play = ConsumerPlaybook(t=2).beat("a", 0, "t", rebalance_timeout_ms=10_000).beat("b", 0, "t").beat("a", 2).forget()
    for _ in range(2):
        play.after(4_000).beat("a", 2, owned="t[0 1]").beat("b", 3)
    play.after(2_000).forget()
    play.beat("a", 2).beat("b", 3).said("a: UNKNOWN_MEMBER_ID", "b: epoch 4 t[0 1]")


def test_another_subscription_is_another_assignment() -> None:
    play = (
        ConsumerPlaybook(t=2, u=2)
        .beat("a", 0, "t")
        .beat("b", 0, "t u")
        .beat("a", 2)
        .beat("a", 2, owned="t[0]")
        .forget()
    )
    play.beat("b", 3).forget()
    assert (play.has("a"), play.has("b")) == ("t[0 1]", "u[0 1]") or play.state.startswith("Stable")
    play.beat("b", 3, "u", owned="t[1] u[0 1]").forget()
    play.beat("b", 3, owned="u[0 1]").beat("a", 3, owned=play.has("a")).forget()
    play.beat("a", 4).forget()
    assert (play.has("a"), play.has("b")) == ("t[0 1]", "u[0 1]")


def test_a_member_gives_up_what_it_does_not_subscribe_to_before_there_is_a_new_assignment() -> None:
    play = ConsumerPlaybook({"consumer.assignment.interval.ms": 1_000}, t=2, u=2).beat("a", 0, "t u").forget()
    play.after(100).beat("a", 2, "t", owned="t[0 1] u[0 1]").said("a: epoch 2 t[0 1]")
    assert play.state == "Assigning 3/2 a:2 gives u[0 1]"
    play.beat("a", 2, owned="t[0 1]").after(1_000).beat("a", 2).forget()
    assert play.state == "Stable 3/3 a:3"


def test_topics_that_come_and_grow_are_noticed_with_the_next_heartbeat() -> None:
    play = ConsumerPlaybook(t=1).beat("a", 0, "t later").said("a: epoch 2 t[0]")
    play.put(other=5).beat("a", 2).said("a: epoch 2")
    play.put(t=2).beat("a", 2).said("a: epoch 3 t[0 1]")
    play.put(later=1).beat("a", 3).said("a: epoch 4 later[0] t[0 1]")
    play.topics.drop("t")
    play.beat("a", 4).said("a: epoch 4 later[0]").beat("a", 4, owned="later[0]").said("a: epoch 5")


def test_assignments_keep_a_distance_and_one_serves_all_who_came_meanwhile() -> None:
    play = (
        ConsumerPlaybook({"consumer.assignment.interval.ms": 1_000}, t=6)
        .beat("a", 0, "t")
        .said("a: epoch 2 t[0 1 2 3 4 5]")
    )
    play.after(200).beat("b", 0, "t").after(200).beat("c", 0, "t")
    play.said("b: epoch 2 - again in 500", "c: epoch 2 - again in 500")
    assert play.state == "Assigning 4/2 a:2 b:2 c:2"
    play.after(599).beat("a", 2).said("a: epoch 2")
    play.after(1).beat("a", 2).said("a: epoch 2 t[0 1]")
    assert play.group.assignment_epoch == 4


@pytest.mark.parametrize(
    ("asks", "answer"),
    [
        ({"member_id": " "}, "INVALID_REQUEST"),
        ({"instance_id": ""}, "INVALID_REQUEST"),
        ({"rack_id": ""}, "INVALID_REQUEST"),
        ({"rebalance_timeout_ms": -1}, "INVALID_REQUEST"),
        ({"topics": None}, "INVALID_REQUEST"),
        ({"owned": "t[0]"}, "INVALID_REQUEST"),
        ({"epoch": -2}, "INVALID_REQUEST"),
        ({"epoch": -3}, "INVALID_REQUEST"),
        ({"epoch": 4}, "GROUP_ID_NOT_FOUND"),
        ({"epoch": -1}, "GROUP_ID_NOT_FOUND"),
        ({"assignor": "best"}, "UNSUPPORTED_ASSIGNOR"),
        ({"regex": "("}, "INVALID_REGULAR_EXPRESSION"),
        ({"regex": r"(t)\1"}, "INVALID_REGULAR_EXPRESSION"),
        ({"regex": "(?=t)"}, "INVALID_REGULAR_EXPRESSION"),
    ],
)
def test_what_is_refused_leaves_no_group(asks: dict[str, object], answer: str) -> None:
    arguments = {"epoch": 0, "topics": "t"} | asks
    play = ConsumerPlaybook(t=1).beat("a", **arguments)  # type: ignore[arg-type]
    play.said(f"a: {answer}")
    assert play.state == "gone"
    assert not play.records


def test_a_full_group_takes_nobody_else() -> None:
    play = ConsumerPlaybook({"group.consumer.max.size": 1}, t=1).beat("a", 0, "t").beat("b", 0, "t")
    play.said("a: epoch 2 t[0]", "b: GROUP_MAX_SIZE_REACHED").beat("a", 2).said("a: epoch 2")


def test_a_member_of_version_0_is_given_its_id() -> None:
    play = ConsumerPlaybook(t=1).beat("a", 0, "t", member_id="", new_member_id="made", version=0)
    play.said("a: epoch 2 t[0]")
    assert list(play.group.members) == ["made"]


def test_most_votes_make_the_assignor() -> None:
    play = ConsumerPlaybook(t=3, u=3).beat("a", 0, "t u", assignor="range").beat("b", 0, "t u").forget()
    play.beat("a", 2).said("a: epoch 2 t[0 1] u[0 1]")


def test_patterns_follow_the_topics() -> None:
    play = ConsumerPlaybook(tea=1, tin=1, cup=1).beat("a", 0, "", regex="t.*").said("a: epoch 2 tea[0] tin[0]")
    play.put(tub=1).beat("a", 2).said("a: epoch 3 tea[0] tin[0] tub[0]")
    play.put(pot=1).beat("a", 3).said("a: epoch 3")
    play.beat("b", 0, "cup", regex="(pot|tub)").said("b: epoch 4 cup[0] pot[0]")
    play.beat("a", 3).said("a: epoch 4")  # tub stays where it is: neither has two more than the other
    play.beat("a", 4, "cup", regex="", owned="tea[0] tin[0] tub[0]").forget()
    assert play.state == "Reconciling 5/5 a:4 gives tea[0] tin[0] tub[0] b:4"
    play.beat("a", 4, owned="").beat("b", 4).forget()
    assert "tea" not in play.has("a") + play.has("b")


def test_a_restart_disturbs_nobody() -> None:
    play = two().after(10_000).restart()
    written = play.written
    play.beat("a", 3).beat("b", 3).said("a: epoch 3", "b: epoch 3")
    assert play.state == "Stable 3/3 a:3 b:3"
    assert play.written == written
    play.after(44_999)
    assert play.state == "Stable 3/3 a:3 b:3"  # sessions have begun anew
    play.after(1)
    assert play.state.startswith("Empty")


def test_a_restart_in_the_middle_goes_on() -> None:
    play = ConsumerPlaybook(t=4).beat("a", 0, "t").beat("b", 0, "t").beat("a", 2).restart().forget()
    assert play.state == "Reconciling 3/3 a:2 gives t[2 3] b:3"
    play.beat("b", 3).beat("a", 2, owned="t[0 1]").beat("b", 3)
    play.said("b: epoch 3 again in 500", "a: epoch 3", "b: epoch 3 t[2 3]")


def test_a_store_that_fails_changes_nothing() -> None:
    play = two()
    play.store_fails = True
    play.beat("c", 0, "t").leave_for_good("a").said("c: COORDINATOR_NOT_AVAILABLE", "a: COORDINATOR_NOT_AVAILABLE")
    play.after(60_000)
    assert play.state == "Stable 3/3 a:3 b:3"
    play.store_fails = False
    play.after(1_000)
    assert play.state.startswith("Empty")
