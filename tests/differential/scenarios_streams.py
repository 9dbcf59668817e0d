"""Streams groups (KIP-1071): joining, giving up tasks, internal topics, leaving; describing them."""

from __future__ import annotations

import time
from typing import Any

from conversation import Broke, Conversation, scenario
from scenarios_groups import group_ready, join_alone

from moldau.protocol import api_keys as k
from moldau.protocol.messages import streams_group_describe as sd
from moldau.protocol.messages import streams_group_heartbeat as hb
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest

HEARTBEAT, DESCRIBE = k.STREAMS_GROUP_HEARTBEAT, k.STREAMS_GROUP_DESCRIBE
BEFORE = (k.FIND_COORDINATOR, k.HEARTBEAT)
Tasks = dict[str, list[int]]


def ids(tasks: Tasks) -> list[hb.TaskIds]:
    return [hb.TaskIds(subtopology_id=name, partitions=partitions) for name, partitions in tasks.items()]


def beat_body(
    group: str, member: str, epoch: int, owned: Tasks | None = None, **fields: Any
) -> hb.StreamsGroupHeartbeatRequest:
    body = hb.StreamsGroupHeartbeatRequest(group_id=group, member_id=member, member_epoch=epoch)
    if owned is not None:
        body.active_tasks, body.standby_tasks, body.warmup_tasks = ids(owned), [], []
    for name, value in fields.items():
        setattr(body, name, value)
    return body


def join_body(group: str, member: str, topology: hb.Topology, /, **fields: Any) -> hb.StreamsGroupHeartbeatRequest:
    values = {
        "rebalance_timeout_ms": 10_000,
        "process_id": f"process-{member}",
        "client_tags": [],
        "topology": topology,
    }
    return beat_body(group, member, 0, {}, **(values | fields))


def stateless(*topics: str) -> hb.Topology:
    return hb.Topology(subtopologies=[hb.Subtopology(subtopology_id="0", source_topics=list(topics))])


def stateful(topic: str, log: str, partitions: int = 0) -> hb.Topology:
    configs = [hb.KeyValue(key="cleanup.policy", value="compact")]
    changelog = hb.TopicInfo(name=log, partitions=partitions, topic_configs=configs)
    part = hb.Subtopology(subtopology_id="0", source_topics=[topic], state_changelog_topics=[changelog])
    return hb.Topology(subtopologies=[part])


