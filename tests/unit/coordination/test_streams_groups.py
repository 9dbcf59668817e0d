"""Streams groups, one story for each rule (KIP-1071)."""

from __future__ import annotations

from streams_play import GROUP, STATEFUL, STATELESS, TWO_PARTS, StreamsPlay, Topics, task

from moldau.coordination.events import JoinGroup, LeaveGroup, LeavingMember
from moldau.coordination.streams.endpoints import Endpoint
from moldau.coordination.streams.events import StreamsHeartbeat, TopologyDescription
from moldau.coordination.streams.tasks import Assignment
from moldau.coordination.streams.topology import InternalTopic, Subtopology, Topology
from moldau.protocol import error_codes


def test_the_first_member_gets_all_tasks() -> None:
    play = StreamsPlay().join("a").said("a: epoch 2 active=0_0,0_1,0_2,0_3")
    assert play.group.state == "Stable"
    play.beat("a").said("a: epoch 2")


def test_a_second_member_gets_tasks_when_the_first_has_given_them_up() -> None:
    play = StreamsPlay().join("a").forget().join("b").said("b: epoch 3 active=")
    play.beat("a").said("a: epoch 2 active=0_0,0_1")
    play.beat("b").said("b: epoch 3")
    play.beat("a").said("a: epoch 3").beat("b").said("b: epoch 3 active=0_2,0_3")
    assert play.group.state == "Stable"


def test_a_member_that_does_not_give_up_its_tasks_in_time_is_out() -> None:
    play = StreamsPlay().join("a").join("b").forget()
    play.beat("a").said("a: epoch 2 active=0_0,0_1")
    every = Assignment(frozenset({task("0_0"), task("0_1"), task("0_2"), task("0_3")}))
    for _ in range(5):
        play.after(10_000).beat("a", owned=every).beat("b")
    play.after(10_000).forget().beat("b").said("b: epoch 4 active=0_0,0_1,0_2,0_3")
    play.beat("a").said("a: UNKNOWN_MEMBER_ID")


def test_tasks_of_a_silent_member_go_to_the_others() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b")
    play.after(44_000).beat("b").after(1_000).forget()
    play.beat("b").said("b: epoch 4 active=0_0,0_1,0_2,0_3")


def test_who_is_silent_while_the_store_fails_goes_once_it_does_not() -> None:
    play = StreamsPlay().join("a").settle("a")
    play.store_fails = True
    play.after(60_000)  # it is tried once a second, not all the time
    assert list(play.group.members) == ["a"]
    play.store_fails = False
    assert play.after(1_000).group.state == "Empty"


def test_a_member_that_leaves_hands_over_at_once() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b").leave("a").said("a: epoch -1")
    play.beat("b").said("b: epoch 4 active=0_0,0_1,0_2,0_3")
    assert play.leave("b").group.state == "Empty"


def test_members_of_a_new_group_are_waited_for() -> None:
    play = StreamsPlay(initial_rebalance_delay_ms=3_000)
    play.join("a", "b").said("a: epoch 1 active= ASSIGNMENT_DELAYED", "b: epoch 1 active= ASSIGNMENT_DELAYED")
    play.after(2_999).beat("a").said("a: epoch 1 ASSIGNMENT_DELAYED").after(1)
    play.beat("a", "b").said("a: epoch 3 active=0_0,0_2", "b: epoch 3 active=0_1,0_3")
    play.leave("a").leave("b").forget()
    play.join("c").said("c: epoch 3 active= ASSIGNMENT_DELAYED")


def test_a_restart_keeps_everything_and_waits_for_nobody() -> None:
    play = StreamsPlay(initial_rebalance_delay_ms=3_000).join("a").after(3_000).beat("a").forget().restart()
    play.beat("a").said("a: epoch 2")
    assert play.group.state == "Stable"
    play.after(44_999).beat("a").said("a: epoch 2").after(45_000)
    assert play.group.state == "Empty"


def test_assignments_keep_their_interval() -> None:
    play = StreamsPlay(assignment_interval_ms=1_000).join("a").forget()
    play.join("b").said("b: epoch 2 active= ASSIGNMENT_DELAYED").after(1_000)
    play.beat("a").said("a: epoch 2 active=0_0,0_1").beat("a").beat("b").said("a: epoch 3", "b: epoch 3 active=0_2,0_3")


