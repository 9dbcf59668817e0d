"""Consumer groups (KIP-848): joining, giving partitions up, leaving, static members, patterns, offsets; describing them; members of both protocols."""

from __future__ import annotations

from typing import Any

from conversation import Broke, Conversation, scenario
from scenarios_groups import group_ready, join_alone, join_body, sync_body
from scenarios_offsets import UNKNOWN_ID, Committing

from moldau.protocol import api_keys as k
from moldau.protocol.messages import consumer_group_describe as cd
from moldau.protocol.messages import consumer_group_heartbeat as hb
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest
from moldau.protocol.messages.describe_groups import DescribeGroupsRequest
from moldau.protocol.messages.heartbeat import HeartbeatRequest
from moldau.protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from moldau.protocol.messages.list_groups import ListGroupsRequest
from moldau.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)

HEARTBEAT, DESCRIBE = k.CONSUMER_GROUP_HEARTBEAT, k.CONSUMER_GROUP_DESCRIBE
BEFORE = (k.FIND_COORDINATOR, k.HEARTBEAT)
CLASSIC = (k.JOIN_GROUP, k.SYNC_GROUP, k.LEAVE_GROUP)
Owned = dict[bytes, list[int]]


def body(
    group: str, member: str, epoch: int, owned: Owned | None = None, /, **fields: Any
) -> hb.ConsumerGroupHeartbeatRequest:
    made = hb.ConsumerGroupHeartbeatRequest(group_id=group, member_id=member, member_epoch=epoch)
    if owned is not None:
        made.topic_partitions = [hb.TopicPartitions(topic_id=t, partitions=p) for t, p in owned.items()]
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def joins(group: str, member: str, *topics: str, **fields: Any) -> hb.ConsumerGroupHeartbeatRequest:
    values = {"rebalance_timeout_ms": 10_000, "subscribed_topic_names": list(topics)}
    return body(group, member, 0, {}, **(values | fields))


def owned_of(answer: Any) -> Owned:
    """What an answer assigns."""
    if answer.assignment is None:
        raise Broke("nothing is assigned")
    return {each.topic_id: each.partitions for each in answer.assignment.topic_partitions}


class Beats:
    """Heartbeats of one scenario, in its version."""

    def __init__(self, c: Conversation, version: int) -> None:
        self._c, self._version = c, version

    def __call__(self, label: str, message: hb.ConsumerGroupHeartbeatRequest) -> Any:
        return self._c.ask(label, HEARTBEAT, self._version, message)


@scenario(HEARTBEAT, *BEFORE)
def consumer_heartbeat(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 4)
    tid, beat = c.topic_id(topic), Beats(c, version)
    c.settle()
    beat("unknown group", body(group, "a", 1))
    beat("leaving an unknown group", body(group, "a", -1))
    all_of_it = {tid: [0, 1, 2, 3]}
    one = beat("a joins", joins(group, "a", topic)).member_epoch
    beat("nothing new", body(group, "a", one))
    beat("a's partitions", body(group, "a", one, all_of_it))
    beat("a joins again", joins(group, "a", topic))
    two = beat("b joins", joins(group, "b", topic)).member_epoch
    told = beat("a is to give up", body(group, "a", one, all_of_it))
    beat("a is told once", body(group, "a", one))
    beat("b waits", body(group, "b", two, {}))
    beat("a has not yet", body(group, "a", one, all_of_it))
    whole = body(group, "a", one, all_of_it, rebalance_timeout_ms=10_000, subscribed_topic_names=[topic])
    beat("everything again", whole)
    kept = owned_of(told)
    beat("a has given up", body(group, "a", one, kept))
    got = beat("b has them", body(group, "b", two, {}))
    beat("b says so", body(group, "b", two, owned_of(got)))
    beat("an epoch too new", body(group, "b", 9, {}))
    beat("an epoch too old", body(group, "b", one, all_of_it))
    beat("a lost answer", body(group, "a", one, kept))
    beat("the earlier epoch with more", body(group, "a", one, all_of_it))
    beat("the earlier epoch without any", body(group, "a", one))
    beat("unknown member", body(group, "c", two))
    beat("another subscription", body(group, "b", two, subscribed_topic_names=[f"{c.prefix}-no"]))
    three = beat("the same name twice", body(group, "a", two, subscribed_topic_names=[topic, topic])).member_epoch
    beat("b after that", body(group, "b", three, {}))
    beat("a after that", body(group, "a", three, kept))
    beat("a leaves", body(group, "a", -1))
    beat("a has left", body(group, "a", -1))
    beat("b leaves", body(group, "b", -1))
    beat("nobody is left", body(group, "b", 4))
    beat("a is back", joins(group, "a", topic))


