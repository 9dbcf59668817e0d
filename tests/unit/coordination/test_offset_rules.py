"""Offsets: who may commit, what is written, what expires, what may be deleted."""

from __future__ import annotations

import pytest
from playbook import GROUP, START, TOPIC, Playbook, stable, subscription

from moldau.coordination.events import ExpireOffsets, OffsetCommit
from moldau.coordination.offsets import FROM_COMMIT, commit_rows, is_expired
from moldau.metadata.rows_groups import OffsetKey, OffsetRow
from moldau.protocol import error_codes

# -- committing


def test_a_simple_consumer_commits_without_a_group() -> None:
    play = Playbook().commit("", -1, offset=7, metadata="note").said("commit: NONE")
    assert play.offsets == {
        OffsetKey(GROUP, TOPIC, 0): OffsetRow(GROUP, TOPIC, 0, 7, -1, "note", START, -1),
    }
    assert play.state == "Empty 0"
    assert play.restart().state == "Empty 0"
    play.commit("", -1, offset=8).said("commit: NONE")
    assert play.written == 2


def test_an_unknown_group_refuses_generations() -> None:
    Playbook().commit("a-1", 1).said("commit a: GROUP_ID_NOT_FOUND")
    Playbook().commit("a-1", 1, knows_group_id_not_found=False).said("commit a: ILLEGAL_GENERATION")


def test_commits_in_a_stable_group() -> None:
    play = stable("a", "b").commit("a-1", 1).commit("b-1", 1).said("commit a: NONE", "commit b: NONE")
    play.commit("x-1", 1).said("commit x: UNKNOWN_MEMBER_ID")
    play.commit("a-1", 0).commit("a-1", 2).said("commit a: ILLEGAL_GENERATION", "commit a: ILLEGAL_GENERATION")
    play.commit("", -1).said("commit: UNKNOWN_MEMBER_ID")
    play.commit("a-1", -1).said("commit a: ILLEGAL_GENERATION")
    play.commit("a-1", 1, instance_id="i").said("commit a: UNKNOWN_MEMBER_ID")


def test_commits_while_the_next_generation_gathers() -> None:
    play = stable("a", "b").come("c").commit("a-1", 1).said("commit a: NONE")
    play.commit("", -1).said("commit: UNKNOWN_MEMBER_ID")


def test_no_commits_between_join_and_sync() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a").after(1).forget()
    play.commit("a-1", 1).said("commit a: REBALANCE_IN_PROGRESS")
    play.commit("a-1", 0).said("commit a: ILLEGAL_GENERATION")


def test_commits_to_an_empty_group() -> None:
    play = stable("a").leave("a-1").forget()
    play.commit("", -1).commit("whoever", -1).said("commit: NONE", "commit: NONE")
    play.commit("a-1", 1).said("commit a: UNKNOWN_MEMBER_ID")


def test_a_commit_keeps_the_session_alive() -> None:
    play = stable("a")
    for _ in range(5):
        play.after(9_000).commit("a-1", 1)
    assert set(play.lines) == {"commit a: NONE"}
    assert play.state.startswith("Stable")
    assert play.after(10_000).state == "Empty 2"


def test_a_group_that_was_never_stored_is_stored_with_its_first_offsets() -> None:
    """The first generation's assignment was lost; its member commits in the join phase after it."""
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", "b").after(1).forget()
    play.join("a", "a-1", (("range", subscription("other")),)).commit("b-1", 1).said("commit b: NONE")
    assert play.state == "PreparingRebalance 1 leader=a-1 members=a-1,b-1"
    play.join("b", "b-1").forget().sync("a-1", 2, {"a-1": b"A"}).said("sync a: assigned 'A'")
    assert play.restart().state.startswith("Stable 2")


def test_a_commit_that_cannot_be_stored_says_so() -> None:
    play = stable("a")
    play.store_fails = True
    play.commit("a-1", 1).said("commit a: COORDINATOR_NOT_AVAILABLE")
    assert not play.offsets


def test_an_own_retention_becomes_an_expire_timestamp() -> None:
    play = Playbook().commit("", -1, retention_ms=5_000)
    assert play.offsets[OffsetKey(GROUP, TOPIC, 0)].expire_timestamp == START + 5_000


def commit(*metadata: str | None) -> OffsetCommit:
    offsets = [(TOPIC, n, 1, 5, text) for n, text in enumerate(metadata)]
    return OffsetCommit(GROUP, "", -1, offsets, commit_timestamp=START)