@scenario(HEARTBEAT, *BEFORE)
def streams_heartbeat(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()
    c.ask("unknown group", HEARTBEAT, version, beat_body(group, "a", 1))
    c.ask("a joins", HEARTBEAT, version, join_body(group, "a", stateless(topic)))
    c.ask("nothing new", HEARTBEAT, version, beat_body(group, "a", 2))
    c.ask("a's tasks", HEARTBEAT, version, beat_body(group, "a", 2, {"0": [0, 1]}))
    c.ask("b joins", HEARTBEAT, version, join_body(group, "b", stateless(topic)))
    c.ask("a is to give up", HEARTBEAT, version, beat_body(group, "a", 2, {"0": [0, 1]}))
    c.ask("b waits", HEARTBEAT, version, beat_body(group, "b", 3, {}))
    c.ask("a has not yet", HEARTBEAT, version, beat_body(group, "a", 2, {"0": [0, 1]}))
    c.ask("a has given up", HEARTBEAT, version, beat_body(group, "a", 2, {"0": [0]}))
    c.ask("b has it", HEARTBEAT, version, beat_body(group, "b", 3, {}))
    c.ask("an epoch too new", HEARTBEAT, version, beat_body(group, "b", 9, {"0": [1]}))
    c.ask("an epoch too old", HEARTBEAT, version, beat_body(group, "b", 1, {"0": [1]}))
    c.ask("unknown member", HEARTBEAT, version, beat_body(group, "c", 3))
    c.ask("a task that is none", HEARTBEAT, version, beat_body(group, "b", 3, {"0": [7]}))
    c.ask("a subtopology that is none", HEARTBEAT, version, beat_body(group, "b", 3, {"9": [0]}))
    c.ask("another topology", HEARTBEAT, version, join_body(group, "c", stateful(topic, f"{group}-log")))
    c.ask("a newer topology", HEARTBEAT, version, join_body(group, "c", hb.Topology(epoch=1)))
    c.ask("shutdown", HEARTBEAT, version, beat_body(group, "a", 3, shutdown_application=True))
    c.ask("shutdown is told", HEARTBEAT, version, beat_body(group, "b", 3))
    c.ask("a leaves", HEARTBEAT, version, beat_body(group, "a", -1))
    c.ask("b has all", HEARTBEAT, version, beat_body(group, "b", 3, {"0": [1]}))
    c.ask("b leaves", HEARTBEAT, version, beat_body(group, "b", -1))
    c.ask("nobody is left", HEARTBEAT, version, beat_body(group, "b", 4))


@scenario(HEARTBEAT, *BEFORE)
def streams_heartbeat_wrong(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()
    c.ask("no member id", HEARTBEAT, version, join_body(group, "", stateless(topic)))
    c.ask("no rebalance time-out", HEARTBEAT, version, join_body(group, "a", stateless(topic), rebalance_timeout_ms=-1))
    c.ask("no topology", HEARTBEAT, version, join_body(group, "a", stateless(topic), topology=None))
    c.ask(
        "tasks when joining", HEARTBEAT, version, join_body(group, "a", stateless(topic), active_tasks=ids({"0": [0]}))
    )
    c.ask("half the tasks", HEARTBEAT, version, join_body(group, "a", stateless(topic), standby_tasks=None))
    c.ask("an epoch below all", HEARTBEAT, version, beat_body(group, "a", -3))
    c.ask("topology later", HEARTBEAT, version, beat_body(group, "a", 1, topology=stateless(topic)))
    pattern = hb.Topology(subtopologies=[hb.Subtopology(subtopology_id="0", source_topic_regex=["x.*"])])
    c.ask("source topics by pattern", HEARTBEAT, version, join_body(group, "a", pattern))
    c.ask("partitions of a changelog", HEARTBEAT, version, join_body(group, "a", stateful(topic, "log", partitions=2)))
    loop = hb.Subtopology(
        subtopology_id="0", repartition_sink_topics=["x"], repartition_source_topics=[hb.TopicInfo(name="x")]
    )
    c.ask("a loop", HEARTBEAT, version, join_body(group, "a", hb.Topology(subtopologies=[loop])))
    c.ask("no group after that", HEARTBEAT, version, beat_body(group, "a", 1))


@scenario(HEARTBEAT, *BEFORE)
def streams_topics(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()
    nowhere = group_ready(c, "nowhere")
    c.ask("no source topic", HEARTBEAT, version, join_body(nowhere, "a", stateless(f"{c.prefix}-no", topic)))
    log = f"{group}-log"
    epoch = c.ask("no changelog", HEARTBEAT, version, join_body(group, "a", stateful(topic, log))).member_epoch
    for _ in range(500):
        time.sleep(0.02)
        answer = c.quiet(HEARTBEAT, version, beat_body(group, "a", epoch, {}))
        epoch = answer.member_epoch
        if not answer.status:
            break
    else:
        raise Broke("the changelog is not created")
    c.note("changelog", str(sorted((t.name.removeprefix(c.prefix), len(t.partitions)) for t in c.metadata(log).topics)))
    c.note("all tasks", answer)
    other, narrow = c.topic("other", 3), c.topic("narrow-log", 2)
    c.settle()
    wrong = group_ready(c, "wrong")
    c.ask("a changelog of the wrong size", HEARTBEAT, version, join_body(wrong, "a", stateful(other, narrow)))
    uneven = stateless(topic, other)
    uneven.subtopologies[0].copartition_groups = [hb.CopartitionGroup(source_topics=[0, 1])]
    c.ask("not co-partitioned", HEARTBEAT, version, join_body(group_ready(c, "uneven"), "a", uneven))


@scenario(DESCRIBE, HEARTBEAT, k.DELETE_GROUPS, k.JOIN_GROUP, k.SYNC_GROUP, *BEFORE)
def streams_describe(c: Conversation, version: int) -> None:
    group, topic = group_ready(c), c.topic("in", 2)
    c.settle()
    classic = group_ready(c, "classic")
    join_alone(c, classic)
    endpoint = hb.Endpoint(host="example", port=7)
    tags = [hb.KeyValue(key="zone", value="x")]
    fields = {"user_endpoint": endpoint, "client_tags": tags, "rack_id": "r"}
    c.ask("join", HEARTBEAT, 0, join_body(group, "a", stateless(topic), **fields))
    c.ask("endpoints", HEARTBEAT, 0, beat_body(group, "a", 2, {"0": [0, 1]}, endpoint_information_epoch=-1))
    c.ask("described", DESCRIBE, version, sd.StreamsGroupDescribeRequest(group_ids=[group]))
    c.ask("a classic group", DESCRIBE, version, sd.StreamsGroupDescribeRequest(group_ids=[classic]))
    c.ask("no group", DESCRIBE, version, sd.StreamsGroupDescribeRequest(group_ids=[f"{c.prefix}-no"]))
    asked = sd.StreamsGroupDescribeRequest(group_ids=[group], include_authorized_operations=True)
    c.ask("with operations", DESCRIBE, version, asked)
    c.ask("not deleted", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[group]))
    c.ask("classic is none", HEARTBEAT, 0, join_body(classic, "a", stateless(topic)))
    c.ask("leave", HEARTBEAT, 0, beat_body(group, "a", -1))
    c.ask("empty", DESCRIBE, version, sd.StreamsGroupDescribeRequest(group_ids=[group]))
    c.ask("deleted", k.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[group]))
