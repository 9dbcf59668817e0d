"""Static members (KIP-345, KIP-814): they come back under a new member id and nobody notices."""

from __future__ import annotations

from playbook import Playbook, stable, subscription

OTHER = (("range", subscription("t", "u")),)


def static(*names: str, **config: int) -> Playbook:
    """A stable group of static members: instance `i-a` is member `a-1`, and so on; the first leads."""
    play = Playbook(group_initial_rebalance_delay_ms=0, **config)
    for name in names:
        play.join(name, instance_id=f"i-{name}")
    play.after(1)
    for name in names[1:]:
        play.sync(f"{name}-1", 1, instance_id=f"i-{name}")
    play.sync(f"{names[0]}-1", 1, {f"{name}-1": name.encode() for name in names}, instance_id=f"i-{names[0]}")
    assert play.state.startswith("Stable 1")
    return play.forget()


def test_a_static_member_needs_no_id_first() -> None:
    Playbook(group_initial_rebalance_delay_ms=0).join("a", instance_id="i").after(1).said(
        "join a: generation 1 range id=a-1 leader=a-1 members=a-1"
    )


def test_a_follower_comes_back_without_a_rebalance() -> None:
    play = static("a", "b").join("b", instance_id="i-b").said("join b: generation 1 range id=b-2 leader=a-1")
    assert play.state == "Stable 1 leader=a-1 members=a-1,b-2"
    play.sync("b-2", 1, instance_id="i-b").said("sync b: assigned 'b'")
    play.beat("b-2", 1, "i-b").beat("a-1", 1, "i-a").said("heartbeat b: NONE", "heartbeat a: NONE")


def test_the_earlier_self_is_fenced() -> None:
    play = static("a", "b").join("b", instance_id="i-b").forget()
    play.beat("b-1", 1, "i-b").said("heartbeat b: FENCED_INSTANCE_ID")
    play.sync("b-1", 1, instance_id="i-b").said("sync b: FENCED_INSTANCE_ID")
    play.join("b", "b-1", instance_id="i-b").said("join b: FENCED_INSTANCE_ID id=b-1")
    play.commit("b-1", 1, instance_id="i-b").said("commit b: FENCED_INSTANCE_ID")
    play.leave(("b-1", "i-b")).said("leave b: FENCED_INSTANCE_ID")
    play.beat("b-1", 1).said("heartbeat b: UNKNOWN_MEMBER_ID")
    assert play.state.startswith("Stable 1")


def test_an_unknown_instance_is_no_member() -> None:
    play = static("a").beat("a-1", 1, "i-x").said("heartbeat a: UNKNOWN_MEMBER_ID")
    play.join("a", "a-1", instance_id="i-x").said("join a: UNKNOWN_MEMBER_ID id=a-1")


def test_a_leader_comes_back_and_is_told_to_skip_the_assignment() -> None:
    play = static("a", "b").join("a", instance_id="i-a")
    play.said("join a: generation 1 range id=a-2 leader=a-2 skip members=a-2,b-1")
    play.sync("a-2", 1, instance_id="i-a").said("sync a: assigned 'a'")
    assert play.state == "Stable 1 leader=a-2 members=a-2,b-1"


def test_a_leader_that_cannot_skip_is_told_that_its_old_self_leads() -> None:
    play = static("a", "b").join("a", instance_id="i-a", supports_skip_assignment=False)
    play.said("join a: generation 1 range id=a-2 leader=a-1")
    assert play.state == "Stable 1 leader=a-2 members=a-2,b-1"


def test_new_metadata_under_the_same_protocol_makes_no_rebalance_but_is_kept() -> None:
    play = static("a", "b").join("b", instance_id="i-b", protocols=OTHER)
    play.said("join b: generation 1 range id=b-2 leader=a-1")
    assert play.group.members["b-2"].protocols == OTHER
    assert play.group.subscribed_topics == {"t", "u"}


def test_a_change_of_the_selected_protocol_makes_a_rebalance() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0)
    play.join("a", instance_id="i-a", protocols=(("range", b""), ("sticky", b""))).after(1)
    play.sync("a-1", 1, {}).forget()
    play.join("a", instance_id="i-a", protocols=(("sticky", b""), ("range", b"")))
    play.said("join a: generation 2 sticky id=a-2 leader=a-2 members=a-2")


def test_coming_back_before_the_sync_makes_a_new_generation() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).join("a", instance_id="i-a").join("b", instance_id="i-b")
    play.after(1).forget().sync("b-1", 1, instance_id="i-b").quiet()
    play.join("b", instance_id="i-b").said("sync b: FENCED_INSTANCE_ID")
    play.join("a", "a-1", instance_id="i-a").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-2", "join b: generation 2 range id=b-2 leader=a-1"
    )