def test_metadata_that_is_too_long_is_refused_alone() -> None:
    rows, errors = commit_rows(commit(None, "x" * 10, "x" * 11, "é" * 10, "🌊" * 5, "🌊" * 6), 10)
    assert [error_codes.name(code) for code in errors] == [
        "NONE",
        "NONE",
        "OFFSET_METADATA_TOO_LARGE",
        "NONE",
        "NONE",
        "OFFSET_METADATA_TOO_LARGE",
    ]
    assert [(row.partition, row.metadata, row.leader_epoch) for row in rows] == [
        (0, "", 5),
        (1, "x" * 10, 5),
        (3, "é" * 10, 5),
        (4, "🌊" * 5, 5),
    ]


def test_a_refused_first_commit_makes_no_group() -> None:
    play = (
        Playbook(offset_metadata_max_bytes=3).commit("", -1, metadata="four").said("commit: OFFSET_METADATA_TOO_LARGE")
    )
    assert play.state == "gone"
    assert play.written == 0


# -- deleting


def test_offsets_of_subscribed_topics_stay() -> None:
    play = stable("a").commit("a-1", 1).forget().delete_offsets("t", "u")
    play.said("delete-offsets: GROUP_SUBSCRIBED_TO_TOPIC,NONE")
    assert not play.offsets  # u has the same id here, and was not subscribed


def test_offsets_of_an_empty_group_are_deleted() -> None:
    play = stable("a").commit("a-1", 1).leave("a-1").forget().delete_offsets("t").said("delete-offsets: NONE")
    assert not play.offsets
    play.delete_offsets("t").said("delete-offsets: NONE")


def test_offsets_of_other_protocols_need_an_empty_group() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", kind="connect").after(1).forget()
    play.delete_offsets("t").said("delete-offsets: NON_EMPTY_GROUP")
    Playbook().delete_offsets("t").said("delete-offsets: GROUP_ID_NOT_FOUND")


def test_unreadable_subscriptions_count_as_subscribed_to_everything() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", protocols=(("range", b"\x00"),)).after(1)
    play.sync("a-1", 1, {}).forget().delete_offsets("any").said("delete-offsets: GROUP_SUBSCRIBED_TO_TOPIC")


# -- expiry


def test_from_when_offsets_age() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).commit("", -1)
    assert play.groups.offsets_expire_from(GROUP) == FROM_COMMIT
    play.come("a").after(1)
    assert play.groups.offsets_expire_from(GROUP) is None
    play.sync("a-1", 1, {})
    assert play.groups.offsets_expire_from(GROUP) == FROM_COMMIT
    play.come("b")
    assert play.groups.offsets_expire_from(GROUP) is None
    play.after(99).leave("a-1", "b-1").after(60_000)
    assert play.state == "Empty 2"
    assert play.groups.offsets_expire_from(GROUP) == START + 1 + 99
    assert play.restart().groups.offsets_expire_from(GROUP) == START + 1 + 99
    assert play.groups.offsets_expire_from("nobody") == FROM_COMMIT


def test_groups_of_other_protocols_lose_nothing_while_they_have_members() -> None:
    play = Playbook(group_initial_rebalance_delay_ms=0).come("a", kind="connect").after(1).sync("a-1", 1, {})
    assert play.state.startswith("Stable")
    assert play.groups.offsets_expire_from(GROUP) is None


@pytest.mark.parametrize(
    ("expire_timestamp", "since", "now", "expired"),
    [
        (-1, FROM_COMMIT, 1_099, False),
        (-1, FROM_COMMIT, 1_100, True),
        (-1, 2_000, 1_100, False),
        (-1, 2_000, 2_100, True),
        (1_050, FROM_COMMIT, 1_049, False),
        (1_050, 2_000, 1_050, True),
        (9_999, FROM_COMMIT, 5_000, False),
    ],
)
def test_an_offset_expires(expire_timestamp: int, since: int, now: int, expired: bool) -> None:
    row = OffsetRow(GROUP, TOPIC, 0, 1, -1, "", 1_000, expire_timestamp)
    assert is_expired(row, since, now, 100) is expired


def test_expired_offsets_take_an_empty_group_with_them() -> None:
    key = OffsetKey(GROUP, TOPIC, 0)
    play = Playbook().commit("", -1)
    play._carry_out(ExpireOffsets(GROUP, [key], rest=True))
    assert not play.offsets
    assert play.state == "Empty 0"
    play._carry_out(ExpireOffsets(GROUP, [], rest=False))
    assert play.state == "gone"
    assert not play.records


def test_expired_offsets_do_not_take_a_group_with_members() -> None:
    play = stable("a").commit("a-1", 1)
    play._carry_out(ExpireOffsets(GROUP, [OffsetKey(GROUP, TOPIC, 0)], rest=False))
    assert play.state.startswith("Stable")
    assert not play.offsets