def test_source_topics_are_waited_for() -> None:
    play = StreamsPlay(topics=Topics()).join("a").said("a: epoch 2 active= MISSING_SOURCE_TOPICS")
    assert play.last is not None
    assert play.last.status[0].detail == "Source topics in are missing."
    assert play.group.state == "NotReady"
    play.topics.put("in", 2)
    play.beat("a").said("a: epoch 3 active=0_0,0_1").beat("a").said("a: epoch 3")


def test_more_partitions_are_more_tasks() -> None:
    play = StreamsPlay().join("a").forget()
    play.topics.put("in", 5)
    play.beat("a").said("a: epoch 3 active=0_0,0_1,0_2,0_3,0_4")


def test_internal_topics_are_named_until_they_are_there() -> None:
    play = StreamsPlay(TWO_PARTS, Topics(**{"in": 3})).join("a").said("a: epoch 2 active= MISSING_INTERNAL_TOPICS")
    assert play.last is not None
    assert play.last.missing == (
        InternalTopic("log", 3, 0, (("cleanup.policy", "compact"),)),
        InternalTopic("mid", 3, 0, (("cleanup.policy", "delete"),)),
    )
    play.topics.put("mid", 3)
    play.topics.put("log", 3)
    play.beat("a").said("a: epoch 3 active=0_0,0_1,0_2,1_0,1_1,1_2")
    assert play.last.missing == ()


def test_an_internal_topic_of_the_wrong_size_is_told() -> None:
    play = StreamsPlay(TWO_PARTS, Topics(**{"in": 3, "mid": 2, "log": 3}))
    play.join("a").said("a: epoch 2 active= INCORRECTLY_PARTITIONED_TOPICS")
    assert play.last is not None
    assert play.last.status[0].detail == "Existing topic mid has different number of partitions: expected 3, found 2"


def test_a_loop_of_repartition_topics_is_no_topology() -> None:
    loop = Subtopology("0", repartition_sink_topics=("x",), repartition_source_topics=(InternalTopic("x"),))
    play = StreamsPlay(Topology(0, {"0": loop})).join("a").said("a: STREAMS_INVALID_TOPOLOGY")
    assert play.group is None
    assert not play.records


def test_a_topology_stays_what_it_was() -> None:
    play = StreamsPlay().join("a").forget()
    play.join("b", topology=Topology(1, STATEFUL.subtopologies)).said("b: INVALID_REQUEST")
    play.join("b", topology=Topology(0, STATEFUL.subtopologies)).said("b: INVALID_REQUEST")


def test_an_older_topology_is_stale() -> None:
    play = StreamsPlay(Topology(3, STATELESS.subtopologies)).join("a").forget()
    play.join("b", topology=STATELESS).said("b: epoch 3 active= STALE_TOPOLOGY")


def test_a_group_has_so_many_members() -> None:
    play = StreamsPlay()
    play.max_size = 1
    play.join("a").forget().join("b").said("b: GROUP_MAX_SIZE_REACHED").join("a").said(
        "a: epoch 2 active=0_0,0_1,0_2,0_3"
    )


def test_epochs_that_are_not_the_members_are_fenced() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b")
    play.epochs["a"] = 7
    play.beat("a").said("a: FENCED_MEMBER_EPOCH")
    play.epochs["a"] = 1
    play.beat("a").said("a: FENCED_MEMBER_EPOCH")


def test_the_epoch_before_is_let_through_when_the_answer_may_have_been_lost() -> None:
    play = StreamsPlay().join("a").forget()
    play.topics.put("in", 5)
    lost = play.runs["a"]
    play.beat("a").forget()
    play.epochs["a"] = 2
    play.beat("a", owned=lost).said("a: epoch 3 active=0_0,0_1,0_2,0_3,0_4")
    play.beat("a").said("a: epoch 3").beat("a", rebalance_timeout_ms=60_000).said(
        "a: epoch 3 active=0_0,0_1,0_2,0_3,0_4"
    )


def test_unknown_members_and_groups() -> None:
    play = StreamsPlay()
    play.runs["a"], play.epochs["a"] = Assignment(), 4
    play.beat("a").said("a: GROUP_ID_NOT_FOUND").leave("a").said("a: GROUP_ID_NOT_FOUND")
    play.join("b").forget().beat("a").said("a: UNKNOWN_MEMBER_ID").leave("a").said("a: UNKNOWN_MEMBER_ID")


