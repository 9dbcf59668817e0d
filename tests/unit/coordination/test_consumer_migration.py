"""Groups go from the classic protocol to the consumer protocol and back while members run."""

from __future__ import annotations

from typing import Any

import pytest
from consumer_playbook import ConsumerPlaybook
from playbook import GROUP, RANGE

from moldau.coordination.events import JoinGroup
from moldau.coordination.subscription import pack_assignment, read_assignment

RANGE_1 = (("range", b"\x00\x01\x00\x00\x00\x01\x00\x01t\xff\xff\xff\xff\x00\x00\x00\x00"),)
"""Version 1: subscribes to t, owns nothing."""


class Migrating(ConsumerPlaybook):
    def join(
        self, name: str, member_id: str = "", protocols: Any = RANGE_1, kind: str = "consumer", **more: Any
    ) -> Any:
        return super().join(name, member_id, protocols, kind, **more)

    def told(self, reply: Any) -> str:
        if getattr(reply, "assignment", None) and not reply.error_code:
            named = read_assignment(reply.assignment).partitions
            return " ".join(f"{topic}[{' '.join(map(str, each))}]" for topic, each in named.items())
        return super().told(reply)


def classic(**settings: Any) -> Migrating:
    """`a-1` and `b-1` of the classic protocol have t[0 1] and t[2 3] in generation 1."""
    play = Migrating(settings, {"group_initial_rebalance_delay_ms": 0}, t=4)
    play.come("a", "b").after(1)
    play.sync("b-1", 1)
    play.sync("a-1", 1, {"a-1": pack_assignment(1, [("t", [0, 1])]), "b-1": pack_assignment(1, [("t", [2, 3])])})
    assert play.state.startswith("classic Stable 1")
    play.forget()
    return play


def mixed() -> Migrating:
    """`c` of the consumer protocol has come: all are in epoch 2."""
    play = classic()
    play.beat("c", 0, "t").forget()
    for member_id in ("a-1", "b-1"):
        play.join("", member_id)
    play.forget()
    for member_id in ("a-1", "b-1"):
        play.sync(member_id, play.group.members[member_id].member_epoch)
    for _ in range(2):
        play.beat("c", 2)
    play.forget()
    assert play.state == "Stable 2/2 a-1:2 b-1:2 c:2"
    return play


def test_a_member_of_the_consumer_protocol_turns_the_group_and_the_others_join_again() -> None:
    play = classic()
    play.beat("c", 0, "t").said("c: epoch 2 - again in 500")
    assert play.state == "Reconciling 2/2 a-1:1 b-1:1 c:2"
    assert (play.has("a-1"), play.has("b-1")) == ("t[0 1]", "t[2 3]")
    play.beat_classic("a-1", 1).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.join("a", "a-1").said("join a: generation 2 range id=a-1 leader=")
    play.sync("a-1", 2).said(f"sync a: {play.has('a-1')}")
    play.beat_classic("a-1", 2).said("heartbeat a: NONE")
    play.beat_classic("b-1", 1).join("b", "b-1").forget()
    play.beat("c", 2).forget()
    shares = sorted(
        len(play.group.members[each].assigned.get(b"t".ljust(16, b"\0"), {})) for each in play.group.members
    )
    assert shares == [1, 1, 2]


def test_who_waits_in_a_rebalance_is_told_to_join_again() -> None:
    play = classic()
    play.join("a", "a-1").quiet()
    assert play.state.startswith("classic PreparingRebalance")
    play.beat("c", 0, "t").said("c: epoch 2 - again in 500", "join a: REBALANCE_IN_PROGRESS id=a-1")


def test_the_last_member_of_the_consumer_protocol_goes_and_the_group_is_classic_again() -> None:
    play = mixed()
    play.leave_for_good("c").said("c: epoch -1")
    assert play.state == "classic Stable 2 members=a-1,b-1"
    play.after(0)
    assert play.state == "classic PreparingRebalance 2 members=a-1,b-1"
    play.beat_classic("a-1", 2).said("heartbeat a: REBALANCE_IN_PROGRESS")
    play.join("b", "b-1").join("a", "a-1")
    assert sorted(line.partition(" leader=")[0] for line in play.lines) == [
        "join a: generation 3 range id=a-1",
        "join b: generation 3 range id=b-1",
    ]
    assert "CompletingRebalance 3" in play.state


def test_a_downgrade_survives_a_restart_right_after_it() -> None:
    play = mixed()
    play.leave_for_good("c").restart().after(0)
    assert play.state == "classic PreparingRebalance 2 members=a-1,b-1"


def test_a_silent_member_of_the_consumer_protocol_counts_too() -> None:
    play = mixed()
    for _ in range(9):
        play.after(5_000).beat_classic("a-1", 2).beat_classic("b-1", 2)
    assert play.state.startswith("classic")


