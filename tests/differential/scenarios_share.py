"""Share groups (KIP-932): membership and its epochs, sessions, what is said of records, and where a group is."""

from __future__ import annotations

import time
from typing import Any

from conversation import Broke, Conversation, scenario
from scenarios_groups import group_ready, join_alone
from scenarios_log import fill

from moldau.protocol import api_keys as k
from moldau.protocol.messages import alter_share_group_offsets as al
from moldau.protocol.messages import delete_share_group_offsets as de
from moldau.protocol.messages import describe_share_group_offsets as ds
from moldau.protocol.messages import share_acknowledge as sa
from moldau.protocol.messages import share_fetch as sf
from moldau.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from moldau.protocol.messages.share_group_describe import ShareGroupDescribeRequest
from moldau.protocol.messages.share_group_heartbeat import ShareGroupHeartbeatRequest

BEFORE = (k.FIND_COORDINATOR, k.HEARTBEAT, k.SHARE_GROUP_HEARTBEAT)
ONE, TWO = "AAAAAAAAAAAAAAAAAAAAAA", "BAAAAAAAAAAAAAAAAAAAAA"
"""Member ids, as clients make them."""
NOBODY = "CAAAAAAAAAAAAAAAAAAAAA"


def beat_body(group: str, member: str, epoch: int, *topics: str, rack: str | None = None) -> ShareGroupHeartbeatRequest:
    return ShareGroupHeartbeatRequest(
        group_id=group,
        member_id=member,
        member_epoch=epoch,
        rack_id=rack,
        subscribed_topic_names=list(topics) if topics else None,
    )


@scenario(k.SHARE_GROUP_HEARTBEAT, *BEFORE, k.JOIN_GROUP, k.SYNC_GROUP)
def share_heartbeat(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()

    def beat(label: str, member: str, epoch: int, *topics: str, to: str = group, **fields: Any) -> Any:
        return c.ask(label, k.SHARE_GROUP_HEARTBEAT, version, beat_body(to, member, epoch, *topics, **fields))

    beat("unknown group", ONE, 1)
    beat("no group id", ONE, 0, topic, to="")
    beat("no member id", "", 0, topic)
    beat("joins without topics", ONE, 0)
    beat("an empty rack", ONE, 0, topic, rack="")
    beat("an epoch below all", ONE, -3)
    epoch = beat("joins", ONE, 0, topic).member_epoch
    beat("nothing new", ONE, epoch)
    beat("the same topics again", ONE, epoch, topic)
    beat("joins again", ONE, 0, topic)
    beat("an epoch too new", ONE, epoch + 7)
    beat("unknown member", NOBODY, epoch)
    beat("unknown member leaves", NOBODY, -1)
    beat("a topic that is not there", ONE, epoch, topic, f"{c.prefix}-no")
    beat("leaves", ONE, -1)
    beat("after that", ONE, epoch)
    classic = group_ready(c, "classic")
    join_alone(c, classic)
    beat("a classic group", ONE, 0, topic, to=classic)


@scenario(k.SHARE_GROUP_DESCRIBE, *BEFORE, k.JOIN_GROUP, k.SYNC_GROUP)
def share_describe(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()
    classic = group_ready(c, "classic")
    join_alone(c, classic)

    def ask(label: str, *groups: str, **fields: Any) -> None:
        c.ask(label, k.SHARE_GROUP_DESCRIBE, version, ShareGroupDescribeRequest(group_ids=list(groups), **fields))

    ask("no group")
    ask("unknown group", group)
    ask("no group id", "")
    ask("a classic group", classic)
    epoch = c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(group, ONE, 0, topic)).member_epoch
    ask("one member", group)
    ask("with what is allowed", group, include_authorized_operations=True)
    c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(group, ONE, epoch, topic, f"{c.prefix}-no"))
    c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(group, ONE, -1))
    ask("empty", group)