def test_tasks_that_do_not_exist_are_refused() -> None:
    play = StreamsPlay().join("a").forget()
    play.beat("a", owned=Assignment(frozenset({("7", 0)}))).said("a: INVALID_REQUEST")
    play.beat("a", owned=Assignment(frozenset({("0", 9)}))).said("a: INVALID_REQUEST")


def test_standbys_go_to_other_processes() -> None:
    play = StreamsPlay(STATEFUL, num_standby_replicas=1).join("a", "b").settle("a", "b", rounds=10)
    for name, other in (("a", "b"), ("b", "a")):
        assert len(play.runs[name].active) == 2
        assert play.runs[name].standby == play.runs[other].active


def test_a_setting_of_the_assignor_deals_tasks_anew() -> None:
    play = StreamsPlay(STATEFUL).join("a", "b").settle("a", "b")
    play.settings["streams.num.standby.replicas"] = 1
    play.settle("a", "b")
    assert play.runs["a"].standby == play.runs["b"].active


def test_threads_of_one_process_do_not_copy_each_other() -> None:
    play = StreamsPlay(STATEFUL, num_standby_replicas=1).join("a1", "a2").settle("a1", "a2")
    assert not play.runs["a1"].standby
    assert not play.runs["a2"].standby


def test_a_shutdown_is_told_to_all_until_the_group_is_empty() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b").beat("a", shutdown_application=True)
    play.beat("b").said("a: epoch 3 SHUTDOWN_APPLICATION", "b: epoch 3 SHUTDOWN_APPLICATION")
    play.leave("a").leave("b").forget().join("c").said("c: epoch 6 active=0_0,0_1,0_2,0_3")


def test_a_shutdown_may_be_asked_for_when_leaving() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b").leave("a", shutdown_application=True).forget()
    play.beat("b").said("b: epoch 4 active=0_0,0_1,0_2,0_3 SHUTDOWN_APPLICATION")


def test_a_static_member_is_back_with_its_tasks() -> None:
    play = StreamsPlay().join("a", instance_id="i").join("b").settle("a", "b")
    before = play.runs["a"]
    play.leave("a", -2, instance_id="i").said("a: epoch -2").beat("b").said("b: epoch 3")
    play.join("c", instance_id="i", process_id="a").said("c: epoch 3 active=0_0,0_1")
    assert play.runs["c"] == before
    play.beat("a", instance_id="i").said("a: FENCED_INSTANCE_ID")
    assert list(play.group.members) == ["b", "c"]


def test_a_static_member_that_is_not_back_in_time_is_out() -> None:
    play = StreamsPlay().join("a", instance_id="i").join("b").settle("a", "b").leave("a", -2, instance_id="i")
    play.after(44_000).beat("b").after(2_000).forget().beat("b").said("b: epoch 4 active=0_0,0_1,0_2,0_3")


def test_an_instance_id_belongs_to_one_member() -> None:
    play = StreamsPlay().join("a", instance_id="i").forget()
    play.join("b", instance_id="i").said("b: UNRELEASED_INSTANCE_ID")
    play.leave("b", -2, instance_id="j").said("b: UNKNOWN_MEMBER_ID")
    play.leave("a", -1, instance_id="i").said("a: epoch -1").join("b", instance_id="i").said(
        "b: epoch 4 active=0_0,0_1,0_2,0_3"
    )


def test_members_are_told_who_has_which_partitions() -> None:
    play = StreamsPlay().join("a", endpoint=Endpoint("host-a", 1)).join("b", endpoint=Endpoint("host-b", 2))
    play.settle("a", "b").beat("a", endpoint_epoch=-1)
    assert play.last is not None
    assert play.last.endpoints == [
        (Endpoint("host-b", 2), [("in", [2, 3])], []),
        (Endpoint("host-a", 1), [("in", [0, 1])], []),
    ]
    play.beat("a", endpoint_epoch=play.last.endpoint_epoch)
    assert play.last.endpoints is None


def test_commits_are_held_against_the_members_epoch() -> None:
    play = StreamsPlay().join("a").join("b").settle("a", "b")
    assert play.commit("a", 3) == error_codes.NONE
    assert play.commit("a", 2) == error_codes.NONE  # the task has been its own since epoch 2
    assert play.commit("b", 2, partition=2) == error_codes.STALE_MEMBER_EPOCH
    assert play.commit("a", 4) == error_codes.STALE_MEMBER_EPOCH
    assert play.commit("x", 3) == error_codes.UNKNOWN_MEMBER_ID
    assert play.commit("", -1) == error_codes.UNKNOWN_MEMBER_ID
    assert play.commit("", -1, transactional=True) == error_codes.NONE
    assert play.commit("a", 3, knows_group_id_not_found=False) == error_codes.UNSUPPORTED_VERSION
    play.leave("a").leave("b")
    assert play.commit("", -1) == error_codes.NONE


