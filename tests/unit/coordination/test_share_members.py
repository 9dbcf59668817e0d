"""Share groups: members come, are told their partitions, and go."""

from __future__ import annotations

from share_playbook import Sharing


def test_a_member_whose_answer_was_lost_names_its_topics_and_is_told_again() -> None:
    play = Sharing(t=2).share("a", 0, "t").said("a: epoch 2 t[0 1]")
    play.share("a", 2).said("a: epoch 2").share("a", 2, "t").said("a: epoch 2 t[0 1]")
    play.put(t=3).share("a", 2).forget()  # lost
    play.share("a", 2, "t").said("a: epoch 3 t[0 1 2]").share("a", 3).said("a: epoch 3")


def test_another_subscription_is_another_assignment() -> None:
    play = Sharing(t=1, u=1).share("a", 0, "t").forget()
    play.share("a", 2, "t", "u").said("a: epoch 3 t[0] u[0]").share("a", 3, "u").said("a: epoch 4 u[0]")


def test_for_nobody_no_assignment_is_made() -> None:
    play = Sharing({"share.assignment.interval.ms": 1_000}, t=1).share("a", 0, "t").forget()
    play.after(100).share("a", -1).said("a: epoch -1")
    assert play.state == "Empty 3/2"
    play.after(5_000)
    assert play.state == "Empty 3/2"
    play.share("a", 0, "t").said("a: epoch 4 t[0]")


def test_who_is_silent_for_its_session_is_out() -> None:
    play = Sharing(t=1).share("a", 0, "t").share("b", 0, "t").forget()
    play.after(30_000).share("a", 2).forget().after(15_000)
    assert list(play.group.members) == ["a"]
    play.share("b", 3).said("b: UNKNOWN_MEMBER_ID")


def test_who_is_silent_while_the_store_fails_goes_once_it_does_not() -> None:
    play = Sharing(t=1).share("a", 0, "t").forget()
    play.store_fails = True
    play.after(60_000)  # it is tried once a second, not all the time
    assert list(play.group.members) == ["a"]
    play.store_fails = False
    play.after(1_000)
    assert play.state == "Empty 3/2"
