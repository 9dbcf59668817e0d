"""Groups begin in epoch 1, as in Apache Kafka, so the first member comes to epoch 2. What earlier releases stored, which began in epoch 0, goes on."""

from __future__ import annotations

from typing import Any

from consumer_playbook import ConsumerPlaybook, topic_id
from playbook import GROUP
from share_playbook import Sharing

from moldau.coordination.consumer import records as consumer
from moldau.coordination.consumer.describe import ConsumerDescription
from moldau.coordination.consumer.member import ConsumerMember
from moldau.coordination.modern.subscribed import metadata_hash
from moldau.coordination.share import records as share
from moldau.coordination.share.events import ShareReset
from moldau.coordination.share.group import ShareMember
from moldau.metadata.rows_groups import GroupRecord


def store(play: ConsumerPlaybook, *records: GroupRecord) -> None:
    play.records = {record[:3]: record for record in records}
    play.restart()


def test_a_first_member_that_subscribes_to_nothing_asks_for_no_assignment() -> None:
    play = ConsumerPlaybook(t=1).beat("a", 0, "").said("a: epoch 1 -")
    assert play.state == "Stable 1/1 a:1"
    play.restart()
    assert play.state == "Stable 1/1 a:1"
    play.beat("a", 1, "t").said("a: epoch 2 t[0]")


def test_a_consumer_group_of_an_earlier_release_goes_on_in_its_epoch() -> None:
    play = ConsumerPlaybook(t=2)
    member = ConsumerMember(
        "a",
        client_id="a",
        rebalance_timeout_ms=60_000,
        member_epoch=1,
        previous_member_epoch=0,
        topics=("t",),
        assigned={topic_id("t"): {0: 1, 1: 1}},
        target={topic_id("t"): frozenset((0, 1))},
    )
    value = consumer.GroupValue(1, 1, play.now, metadata_hash(play.topics, ["t"]))
    store(play, consumer.group_record(GROUP, value), consumer.member_record(GROUP, member))
    play.beat("a", 1).said("a: epoch 1").beat("b", 0, "t").said("b: epoch 2 - again in 500")
    play.beat("a", 1).said("a: epoch 1 t[0]").beat("a", 1, owned="t[0]").said("a: epoch 2")


def test_an_empty_consumer_group_of_an_earlier_release_takes_members() -> None:
    play = ConsumerPlaybook(t=1)
    store(play, consumer.group_record(GROUP, consumer.GroupValue(2, 1, play.now, b"")))
    assert play.state == "Empty 2/1"
    play.beat("a", 0, "t").said("a: epoch 3 t[0]")


def test_an_assignment_that_an_earlier_release_did_not_make_is_made() -> None:
    play = ConsumerPlaybook(t=1)
    member = ConsumerMember("a", client_id="a", rebalance_timeout_ms=60_000, topics=("t",))
    value = consumer.GroupValue(1, 0, -1, metadata_hash(play.topics, ["t"]))
    store(play, consumer.group_record(GROUP, value), consumer.member_record(GROUP, member))
    play.after(0).beat("a", 0, "t").said("a: epoch 1 t[0]")


def test_share_groups() -> None:
    play = Sharing(t=1).share("a", 0, "t").said("a: epoch 2 t[0]")
    assert (play.group.group_epoch, play.group.assignment_epoch) == (2, 2)


def test_a_share_group_that_an_administrator_made() -> None:
    play = Sharing(t=1)
    play.hand_in("reset", "", ShareReset(GROUP)).forget()
    assert (play.group.group_epoch, play.group.assignment_epoch) == (1, 1)
    play.restart()
    play.share("a", 0, "t").said("a: epoch 2 t[0]")


def test_share_groups_of_an_earlier_release_go_on() -> None:
    play = Sharing(t=1)
    store(play, share.group_record(GROUP, share.GroupValue(0, 0, b"")))
    play.share("a", 0, "t").said("a: epoch 1 t[0]")
    member = ShareMember("a", client_id="a", client_host="/h", member_epoch=1, topics=("t",))
    value = share.GroupValue(1, 1, metadata_hash(play.topics, ["t"]))
    store(play, share.group_record(GROUP, value), share.member_record(GROUP, member))
    play.share("a", 1).said("a: epoch 1").share("b", 0, "t").said("b: epoch 2 t[0]").share("a", 1).said(
        "a: epoch 2 t[0]"
    )


def test_what_a_member_has_not_given_up_is_described_as_its() -> None:
    play = ConsumerPlaybook(t=2).beat("a", 0, "t").beat("b", 0, "t").beat("a", 2).forget()
    assert play.state == "Reconciling 3/3 a:2 gives t[1] b:3"

    def described() -> list[tuple[Any, Any]]:
        _, found = play.groups.details("consumer", GROUP)
        assert isinstance(found, ConsumerDescription)
        return [(member.assigned, member.target) for member in found.members]

    def t(*partitions: int) -> list[tuple[bytes, str, list[int]]]:
        return [(topic_id("t"), "t", list(partitions))]

    assert described() == [(t(0, 1), t(0)), ([], t(1))]
    play.beat("a", 2, owned="t[0]").beat("b", 3)
    assert described() == [(t(0), t(0)), (t(1), t(1))]
