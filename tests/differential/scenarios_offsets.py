"""OffsetCommit, OffsetFetch, OffsetDelete."""

from __future__ import annotations

from conversation import Conversation, scenario
from scenarios_groups import GROUP_APIS, group_ready, join_alone, join_body, sync_body

from moldau.protocol import api_keys as k
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest
from moldau.protocol.messages.describe_groups import DescribeGroupsRequest
from moldau.protocol.messages.heartbeat import HeartbeatRequest
from moldau.protocol.messages.leave_group import LeaveGroupRequest
from moldau.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from moldau.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from moldau.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)

UNKNOWN_ID = bytes(range(16))


class Committing:
    """Builds OffsetCommit requests of one version: topics by name or, from version 10, by id."""

    def __init__(self, c: Conversation, version: int) -> None:
        self.c, self.version = c, version

    def body(
        self,
        group: str,
        topic: str,
        *,
        partition: int = 0,
        offset: int = 5,
        metadata: str | None = "note",
        generation: int = -1,
        member: str = "",
        instance: str | None = None,
        leader_epoch: int = -1,
    ) -> OffsetCommitRequest:
        asked = OffsetCommitRequestPartition(
            partition_index=partition, committed_offset=offset, committed_metadata=metadata
        )
        if self.version >= 6:
            asked.committed_leader_epoch = leader_epoch
        found = OffsetCommitRequestTopic(partitions=[asked])
        if self.version >= 10:
            found.topic_id = self.c.topic_id(topic) if topic.startswith(self.c.prefix) else UNKNOWN_ID
        else:
            found.name = topic
        body = OffsetCommitRequest(
            group_id=group, generation_id_or_member_epoch=generation, member_id=member, topics=[found]
        )
        if self.version >= 7:
            body.group_instance_id = instance
        return body


def commit(c: Conversation, group: str, topic: str, partition: int, offset: int, metadata: str = "") -> None:
    body = Committing(c, 8).body(group, topic, partition=partition, offset=offset, metadata=metadata)
    answer = c.quiet(k.OFFSET_COMMIT, 8, body)
    assert answer.topics[0].partitions[0].error_code == 0, answer


@scenario(k.OFFSET_COMMIT, *GROUP_APIS, k.OFFSET_FETCH)
def offset_commit(c: Conversation, version: int) -> None:
    topic, group = c.topic(partitions=2), group_ready(c)
    build = Committing(c, version)

    def ask(label: str, to: str, *args: str, **fields: object) -> None:
        body = build.body(to, *(args or (topic,)), **fields)  # type: ignore[arg-type]
        c.ask(label, k.OFFSET_COMMIT, version, body)

    ask("without a member", group)
    ask("lower than before", group, offset=1)
    ask("null metadata", group, metadata=None)
    ask("long metadata", group, metadata="m" * 5000)
    ask("negative offset", group, offset=-7)
    ask("no such partition", group, partition=9)
    ask("no such topic", group, "nowhere")
    ask("empty group id", "")
    ask("unknown member", group, member="nobody", generation=1)
    ask("generation without a member", group, generation=1)
    if version >= 6:
        ask("with a leader epoch", group, partition=1, leader_epoch=3)
    joined = group_ready(c, "joined")
    generation, member = join_alone(c, joined)
    ask("a member", joined, member=member, generation=generation)
    ask("a member of another generation", joined, member=member, generation=generation + 1)
    ask("from outside a group with members", joined)
    if version >= 7:
        ask("an unknown instance", joined, member=member, generation=generation, instance="i-9")
    fetched = OffsetFetchRequest(group_id=group, topics=[OffsetFetchRequestTopic(name=topic, partition_indexes=[0, 1])])
    c.note("what was kept", c.quiet(k.OFFSET_FETCH, 6, fetched))


