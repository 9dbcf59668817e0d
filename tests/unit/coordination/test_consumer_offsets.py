"""Consumer groups: who may commit and read offsets, delete them and the group; how lists and descriptions tell of it."""

from __future__ import annotations

import pytest
from consumer_playbook import ConsumerPlaybook, topic_id
from playbook import GROUP

from moldau.coordination.consumer.describe import ConsumerDescription
from moldau.coordination.events import OffsetCommit
from moldau.protocol import error_codes as e


class Committing(ConsumerPlaybook):
    def commits(self, member_id: str, epoch: int, topic: str = "t", partition: int = 0, **more: object) -> Committing:
        event = OffsetCommit(
            GROUP,
            member_id,
            epoch,
            [(topic_id(topic), partition, 5, -1, "")],
            commit_timestamp=self.now,
            **more,  # type: ignore[arg-type]
        )
        self.hand_in("commit", member_id, event)
        return self


def two() -> Committing:
    """`a` has t[0 1], `b` has t[2 3]; both came to that in epoch 3."""
    play = Committing(t=4)
    play.beat("a", 0, "t").beat("b", 0, "t").beat("a", 2).beat("a", 2, owned="t[0 1]").beat("b", 3)
    play.forget()
    return play


def test_a_member_commits_in_its_epoch_and_for_what_it_had_before_in_an_earlier_one() -> None:
    play = two().commits("a", 3).commits("b", 3, partition=3)
    play.said("commit a: NONE", "commit b: NONE")
    play.commits("a", 2).said("commit a: NONE")  # t-0 was its in epoch 2 (KIP-1251)
    play.commits("a", 2, partition=2).commits("b", 2, partition=3).commits("a", 4).commits("x", 3).commits("", -1)
    play.said(
        "commit a: STALE_MEMBER_EPOCH",
        "commit b: STALE_MEMBER_EPOCH",
        "commit a: STALE_MEMBER_EPOCH",
        "commit x: UNKNOWN_MEMBER_ID",
        "commit : UNKNOWN_MEMBER_ID".replace(" :", ":"),
    )
    play.commits("a", 3, knows_group_id_not_found=False).said("commit a: UNSUPPORTED_VERSION")
    play.commits("", -1, transactional=True).commits("a", 4, transactional=True)
    play.said("commit: NONE", "commit a: ILLEGAL_GENERATION")


def test_anybody_commits_to_an_empty_group() -> None:
    play = two()
    play.leave_for_good("a").leave_for_good("b").forget()
    play.commits("", -1).commits("a", 3).said("commit: NONE", "commit a: UNKNOWN_MEMBER_ID")


def test_a_group_that_only_had_offsets_becomes_a_consumer_group_and_keeps_them() -> None:
    play = Committing(t=1).commits("", -1).said("commit: NONE")
    assert play.state == "classic Empty 0"
    play.beat("a", 0, "t").said("a: epoch 2 t[0]")
    assert play.state == "Stable 2/2 a:2"
    assert len(play.offsets) == 1


@pytest.mark.parametrize(
    ("member_id", "epoch", "code"),
    [
        (None, -1, e.NONE),
        ("a", 3, e.NONE),
        ("a", 2, e.STALE_MEMBER_EPOCH),
        ("a", 4, e.STALE_MEMBER_EPOCH),
        ("x", 3, e.UNKNOWN_MEMBER_ID),
        (None, 3, e.UNKNOWN_MEMBER_ID),
    ],
)
def test_who_may_read_offsets(member_id: str | None, epoch: int, code: int) -> None:
    assert two().groups.validate_fetch(GROUP, member_id, epoch) == code


def test_offsets_of_a_topic_that_is_subscribed_to_stay() -> None:
    play = two().commits("a", 3).forget()
    play.delete_offsets("t", "u").said("delete-offsets: GROUP_SUBSCRIBED_TO_TOPIC,NONE")
    play.delete().said("delete: NON_EMPTY_GROUP")


def test_lists_and_descriptions() -> None:
    play = two()
    play.beat("c", 0, "", regex="t|u", instance_id="i", rack_id="r").forget()
    (listed,) = play.groups.list()
    assert (listed.group_type, listed.protocol_type, listed.state) == ("consumer", "consumer", "Reconciling")
    assert play.groups.list(types=["Consumer"]) == play.groups.list(states=["reconciling"]) == [listed]
    assert play.groups.list(types=["classic"]) == play.groups.list(states=["Stable"]) == []
    said = play.groups.describe(GROUP)
    assert (said.error_code, said.state, said.error_message) == (
        e.GROUP_ID_NOT_FOUND,
        "Dead",
        "Group g is not a classic group.",
    )
    why, found = play.groups.details("consumer", GROUP)
    assert why is None
    assert isinstance(found, ConsumerDescription)
    assert (found.state, found.group_epoch, found.assignment_epoch, found.assignor) == ("Reconciling", 4, 4, "uniform")
    a, _, c = found.members
    assert (a.member_id, a.member_epoch, a.topics, a.regex, a.assigned) == (
        "a",
        3,
        ["t"],
        "",
        [(topic_id("t"), "t", [0, 1])],
    )
    assert (c.instance_id, c.rack_id, c.topics, c.regex, c.assigned) == ("i", "r", [], "t|u", [])
    assert play.groups.details("share", GROUP) == ("Group g is not a share group.", None)
    assert play.groups.details("consumer", "x") == ("Group x not found.", None)