@scenario(HEARTBEAT, DESCRIBE, *BEFORE)
def consumer_heartbeat_wrong(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    tid, beat = c.topic_id(topic), Beats(c, version)
    c.settle()
    beat("no group id", joins("", "a", topic))
    beat("blank group id", joins(" ", "a", topic))
    beat("no member id later", body(group, "", 1))
    beat("no member id to leave", body(group, "", -1))
    beat("empty instance id", joins(group, "a", topic, instance_id=""))
    beat("empty rack", joins(group, "a", topic, rack_id=""))
    beat("no rebalance time-out", joins(group, "a", topic, rebalance_timeout_ms=-1))
    beat("no subscription", joins(group, "a", topic, subscribed_topic_names=None))
    beat("no partitions told", joins(group, "a", topic, topic_partitions=None))
    beat(
        "partitions when joining",
        joins(group, "a", topic, topic_partitions=body("", "", 0, {tid: [0]}).topic_partitions),
    )
    beat("an epoch below all", body(group, "a", -3))
    beat("leaves for a while without instance", body(group, "a", -2))
    beat("an assignor that there is not", joins(group, "a", topic, server_assignor="sticky"))
    beat("an empty assignor", joins(group, "a", topic, server_assignor=""))
    if version >= 1:
        beat("no regular expression", joins(group, "a", subscribed_topic_names=None, subscribed_topic_regex="("))
        beat("a look-around", joins(group, "a", subscribed_topic_regex="(?=x)"))
    beat("no group after that", body(group, "a", 1))
    there = beat("a joins", joins(group, "a", topic))
    if version >= 1:
        beat("a bad pattern later", body(group, "a", there.member_epoch, subscribed_topic_regex="["))
    beat("partitions that are none", body(group, "a", there.member_epoch, {tid: [7], UNKNOWN_ID: [0]}))
    beat("a topic that is none", joins(group, "b", f"{c.prefix}-none"))
    beat("an empty subscription", joins(group, "c"))
    alone = group_ready(c, "alone")
    beat("an empty subscription in a new group", joins(alone, "a"))
    c.ask("that group", DESCRIBE, 1, cd.ConsumerGroupDescribeRequest(group_ids=[alone]))
    beat("it subscribes", body(alone, "a", 1, subscribed_topic_names=[topic]))


@scenario(HEARTBEAT, *BEFORE)
def consumer_member_ids(c: Conversation, version: int) -> None:
    """Who makes them."""
    group, topic = group_ready(c), c.topic("in", 1)
    c.topic_id(topic)
    c.settle()
    answer = c.quiet(HEARTBEAT, version, joins(group, "", topic))
    c.note("how long it is", str(len(answer.member_id or "")))
    answer.member_id = "it"
    c.note("without a member id", answer)
    c.ask("with one", HEARTBEAT, version, joins(group, "a/b c", topic))


@scenario(HEARTBEAT, DESCRIBE, *BEFORE)
def consumer_static_members(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    tid, beat = c.topic_id(topic), Beats(c, version)
    c.settle()

    def describe(label: str) -> None:
        c.ask(label, DESCRIBE, 0, cd.ConsumerGroupDescribeRequest(group_ids=[group]))

    one = beat("joins", joins(group, "a", topic, instance_id="i")).member_epoch
    beat("has all", body(group, "a", one, {tid: [0, 1]}, instance_id="i"))
    beat("another is there", joins(group, "b", topic, instance_id="i"))
    beat("another speaks", body(group, "b", one, instance_id="i"))
    beat("an instance unknown", body(group, "a", one, instance_id="j"))
    beat("without its instance", body(group, "a", one))
    beat("leaves for a while by another", body(group, "b", -2, instance_id="i"))
    beat("leaves for a while", body(group, "a", -2, instance_id="i"))
    describe("while it is away")
    beat("it beats all the same", body(group, "a", one, instance_id="i"))
    beat("is back as another", joins(group, "b", topic, instance_id="i"))
    describe("when it is back")
    beat("the first is fenced", body(group, "a", one, instance_id="i"))
    beat("the first is gone", body(group, "a", one))
    beat("joins again", joins(group, "b", topic, instance_id="i"))
    beat("leaves for good", body(group, "b", -1, instance_id="i"))
    beat("an instance that is gone", body(group, "b", -2, instance_id="i"))
    describe("empty")


def two_members(c: Conversation, version: int, assignor: str, *names: str) -> None:
    """Both subscribe to all topics, the second member joins later, and the first leaves."""
    group, topics = group_ready(c), [c.topic(name, 3) for name in names]
    ids, beat = {c.topic_id(topic): [0, 1, 2] for topic in topics}, Beats(c, version)
    c.settle()
    first = beat("a joins", joins(group, "a", *topics, server_assignor=assignor)).member_epoch
    second = beat("b joins", joins(group, "b", *topics, server_assignor=assignor)).member_epoch
    told = beat("a is to give up", body(group, "a", first, ids))
    kept = owned_of(told)
    some = {t: (ids[t] if i == 0 else kept.get(t, [])) for i, t in enumerate(ids)}
    beat("a has not given up all", body(group, "a", first, some))
    beat("b meanwhile", body(group, "b", second, {}))
    beat("a has given up", body(group, "a", first, kept))
    got = beat("b has the rest", body(group, "b", second, {}))
    beat("a leaves", body(group, "a", -1))
    beat("b has all", body(group, "b", second, owned_of(got)))


@scenario(HEARTBEAT, *BEFORE)
def consumer_uniform(c: Conversation, version: int) -> None:
    """Which of several topics goes to whom depends on their ids in Apache Kafka, so there is one."""
    two_members(c, version, "uniform", "one")


@scenario(HEARTBEAT, *BEFORE)
def consumer_range(c: Conversation, version: int) -> None:
    two_members(c, version, "range", "one", "two")


@scenario(HEARTBEAT, DESCRIBE, *BEFORE)
def consumer_pattern(c: Conversation, version: int) -> None:
    """Until 1 a pattern is no field of the request."""
    if version < 1:
        c.note("no patterns", "they came with version 1")
        return
    group, topic, other = group_ready(c), c.topic("in-1", 1), c.topic("other", 1)
    c.topic_id(topic), c.topic_id(other)
    c.settle()
    beat = Beats(c, version)
    epoch = beat("joins", joins(group, "a", subscribed_topic_regex=f"{c.prefix}-in-.*")).member_epoch
    for _ in range(200):
        c.settle()
        answer = c.quiet(HEARTBEAT, version, joins(group, "a", subscribed_topic_regex=f"{c.prefix}-in-.*"))
        if answer.error_code or (answer.assignment and answer.assignment.topic_partitions):
            break
    epoch = answer.member_epoch
    c.note("assigned in time", c.normal.plain(answer.assignment))
    c.ask("described", DESCRIBE, 1, cd.ConsumerGroupDescribeRequest(group_ids=[group]))
    beat("names and a pattern", body(group, "a", epoch, subscribed_topic_names=[other]))
    beat("without a pattern", body(group, "a", epoch + 1, {}, subscribed_topic_regex=""))


@scenario(DESCRIBE, HEARTBEAT, k.DESCRIBE_GROUPS, k.DELETE_GROUPS, k.LIST_GROUPS, *CLASSIC, *BEFORE)
def consumer_describe(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    tid = c.topic_id(topic)
    c.settle()
    classic = group_ready(c, "classic")
    join_alone(c, classic)
    beat = Beats(c, 1)

    def describe(label: str, *groups: str, operations: bool = False) -> None:
        asked = cd.ConsumerGroupDescribeRequest(group_ids=list(groups), include_authorized_operations=operations)
        c.ask(label, DESCRIBE, version, asked)

    def listed(label: str, states: list[str], types: list[str]) -> None:
        answer = c.quiet(k.LIST_GROUPS, 5, ListGroupsRequest(states_filter=states, types_filter=types))
        answer.groups = [each for each in answer.groups if each.group_id.startswith(c.prefix)]
        c.note(label, answer)

    one = beat("a joins", joins(group, "a", topic, rack_id="r")).member_epoch
    describe("not yet told", group)
    beat("a's partitions", body(group, "a", one, {tid: [0, 1]}))
    describe("stable", group)
    beat("b joins", joins(group, "b", topic, instance_id="i", server_assignor="range"))
    describe("reconciling", group)
    describe("a classic group", classic)
    describe("no group", f"{c.prefix}-no")
    describe("no group id", "")
    describe("two at once", group, f"{c.prefix}-no")
    describe("with operations", group, operations=True)
    c.ask("as a classic one", k.DESCRIBE_GROUPS, 6, DescribeGroupsRequest(groups=[group]))
    c.ask("as a classic one, 5", k.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(groups=[group]))
    listed("listed", [], [])
    listed("listed by type", [], ["Consumer"])
    listed("listed by state", ["reconciling"], [])
    listed("listed by another state", ["Empty"], ["consumer"])
    c.ask("not deleted", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[group]))
    beat("a leaves", body(group, "a", -1))
    beat("b goes on", body(group, "b", 3, instance_id="i"))
    beat("b leaves", body(group, "b", -1, instance_id="i"))
    describe("empty", group)
    listed("listed when empty", ["empty"], ["consumer"])
    c.ask("deleted", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[group]))
    describe("gone", group)


@scenario(k.OFFSET_COMMIT, k.OFFSET_FETCH, HEARTBEAT, *BEFORE)
def consumer_offsets_committed(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.topic_id(topic)
    c.settle()
    commits, beat = Committing(c, version), Beats(c, 1)

    def commit(label: str, **fields: Any) -> None:
        c.ask(label, k.OFFSET_COMMIT, version, commits.body(group, topic, **fields))

    epoch = beat("a joins", joins(group, "a", topic)).member_epoch
    beat("b joins", joins(group, "b", topic))
    commit("of this epoch", generation=epoch, member="a")
    commit("of another epoch", generation=epoch + 5, member="a")
    commit("of an earlier epoch", generation=epoch, member="b")
    commit("of nobody", generation=epoch, member="nobody")
    commit("of an instance", generation=epoch, member="a", instance="i")
    commit("without a member", offset=7)
    commit("without an epoch", member="a", offset=8)
    beat("a leaves", body(group, "a", -1))
    commit("of who has left", generation=epoch, member="a")
    beat("b leaves", body(group, "b", -1))
    commit("without members", offset=9)
    commit("of a member of none", generation=1, member="a")


@scenario(k.OFFSET_FETCH, k.OFFSET_COMMIT, HEARTBEAT, *BEFORE)
def consumer_offsets_fetched(c: Conversation, version: int) -> None:
    """From 9 on a member says who it is."""
    group, topic = group_ready(c), c.topic("in", 2)
    c.topic_id(topic)
    c.settle()
    beat = Beats(c, 1)
    epoch = beat("a joins", joins(group, "a", topic)).member_epoch
    c.ask("a commits", k.OFFSET_COMMIT, 9, Committing(c, 9).body(group, topic, generation=epoch, member="a"))

    def fetch(label: str, member: str | None, member_epoch: int, to: str = group) -> None:
        asked = OffsetFetchRequestTopics(name=topic, partition_indexes=[0, 1])
        if version >= 10:
            asked = OffsetFetchRequestTopics(topic_id=c.topic_id(topic), partition_indexes=[0, 1])
        one = OffsetFetchRequestGroup(group_id=to, topics=[asked])
        if version >= 9:
            one.member_id, one.member_epoch = member, member_epoch
        c.ask(label, k.OFFSET_FETCH, version, OffsetFetchRequest(groups=[one]))

    if version < 8:
        c.note("one group", "that form has no place for a member")
        return
    fetch("as nobody", None, -1)
    if version < 9:
        return
    fetch("as a", "a", epoch)
    fetch("in another epoch", "a", epoch + 1)
    fetch("in an epoch before", "a", epoch - 1)
    fetch("as an unknown member", "b", epoch)
    fetch("as no member with an epoch", None, 0)
    fetch("as the empty member", "", -1)
    fetch("of an unknown group", "a", 1, f"{group}-no")
    beat("a leaves", body(group, "a", -1))
    fetch("when nobody is left", "a", epoch)
    fetch("as nobody, when nobody is left", None, -1)


def subscription(*topics: str, owned: dict[str, list[int]] | None = None, version: int = 1) -> bytes:
    """ConsumerProtocolSubscription."""

    def text(name: str) -> bytes:
        raw = name.encode()
        return len(raw).to_bytes(2, "big") + raw

    def count(items: Any) -> bytes:
        return len(items).to_bytes(4, "big")

    raw = version.to_bytes(2, "big") + count(topics) + b"".join(map(text, topics)) + b"\xff\xff\xff\xff"
    if version >= 1:
        raw += count(owned or {})
        for name, partitions in (owned or {}).items():
            raw += text(name) + count(partitions) + b"".join(p.to_bytes(4, "big") for p in partitions)
    return raw


@scenario(HEARTBEAT, DESCRIBE, k.DESCRIBE_GROUPS, *CLASSIC, *BEFORE)
def consumer_upgrade(c: Conversation, version: int) -> None:
    """A member of the consumer protocol joins a classic group, and one of the classic protocol a consumer group."""
    group, topic = group_ready(c), c.topic("in", 2)
    c.topic_id(topic)
    beat = Beats(c, version)
    c.settle()
    protocols = [("range", subscription(topic))]
    member = c.quiet(k.JOIN_GROUP, 5, join_body(group, 5, protocols=protocols)).member_id
    joined = c.quiet(k.JOIN_GROUP, 5, join_body(group, 5, member=member, protocols=protocols))
    c.normal.name("uuid", member)
    assignment = (1).to_bytes(2, "big") + (1).to_bytes(4, "big") + len(topic).to_bytes(2, "big") + topic.encode()
    assignment += (2).to_bytes(4, "big") + (0).to_bytes(4, "big") + (1).to_bytes(4, "big") + b"\xff\xff\xff\xff"
    synced = c.quiet(k.SYNC_GROUP, 5, sync_body(group, 5, joined.generation_id, member, {member: assignment}))
    assert synced.error_code == 0, f"SyncGroup answered error code {synced.error_code}"

    def alive(label: str, generation: int) -> Any:
        asked = HeartbeatRequest(group_id=group, generation_id=generation, member_id=member)
        return c.ask(label, k.HEARTBEAT, 4, asked)

    def describe(label: str) -> None:
        c.ask(label, DESCRIBE, 1, cd.ConsumerGroupDescribeRequest(group_ids=[group]))

    two = beat("b joins", joins(group, "b", topic)).member_epoch
    describe("a consumer group")
    c.ask("no classic group", k.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(groups=[group]))

    def again(label: str, *owned: int) -> int:
        """The classic member joins again with what it has, and asks for its assignment; the generation."""
        has = [("range", subscription(topic, owned={topic: list(owned)} if owned else {}))]
        told = c.ask(f"{label}: join", k.JOIN_GROUP, 5, join_body(group, 5, member=member, protocols=has))
        c.ask(f"{label}: sync", k.SYNC_GROUP, 5, sync_body(group, 5, told.generation_id, member))
        return int(told.generation_id)

    alive("the classic member is to join again", joined.generation_id)
    again("it is told what to keep", 0, 1)
    describe("it gives up")
    alive("it is to join once more", joined.generation_id)
    generation = again("it has given up", 0)
    describe("it has given up")
    alive("it goes on", generation)
    beat("b has the rest", body(group, "b", two, {}))
    describe("both have theirs")
    nothing = [("range", b"none")]
    c.ask("bytes that are no subscription", k.JOIN_GROUP, 5, join_body(group, 5, member=member, protocols=nothing))
    mine = [("range", subscription(topic, owned={topic: [0]}))]
    c.ask("another kind", k.JOIN_GROUP, 5, join_body(group, 5, member=member, protocols=mine, kind="connect"))
    c.ask("no protocols", k.JOIN_GROUP, 5, join_body(group, 5, member=member, protocols=[]))
    alive("another generation", generation + 7)
    c.ask("it synchronises another one", k.SYNC_GROUP, 5, sync_body(group, 5, generation + 7, member))
    beat("b leaves", body(group, "b", -1))
    c.ask("a classic group again", k.DESCRIBE_GROUPS, 5, DescribeGroupsRequest(groups=[group]))
    describe("no consumer group any more")
    alive("it is to join in the classic group", generation)
    gone = LeaveGroupRequest(group_id=group, members=[MemberIdentity(member_id=member)])
    c.ask("it leaves", k.LEAVE_GROUP, 4, gone)
    beat("b is back", joins(group, "b", topic))
    describe("a consumer group in place of an empty one")