def test_only_an_empty_group_is_deleted() -> None:
    play = StreamsPlay().join("a")
    assert play.delete() == error_codes.NON_EMPTY_GROUP
    play.leave("a")
    assert play.delete() == error_codes.NONE
    assert play.group is None
    assert not play.records


def test_an_empty_classic_group_becomes_a_streams_group() -> None:
    play = StreamsPlay()
    assert play.commit("", -1) == error_codes.NONE
    assert play.groups.list()[0].group_type == "classic"
    play.join("a").said("a: epoch 2 active=0_0,0_1,0_2,0_3")
    assert play.groups.list()[0].group_type == "streams"
    play.restart()
    assert play.groups.list()[0].group_type == "streams"


def test_a_classic_group_with_members_stays_one() -> None:
    play = StreamsPlay()
    join = JoinGroup(
        GROUP,
        "",
        "c-1",
        "consumer",
        (("range", b""),),
        session_timeout_ms=10_000,
        requires_known_member_id=False,
        ticket="c",
    )
    play.groups.handle(join, play.now)
    play.join("a").said("a: GROUP_ID_NOT_FOUND")
    play.groups.handle(LeaveGroup(GROUP, [LeavingMember("c-1")], ticket="c"), play.now)


def test_what_could_not_be_written_has_not_happened() -> None:
    play = StreamsPlay()
    play.store_fails = True
    play.join("a").said("a: COORDINATOR_NOT_AVAILABLE")
    assert play.group is None
    play.store_fails = False
    play.join("a").said("a: epoch 2 active=0_0,0_1,0_2,0_3")
    play.store_fails = True
    play.join("b").said("b: COORDINATOR_NOT_AVAILABLE")
    play.store_fails = False
    play.beat("a").said("a: epoch 2")


def test_what_is_described() -> None:
    play = StreamsPlay(TWO_PARTS, Topics(**{"in": 2, "mid": 2, "log": 2})).join("a", client_tags={"zone": "x"})
    play.beat("a", offsets={("1", 0): 5, ("1", 99): 5, ("9", 0): 5}, end_offsets={("1", 0): 9})
    _, details = play.groups.details("streams", GROUP)
    assert (details.state, details.group_epoch, details.assignment_epoch, details.topology_epoch) == ("Stable", 2, 2, 0)
    assert [part.subtopology_id for part in details.parts] == ["0", "1"]
    assert details.parts[1].changelogs[0].partitions == 2
    assert details.members[0].offsets == {("1", 0): 5}
    assert details.members[0].end_offsets == {("1", 0): 9}
    assert details.members[0].member.client_tags == {"zone": "x"}


def test_one_member_at_a_time_is_asked_for_the_description() -> None:
    play = StreamsPlay().join("a", "b").settle("a", "b")

    def asked(name: str) -> bool:
        play.beat(name, describes=True)
        assert play.last is not None
        return play.last.asks_for_description

    assert [asked("a"), asked("b"), asked("a")] == [True, False, False]
    for _ in range(2):
        play.after(30_000).beat("a", "b")
    assert [asked("b"), asked("a")] == [True, False]
    play.hand_in(TopologyDescription(GROUP, "b", 0, b"drawing", ticket="b"))
    for _ in range(4):
        play.after(30_000).beat("a", "b")
    assert not asked("a")
    assert play.restart().groups.details("streams", GROUP)[1].description == b"drawing"


def test_members_without_the_tags_are_told() -> None:
    play = StreamsPlay(rack_aware_assignment_tags=["zone"]).join("a", client_tags={"rack": "r"})
    play.said("a: epoch 2 active=0_0,0_1,0_2,0_3 MISSING_CLIENT_TAGS")
    play.join("b", client_tags={"zone": "z"}).said("b: epoch 3 active=")


def test_a_group_forgets_who_asked_first_when_it_is_unknown() -> None:
    event = StreamsHeartbeat(GROUP, "a", 5, ticket="a")
    assert event.refused(error_codes.NOT_COORDINATOR).error_code == error_codes.NOT_COORDINATOR