class Member:
    """What it fetches and says, of one partition."""

    def __init__(self, c: Conversation, group: str, topic: str, version: int) -> None:
        self.c, self.group, self.version = c, group, version
        self.topic_id = c.topic_id(topic)

    def fetch(
        self,
        epoch: int,
        *said: tuple[int, int, list[int]],
        member: str = ONE,
        topic_id: bytes | None = None,
        index: int = 0,
        **fields: Any,
    ) -> sf.ShareFetchRequest:
        batches = [
            sf.AcknowledgementBatch(first_offset=first, last_offset=last, acknowledge_types=types)
            for first, last, types in said
        ]
        partition = sf.FetchPartition(partition_index=index, acknowledgement_batches=batches)
        topics = [sf.FetchTopic(topic_id=self.topic_id if topic_id is None else topic_id, partitions=[partition])]
        values: dict[str, Any] = {
            "max_wait_ms": 300,
            "min_bytes": 1,
            "max_bytes": 1 << 20,
            "max_records": 100,
            "batch_size": 100,
            "topics": topics,
        }
        return sf.ShareFetchRequest(
            group_id=self.group, member_id=member, share_session_epoch=epoch, **(values | fields)
        )

    def acknowledge(
        self,
        epoch: int,
        *said: tuple[int, int, list[int]],
        member: str = ONE,
        topic_id: bytes | None = None,
        index: int = 0,
    ) -> sa.ShareAcknowledgeRequest:
        batches = [
            sa.AcknowledgementBatch(first_offset=first, last_offset=last, acknowledge_types=types)
            for first, last, types in said
        ]
        partition = sa.AcknowledgePartition(partition_index=index, acknowledgement_batches=batches)
        topics = [sa.AcknowledgeTopic(topic_id=self.topic_id if topic_id is None else topic_id, partitions=[partition])]
        return sa.ShareAcknowledgeRequest(
            group_id=self.group, member_id=member, share_session_epoch=epoch, topics=topics
        )

    def first(self, epoch: int) -> tuple[int, Any]:
        """The first fetch that brings records: Apache Kafka opens the share-partition beside the first ones. The next epoch, and the answer."""
        for _ in range(100):
            self.c.wire().send(k.SHARE_FETCH, self.version, self.fetch(epoch))
            answer: Any = self.c.wire().receive()
            if answer.error_code:
                raise Broke(f"ShareFetch: error code {answer.error_code}")
            epoch += 1
            if any(partition.acquired_records for topic in answer.responses for partition in topic.partitions):
                return epoch, answer
            time.sleep(0.02)
        raise Broke(f"nothing comes: {answer.responses}")


def with_records(c: Conversation, version: int) -> Member:
    """A group with one member that begins with the first of ten records."""
    group, topic = group_ready(c), c.topic("in", 1)
    begin = AlterableConfig(name="share.auto.offset.reset", config_operation=0, value="earliest")
    resource = AlterConfigsResource(resource_type=32, resource_name=group, configs=[begin])
    c.quiet(k.INCREMENTAL_ALTER_CONFIGS, 1, IncrementalAlterConfigsRequest(resources=[resource]))
    fill(c, topic, 5, 5)
    c.settle()
    c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(group, ONE, 0, topic))
    return Member(c, group, topic, version)


@scenario(k.SHARE_FETCH, *BEFORE, k.PRODUCE, k.INCREMENTAL_ALTER_CONFIGS)
def share_fetch(c: Conversation, version: int) -> None:
    it = with_records(c, version)
    missing = bytes(15) + b"\1"

    def ask(label: str, epoch: int, *said: tuple[int, int, list[int]], **fields: Any) -> Any:
        return c.ask(label, k.SHARE_FETCH, version, it.fetch(epoch, *said, **fields))

    ask("no session", 4)
    ask("closes none", -1)
    ask("no member id", 0, member="")
    ask("outcomes with a new session", 0, (0, 0, [1]))
    epoch, answer = it.first(0)
    c.note("records", answer)
    ask("an epoch too new", epoch + 3)
    ask("nothing more", epoch)
    ask("says what it has not", epoch + 1, (50, 51, [1]))
    ask("says what it has", epoch + 2, (0, 4, [1]), (5, 5, [2]))
    ask("a released record", epoch + 3)
    ask("a type that is none", epoch + 4, (5, 5, [9]))
    ask("ranges that overlap", epoch + 5, (5, 7, [1]), (6, 8, [1]))
    ask("types that are too few", epoch + 6, (5, 7, [1, 1]))
    ask("a range backwards", epoch + 7, (7, 5, [1]))
    ask("a topic that is not there", epoch + 8, topic_id=missing)
    ask("a partition that is not there", epoch + 9, index=7)


@scenario(k.SHARE_ACKNOWLEDGE, *BEFORE, k.PRODUCE, k.INCREMENTAL_ALTER_CONFIGS, k.SHARE_FETCH)
def share_acknowledge(c: Conversation, version: int) -> None:
    it = with_records(c, version)
    missing = bytes(15) + b"\1"

    def ask(label: str, epoch: int, *said: tuple[int, int, list[int]], **fields: Any) -> None:
        c.ask(label, k.SHARE_ACKNOWLEDGE, version, it.acknowledge(epoch, *said, **fields))

    ask("no session", 4, (0, 0, [1]))
    ask("an epoch that opens", 0, (0, 0, [1]))
    ask("closes none", -1, (0, 0, [1]))
    ask("no member id", 1, (0, 0, [1]), member="")
    epoch, _ = it.first(0)
    ask("an epoch too new", epoch + 3, (0, 0, [1]))
    ask("accepts", epoch, (0, 1, [1]))
    ask("again", epoch + 1, (0, 1, [1]))
    ask("types one by one", epoch + 2, (2, 4, [1, 3, 0]))
    ask("not delivered yet", epoch + 3, (50, 51, [1]))
    ask("releases", epoch + 4, (5, 6, [2]))
    ask("what it released", epoch + 5, (5, 6, [1]))
    ask("a type that is none", epoch + 6, (7, 7, [9]))
    ask("a type below all", epoch + 7, (7, 7, [-1]))
    ask("no types", epoch + 8, (7, 7, []))
    ask("types that are too many", epoch + 9, (7, 7, [1, 1]))
    ask("a range backwards", epoch + 10, (8, 7, [1]))
    ask("a topic that is not there", epoch + 11, (7, 7, [1]), topic_id=missing)
    ask("a partition that is not there", epoch + 12, (7, 7, [1]), index=7)
    ask("closes", -1, (7, 7, [1]))
    ask("after that", epoch + 13, (8, 8, [1]))