@scenario(k.OFFSET_COMMIT, *GROUP_APIS, k.OFFSET_FETCH)
def the_empty_group(c: Conversation, version: int) -> None:
    """The empty group id may have offsets; what else is asked of it?"""
    if version != 8:
        return
    topic = c.topic()
    group_ready(c)
    commit(c, "", topic, 0, 7)
    asked = OffsetFetchRequest(group_id="", topics=[OffsetFetchRequestTopic(name=topic, partition_indexes=[0])])
    c.ask("its offset", k.OFFSET_FETCH, 6, asked)
    c.ask("heartbeat", k.HEARTBEAT, 3, HeartbeatRequest(group_id="", generation_id=1, member_id="m"))
    c.ask("join", k.JOIN_GROUP, 3, join_body("", 3))
    c.ask("sync", k.SYNC_GROUP, 3, sync_body("", 3, 1, "m"))
    c.ask("leave", k.LEAVE_GROUP, 2, LeaveGroupRequest(group_id="", member_id="m"))
    c.ask("describe", k.DESCRIBE_GROUPS, 6, DescribeGroupsRequest(groups=[""]))
    gone = OffsetDeleteRequestTopic(name=topic, partitions=[OffsetDeleteRequestPartition(partition_index=0)])
    c.ask("delete its offset", k.OFFSET_DELETE, 0, OffsetDeleteRequest(group_id="", topics=[gone]))
    c.ask("delete", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[""]))
    c.ask("describe the deleted", k.DESCRIBE_GROUPS, 6, DescribeGroupsRequest(groups=[""]))
    c.ask("delete the deleted", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[""]))


@scenario(k.OFFSET_FETCH, *GROUP_APIS, k.OFFSET_COMMIT)
def offset_fetch(c: Conversation, version: int) -> None:
    topic, other, group = c.topic(partitions=3), c.topic("other"), group_ready(c)
    commit(c, group, topic, 0, 11, "text")
    commit(c, group, topic, 2, 22)
    commit(c, group, other, 0, 33)
    second = group_ready(c, "second")
    commit(c, second, topic, 1, 44)

    def ask(label: str, *groups: str, topics: dict[str, list[int]] | None) -> None:
        if version >= 8:
            asked = [OffsetFetchRequestGroup(group_id=g, topics=named(topics)) for g in groups]
            body = OffsetFetchRequest(groups=asked)
        else:
            wanted = (
                None
                if topics is None
                else [OffsetFetchRequestTopic(name=t, partition_indexes=p) for t, p in topics.items()]
            )
            body = OffsetFetchRequest(group_id=groups[0], topics=wanted)
        c.ask(label, k.OFFSET_FETCH, version, body)

    def named(topics: dict[str, list[int]] | None) -> list[OffsetFetchRequestTopics] | None:
        if topics is None:
            return None
        found = []
        for t, partitions in topics.items():
            entry = OffsetFetchRequestTopics(partition_indexes=partitions)
            if version >= 10:
                entry.topic_id = c.topic_id(t) if t.startswith(c.prefix) else UNKNOWN_ID
            else:
                entry.name = t
            found.append(entry)
        return found

    ask("three partitions", group, topics={topic: [0, 1, 2]})
    ask("no such partition", group, topics={topic: [9]})
    ask("no such topic", group, topics={"nowhere": [0]})
    ask("unknown group", f"{c.prefix}-none", topics={topic: [0]})
    ask("empty group id", "", topics={topic: [0]})
    ask("no topics", group, topics={})
    if version >= 2:
        ask("all topics", group, topics=None)
        ask("all topics of an unknown group", f"{c.prefix}-none", topics=None)
    if version >= 8:
        ask("two groups", group, second, topics={topic: [0, 1]})
        ask("no group", topics={topic: [0]})


@scenario(k.OFFSET_DELETE, *GROUP_APIS, k.OFFSET_COMMIT)
def offset_delete(c: Conversation, version: int) -> None:
    topic, group = c.topic(partitions=2), group_ready(c)
    commit(c, group, topic, 0, 11)

    def ask(label: str, to: str, name: str, *partitions: int) -> None:
        asked = [OffsetDeleteRequestPartition(partition_index=p) for p in partitions]
        body = OffsetDeleteRequest(group_id=to, topics=[OffsetDeleteRequestTopic(name=name, partitions=asked)])
        c.ask(label, k.OFFSET_DELETE, version, body)

    ask("no such topic", group, f"{c.prefix}-none", 0)
    ask("no such partition", group, topic, 9)
    ask("unknown group", f"{c.prefix}-none", topic, 0)
    ask("empty group id", "", topic, 0)
    ask("one with, one without an offset", group, topic, 0, 1)
    ask("again", group, topic, 0)
    joined = group_ready(c, "joined")
    # a subscription to this topic (ConsumerProtocolSubscription 0)
    name = topic.encode()
    subscription = b"\0\0\0\0\0\1" + len(name).to_bytes(2, "big") + name + b"\xff\xff\xff\xff"
    join_alone(c, joined, protocols=[("range", subscription)])
    ask("a topic its members read", joined, topic, 0)
