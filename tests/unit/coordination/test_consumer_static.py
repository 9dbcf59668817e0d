"""Consumer groups: static members, which come back to what they had (KIP-345)."""

from __future__ import annotations

from consumer_playbook import ConsumerPlaybook


def one() -> ConsumerPlaybook:
    """`a` of instance `i` has t[0 1], `b` has t[2 3]."""
    play = ConsumerPlaybook(t=4).beat("a", 0, "t", instance_id="i").beat("b", 0, "t")
    play.beat("a", 2, instance_id="i").beat("a", 2, owned="t[0 1]", instance_id="i").beat("b", 3)
    assert play.state == "Stable 3/3 a:3 b:3"
    play.forget()
    return play


def test_one_that_leaves_for_a_while_comes_back_to_the_same_under_another_id() -> None:
    play = one().beat("a", -2, instance_id="i").said("a: epoch -2")
    assert play.state == "Reconciling 3/3 a:-2 b:3"
    play.after(20_000).beat("b", 3).said("b: epoch 3")
    play.beat("a", 0, "t", instance_id="i", member_id="again").said("a: epoch 3 t[0 1]")
    assert play.state == "Stable 3/3 b:3 again:3"
    play.beat("a", 3, instance_id="i").said("a: FENCED_INSTANCE_ID")
    play.restart()
    assert play.state == "Stable 3/3 again:3 b:3"


def test_one_that_does_not_come_back_in_its_session_is_out() -> None:
    play = one().after(30_000).beat("b", 3).beat("a", -2, instance_id="i").forget()
    play.after(15_000)
    assert play.state == "Reconciling 4/4 b:3"


def test_an_instance_that_is_in_use_is_not_given_away() -> None:
    play = one().beat("x", 0, "t", instance_id="i").said("x: UNRELEASED_INSTANCE_ID")
    play.beat("x", 3, instance_id="i").beat("x", -1, instance_id="i").beat("x", -2, instance_id="j")
    play.said("x: FENCED_INSTANCE_ID", "x: FENCED_INSTANCE_ID", "x: UNKNOWN_MEMBER_ID")


def test_one_may_leave_for_good() -> None:
    play = one().beat("a", -1, instance_id="i").said("a: epoch -1").after(0)
    assert play.state == "Reconciling 4/4 b:3"
    play.beat("x", 0, "t", instance_id="i").forget()
    assert "x" in play.group.members


def test_one_that_left_while_it_had_to_give_up_gives_up_with_that() -> None:
    play = ConsumerPlaybook(t=2).beat("a", 0, "t", instance_id="i").beat("b", 0, "t").beat("a", 2, instance_id="i")
    play.beat("a", -2, instance_id="i").beat("b", 3).forget()
    assert play.has("b") == "t[1]"
    play.beat("a", 0, "t", instance_id="i", member_id="again").said("a: epoch 3 t[0]")


def test_one_that_comes_back_with_another_subscription_changes_the_group() -> None:
    play = ConsumerPlaybook(t=2, u=2).beat("a", 0, "t", instance_id="i").beat("a", -2, instance_id="i").forget()
    play.beat("a", 0, "u", instance_id="i", member_id="again").said("a: epoch 3 u[0 1]")


def test_the_place_that_was_kept_counts_in_a_full_group() -> None:
    play = ConsumerPlaybook({"group.consumer.max.size": 1}, t=1).beat("a", 0, "t", instance_id="i")
    play.beat("a", -2, instance_id="i").forget()
    play.beat("a", 0, "t", instance_id="i").said("a: epoch 2 t[0]")