OFFSETS = (*BEFORE, k.PRODUCE, k.INCREMENTAL_ALTER_CONFIGS, k.SHARE_FETCH)


def describing(group: str, *topics: tuple[str, list[int]], everything: bool = False) -> Any:
    asked = [ds.DescribeShareGroupOffsetsRequestTopic(topic_name=name, partitions=ids) for name, ids in topics]
    one = ds.DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None if everything else asked)
    return ds.DescribeShareGroupOffsetsRequest(groups=[one])


def altering(group: str, topic: str, **offsets: int) -> Any:
    """Partition `p0` to its offset."""
    partitions = [
        al.AlterShareGroupOffsetsRequestPartition(partition_index=int(name[1:]), start_offset=offset)
        for name, offset in offsets.items()
    ]
    one = al.AlterShareGroupOffsetsRequestTopic(topic_name=topic, partitions=partitions)
    return al.AlterShareGroupOffsetsRequest(group_id=group, topics=[one])


def deleting(group: str, *topics: str) -> Any:
    return de.DeleteShareGroupOffsetsRequest(
        group_id=group, topics=[de.DeleteShareGroupOffsetsRequestTopic(topic_name=name) for name in topics]
    )


@scenario(k.DESCRIBE_SHARE_GROUP_OFFSETS, *OFFSETS)
def share_offsets(c: Conversation, version: int) -> None:
    nobody = group_ready(c, "nobody")
    it = with_records(c, version)
    topic, none = f"{c.prefix}-in", f"{c.prefix}-no"
    it.version = 2
    it.first(0)

    def ask(label: str, body: Any) -> None:
        c.ask(label, k.DESCRIBE_SHARE_GROUP_OFFSETS, version, body)

    ask("unknown group", describing(nobody, everything=True))
    ask("of an unknown group", describing(nobody, (topic, [0])))
    ask("all", describing(it.group, everything=True))
    ask("one", describing(it.group, (topic, [0])))
    ask("a partition that is not there", describing(it.group, (topic, [0, 7])))
    ask("a topic that is not there", describing(it.group, (none, [0])))


@scenario(k.ALTER_SHARE_GROUP_OFFSETS, *OFFSETS, k.DESCRIBE_SHARE_GROUP_OFFSETS)
def alter_share_offsets(c: Conversation, version: int) -> None:
    nobody = group_ready(c, "nobody")
    it = with_records(c, version)
    topic, none = f"{c.prefix}-in", f"{c.prefix}-no"
    it.version = 2
    it.first(0)

    def ask(label: str, body: Any) -> None:
        c.ask(label, k.ALTER_SHARE_GROUP_OFFSETS, version, body)

    ask("with a member", altering(it.group, topic, p0=2))
    c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(it.group, ONE, -1))
    ask("empty", altering(it.group, topic, p0=2))
    ask("a partition that is not there", altering(it.group, topic, p0=3, p7=3))
    ask("a topic that is not there", altering(it.group, none, p0=3))
    ask("no topics", al.AlterShareGroupOffsetsRequest(group_id=it.group))
    c.note("where it is", c.quiet(k.DESCRIBE_SHARE_GROUP_OFFSETS, 1, describing(it.group, (topic, [0]))))
    ask("a group that there was not", altering(nobody, topic, p0=2))
    described = c.quiet(k.SHARE_GROUP_DESCRIBE, 1, ShareGroupDescribeRequest(group_ids=[nobody]))
    c.note("now there is", described)
    joined = c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(nobody, ONE, 0, topic))
    c.note("its first member's epoch", str(joined.member_epoch))


@scenario(k.DELETE_SHARE_GROUP_OFFSETS, *OFFSETS, k.DESCRIBE_SHARE_GROUP_OFFSETS)
def delete_share_offsets(c: Conversation, version: int) -> None:
    nobody = group_ready(c, "nobody")
    it = with_records(c, version)
    topic, none = f"{c.prefix}-in", f"{c.prefix}-no"
    it.version = 2
    it.first(0)

    def ask(label: str, body: Any) -> None:
        c.ask(label, k.DELETE_SHARE_GROUP_OFFSETS, version, body)

    ask("unknown group", deleting(nobody, topic))
    ask("with a member", deleting(it.group, topic))
    c.quiet(k.SHARE_GROUP_HEARTBEAT, 1, beat_body(it.group, ONE, -1))
    ask("empty", deleting(it.group, topic))
    ask("again", deleting(it.group, topic))
    ask("a topic that is not there", deleting(it.group, none))
    ask("no topics", deleting(it.group))
    c.note("where it is", c.quiet(k.DESCRIBE_SHARE_GROUP_OFFSETS, 1, describing(it.group, (topic, [0]))))