@pytest.mark.parametrize("policy", ["disabled", "DOWNGRADE"])
def test_a_group_is_not_turned_where_that_is_not_allowed(policy: str) -> None:
    play = classic(**{"group.consumer.migration.policy": policy})
    play.beat("c", 0, "t").said("c: GROUP_ID_NOT_FOUND")
    assert play.state.startswith("classic Stable 1")


@pytest.mark.parametrize("policy", ["disabled", "Upgrade"])
def test_a_group_is_not_turned_back_where_that_is_not_allowed(policy: str) -> None:
    play = mixed()
    play.settings["group.consumer.migration.policy"] = policy
    play.leave_for_good("c").said("c: epoch -1")
    assert play.state == "Assigning 3/2 a-1:2 b-1:2"


def test_a_classic_member_joins_a_consumer_group_unless_migration_is_disabled() -> None:
    play = Migrating(t=2).beat("c", 0, "t").forget()
    play.join("a").said("join a: MEMBER_ID_REQUIRED id=a-1")
    play.join("a", "a-1").said("join a: generation 3 range id=a-1 leader=")
    play.sync("a-1", 3).forget()
    play.beat("c", 2).beat("c", 2, owned="t[0]").beat_classic("a-1", 3).forget()
    play.join("a", "a-1").sync("a-1", 3)
    assert play.lines[-1] == "sync a: t[1]"
    play.forget()
    play.join("x", kind="connect", requires_known_member_id=False).said("join x: INCONSISTENT_GROUP_PROTOCOL id=")
    play.join("x", protocols=(("other", RANGE_1[0][1]),), requires_known_member_id=False)
    play.said("join x: INCONSISTENT_GROUP_PROTOCOL id=")
    play.settings["group.consumer.migration.policy"] = "disabled"
    play.join("x", requires_known_member_id=False).said("join x: INCONSISTENT_GROUP_PROTOCOL id=")


def test_assignments_with_data_of_their_own_are_not_lost() -> None:
    play = Migrating({}, {"group_initial_rebalance_delay_ms": 0}, t=1)
    play.come("a").after(1)
    play.sync("a-1", 1, {"a-1": pack_assignment(1, [("t", [0])])[:-4] + b"\0\0\0\1x"}).forget()
    play.beat("c", 0, "t").said("c: GROUP_ID_NOT_FOUND")
    assert play.state.startswith("classic Stable 1")


def test_a_group_of_another_kind_is_not_turned() -> None:
    play = Migrating({}, {"group_initial_rebalance_delay_ms": 0}, t=1)
    play.come("a", protocols=(("sessioned", b"x"),), kind="connect").after(1).forget()
    play.beat("c", 0, "t").said("c: GROUP_ID_NOT_FOUND")


def test_an_empty_group_takes_whichever_protocol_comes() -> None:
    play = classic()
    play.leave("a-1", "b-1").after(0).forget()
    assert play.state.startswith("classic Empty")
    play.beat("c", 0, "t").said("c: epoch 2 t[0 1 2 3]")
    play.leave_for_good("c").forget()
    play.join("a").said("join a: MEMBER_ID_REQUIRED id=a-2")
    assert play.state.startswith("classic")


def test_a_classic_member_that_does_not_join_or_sync_in_time_is_out() -> None:
    play = classic()
    play.beat("c", 0, "t").beat_classic("a-1", 1).beat_classic("b-1", 1).forget()
    for _ in range(13):
        play.after(5_000).beat_classic("a-1", 1).beat_classic("b-1", 1).beat("c", play.group.members["c"].member_epoch)
    assert set(play.group.members) == {"c"}


def test_an_administrator_sends_members_of_either_protocol_away() -> None:
    play = mixed()
    play.leave("a-1", "c", "x").said("leave a+None+None: NONE,NONE,UNKNOWN_MEMBER_ID")
    assert play.state == "classic Stable 2 members=b-1"


def test_a_static_member_changes_its_protocol_in_place() -> None:
    play = Migrating(t=2).beat("c", 0, "t", instance_id="i").beat("d", 0, "t").forget()
    play.beat("c", 2, instance_id="i").beat("c", 2, owned="t[0]", instance_id="i").beat("d", 3).forget()
    play.beat("c", -2, instance_id="i").forget()
    event = JoinGroup(
        GROUP, "", "again", "consumer", RANGE_1, session_timeout_ms=10_000, rebalance_timeout_ms=60_000, instance_id="i"
    )
    play.hand_in("join", "again", event)
    play.said("join again: generation 3 range id=again leader=")
    assert play.has("again") == "t[0]"


def test_both_codecs_agree() -> None:
    assert RANGE[0][1] != RANGE_1[0][1]
    assert read_assignment(pack_assignment(3, [("t", [2, 0])])).partitions == {"t": (0, 2)}