def test_coming_back_while_its_join_is_parked_fences_the_parked_one() -> None:
    play = Playbook().join("a", instance_id="i-a").join("a", instance_id="i-a")
    play.said("join a: FENCED_INSTANCE_ID id=a-1").after(6_000)
    play.said("join a: generation 1 range id=a-2 leader=a-2 members=a-2")


def test_static_members_that_do_not_join_again_stay_in_the_next_generation() -> None:
    play = static("a", "b")
    play.join("c", instance_id="i-c").join("a", "a-1", instance_id="i-a")
    for _ in range(20):
        play.after(3_000).beat("b-1", 1, "i-b")
    assert play.state == "CompletingRebalance 2 leader=a-1 members=a-1,b-1,c-1"
    play.forget().sync("c-1", 2).sync("a-1", 2, {"b-1": b"still"}).forget()
    play.join("b", instance_id="i-b").said("join b: generation 2 range id=b-2 leader=a-1")
    play.sync("b-2", 2, instance_id="i-b").said("sync b: assigned 'still'")
    play.after(9_000).beat("a-1", 2).beat("b-2", 2).beat("c-1", 2)
    play.after(9_000).beat("a-1", 2).beat("b-2", 2).beat("c-1", 2)
    assert set(play.lines) == {"heartbeat a: NONE", "heartbeat b: NONE", "heartbeat c: NONE"}


def test_a_generation_waits_for_somebody_to_join() -> None:
    """Only static members, and none of them comes back within the rebalance timeout."""
    play = static("a", "b").leave("b-1").forget()
    for _ in range(25):
        play.after(3_000).beat("a-1", 1, "i-a")
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1"
    play.forget().join("a", "a-1", instance_id="i-a")
    play.said("join a: generation 2 range id=a-1 leader=a-1 members=a-1")


def test_a_silent_static_member_is_removed_after_its_session() -> None:
    play = static("a", "b")
    for _ in range(4):
        play.after(3_000).beat("a-1", 1, "i-a")
    assert play.lines[-1] == "heartbeat a: REBALANCE_IN_PROGRESS"
    play.forget().join("b", instance_id="i-b").join("a", "a-1", instance_id="i-a").said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,b-2", "join b: generation 2 range id=b-2 leader=a-1"
    )


def test_an_administrator_removes_by_instance_id() -> None:
    play = static("a", "b").leave(("", "i-b")).said("leave i-b: NONE")
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1"
    play.leave(("", "i-b"), ("", "i-a")).said("leave i-b+i-a: UNKNOWN_MEMBER_ID,NONE")
    assert play.state == "Empty 2"


def test_the_exchange_of_a_member_survives_a_restart() -> None:
    play = static("a", "b").join("a", instance_id="i-a").forget().restart()
    assert play.state == "Stable 1 leader=a-2 members=a-2,b-1"
    play.beat("a-1", 1, "i-a").said("heartbeat a: FENCED_INSTANCE_ID")
    play.sync("a-2", 1, instance_id="i-a").said("sync a: assigned 'a'")


def test_an_exchange_that_cannot_be_stored_did_not_happen() -> None:
    play = static("a", "b")
    play.store_fails = True
    play.join("b", instance_id="i-b").said("join b: COORDINATOR_NOT_AVAILABLE id=b-2")
    play.store_fails = False
    assert play.state == "Stable 1 leader=a-1 members=a-1,b-1"
    play.beat("b-1", 1, "i-b").said("heartbeat b: NONE")


def test_dynamic_and_static_members_mix() -> None:
    play = stable("a").join("s", instance_id="i").join("a", "a-1")
    play.said(
        "join a: generation 2 range id=a-1 leader=a-1 members=a-1,s-1", "join s: generation 2 range id=s-1 leader=a-1"
    )


def test_coming_back_before_it_fetched_its_assignment_is_no_reason_to_be_removed() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).join("a", instance_id="i-a").join("b", instance_id="i-b")
    play.after(1).sync("a-1", 1, {"a-1": b"A", "b-1": b"B"}).join("b", instance_id="i-b").forget()
    play.sync("b-2", 1, instance_id="i-b").said("sync b: assigned 'B'")
    for _ in range(25):
        play.after(3_000).beat("a-1", 1).beat("b-2", 1)
    assert set(play.lines) == {"heartbeat a: NONE", "heartbeat b: NONE"}
