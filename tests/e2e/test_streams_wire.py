"""Streams groups over the wire, in every version that is advertised."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support.talker import Talker

from moldau.broker.served import VERSIONS
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages import alter_configs as ac
from moldau.protocol.messages import create_topics as ct
from moldau.protocol.messages import delete_groups as dg
from moldau.protocol.messages import describe_groups as dsg
from moldau.protocol.messages import list_groups as lsg
from moldau.protocol.messages import metadata
from moldau.protocol.messages import offset_commit as oc
from moldau.protocol.messages import streams_group_describe as describe
from moldau.protocol.messages import streams_group_heartbeat as hb
from moldau.protocol.messages import streams_group_topology_description_update as tdu
from moldau.protocol.messages import txn_offset_commit as toc
from moldau.protocol.messages import update_features as uf
from moldau.records.builder import build_batch
from moldau.records.record import Record
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

HEARTBEAT, DESCRIBE = api_keys.STREAMS_GROUP_HEARTBEAT, api_keys.STREAMS_GROUP_DESCRIBE
SETTINGS = {
    "group.streams.initial.rebalance.delay.ms": "0",
    "group.streams.assignment.interval.ms": "0",
    "group.streams.heartbeat.interval.ms": "5000",
}
VERSION = pytest.mark.parametrize("version", range(VERSIONS[HEARTBEAT][0], VERSIONS[HEARTBEAT][1] + 1))


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerThread]:
    with BrokerThread(settings=SETTINGS) as running:
        with Talker(running.bootstrap) as talker:
            topic = ct.CreatableTopic(name="in", num_partitions=2, replication_factor=1)
            talker.call(api_keys.CREATE_TOPICS, 7, ct.CreateTopicsRequest(topics=[topic]))
        yield running


@pytest.fixture
def talker(broker: BrokerThread) -> Iterator[Talker]:
    with Talker(broker.bootstrap) as connected:
        yield connected


def topology(prefix: str, replication_factor: int = 0) -> hb.Topology:
    """in -> mid -> a store"""
    mid = hb.TopicInfo(name=f"{prefix}-mid", topic_configs=[hb.KeyValue(key="cleanup.policy", value="delete")])
    log = hb.TopicInfo(
        name=f"{prefix}-log",
        replication_factor=replication_factor,
        topic_configs=[hb.KeyValue(key="cleanup.policy", value="compact")],
    )
    return hb.Topology(
        epoch=0,
        subtopologies=[
            hb.Subtopology(subtopology_id="0", source_topics=["in"], repartition_sink_topics=[mid.name]),
            hb.Subtopology(
                subtopology_id="1",
                repartition_source_topics=[mid],
                state_changelog_topics=[log],
                copartition_groups=[hb.CopartitionGroup(repartition_source_topics=[0])],
            ),
        ],
    )


def beat(talker: Talker, group: str, epoch: int, version: int = 1, member: str = "m", **fields: Any) -> Any:
    request = hb.StreamsGroupHeartbeatRequest(group_id=group, member_id=member, member_epoch=epoch, **fields)
    return talker.call(HEARTBEAT, version, request)


def join(talker: Talker, group: str, version: int = 1, member: str = "m", **fields: Any) -> Any:
    values: dict[str, Any] = {
        "active_tasks": [],
        "standby_tasks": [],
        "warmup_tasks": [],
        "rebalance_timeout_ms": 60_000,
    }
    values |= {"process_id": "p", "topology": topology(group)}
    return beat(talker, group, 0, version, member, **(values | fields))


def until_ready(talker: Talker, group: str, answer: Any, version: int = 1) -> Any:
    """Heartbeats until no topic is missing any more."""
    for _ in range(100):
        if not answer.status:
            return answer
        time.sleep(0.02)
        answer = beat(talker, group, answer.member_epoch, version)
        assert answer.error_code == 0, answer.error_message
    raise AssertionError(answer.status[0].status_detail)


@VERSION
def test_a_member_gets_its_tasks_when_the_broker_has_made_the_topics(talker: Talker, version: int) -> None:
    group = f"life-{version}"
    answer = join(talker, group, version)
    assert answer.error_code == 0
    assert [status.status_code for status in answer.status] == [3]
    assert answer.status[0].status_detail == f"Internal topics are missing: {group}-log, {group}-mid"
    assert (answer.member_id, answer.heartbeat_interval_ms, answer.task_offset_interval_ms) == ("m", 5000, 60_000)
    answer = until_ready(talker, group, answer, version)
    assert [(ids.subtopology_id, ids.partitions) for ids in answer.active_tasks] == [("0", [0, 1]), ("1", [0, 1])]
    made = talker.call(api_keys.METADATA, 12, metadata.MetadataRequest(topics=None)).topics
    assert {topic.name: len(topic.partitions) for topic in made if topic.name.startswith(group)} == {
        f"{group}-log": 2,
        f"{group}-mid": 2,
    }

    described = talker.call(DESCRIBE, version, describe.StreamsGroupDescribeRequest(group_ids=[group])).groups[0]
    assert (described.error_code, described.group_state, described.topology.epoch) == (0, "Stable", 0)
    assert described.group_epoch == described.assignment_epoch == described.members[0].member_epoch
    assert described.topology.subtopologies[1].state_changelog_topics[0].partitions == 2
    assert [ids.partitions for ids in described.members[0].assignment.active_tasks] == [[0, 1], [0, 1]]
    assert described.members[0].assignment.active_tasks == described.members[0].target_assignment.active_tasks
    assert described.assignor_name == ("sticky" if version else None)

    committed = oc.OffsetCommitRequest(
        group_id=group,
        member_id="m",
        generation_id_or_member_epoch=answer.member_epoch,
        topics=[
            oc.OffsetCommitRequestTopic(
                name="in", partitions=[oc.OffsetCommitRequestPartition(partition_index=0, committed_offset=1)]
            )
        ],
    )
    assert talker.call(api_keys.OFFSET_COMMIT, 9, committed).topics[0].partitions[0].error_code == 0
    deleted = talker.call(api_keys.DELETE_GROUPS, 2, dg.DeleteGroupsRequest(groups_names=[group])).results[0]
    assert deleted.error_code == error_codes.NON_EMPTY_GROUP
    assert beat(talker, group, -1, version).member_epoch == -1
    deleted = talker.call(api_keys.DELETE_GROUPS, 2, dg.DeleteGroupsRequest(groups_names=[group])).results[0]
    assert deleted.error_code == 0
    described = talker.call(DESCRIBE, version, describe.StreamsGroupDescribeRequest(group_ids=[group])).groups[0]
    assert (described.error_code, described.error_message) == (
        error_codes.GROUP_ID_NOT_FOUND,
        f"Group {group} not found.",
    )


def test_groups_are_listed_with_their_type(talker: Talker) -> None:
    until_ready(talker, "listed", join(talker, "listed"))
    request = lsg.ListGroupsRequest(types_filter=["streams"])
    found = [group for group in talker.call(api_keys.LIST_GROUPS, 5, request).groups if group.group_id == "listed"]
    assert [(group.protocol_type, group.group_state, group.group_type) for group in found] == [
        ("streams", "Stable", "streams")
    ]
    told = talker.call(api_keys.DESCRIBE_GROUPS, 6, dsg.DescribeGroupsRequest(groups=["listed"])).groups[0]
    assert (told.error_code, told.error_message) == (
        error_codes.GROUP_ID_NOT_FOUND,
        "Group listed is not a classic group.",
    )
    asked = describe.StreamsGroupDescribeRequest(
        group_ids=["listed", ""], include_authorized_operations=True, include_topology_description=True
    )
    described, nameless = talker.call(DESCRIBE, 1, asked).groups
    assert described.authorized_operations > 0
    assert (described.topology_description, described.topology_description_status) == (None, 1)
    assert nameless.error_code == error_codes.INVALID_GROUP_ID


def test_the_command_line_knows_streams_groups(broker: BrokerThread, talker: Talker) -> None:
    def moldau(*arguments: str) -> str:
        command = [sys.executable, "-m", "moldau", "-b", broker.bootstrap, "group", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    group = "told"
    records = [Record(0, 1, None, b"x") for _ in range(7)]
    assert talker.produce("in", 1, build_batch(records)).error_code == 0
    until_ready(talker, group, join(talker, group))
    moldau("describe", group)  # nothing is committed
    assert beat(talker, group, -1).member_epoch == -1
    moldau("reset", group, "--topic", "in:1", "--to-offset", "5", "--execute")
    until_ready(talker, group, join(talker, group))
    assert re.search(rf"^{group} +Stable +streams$", moldau("list"), re.M)
    (described,) = json.loads(moldau("describe", group, "--format", "json"))
    assert (described["state"], described["type"], described["lag"]) == ("Stable", "streams", 2)
    assert described["partitions"] == [
        {"topic": "in", "partition": 1, "committed_offset": 5, "end_offset": 7, "lag": 2}
    ]
    assert described["subtopologies"][1] == {
        "subtopology": "1",
        "source_topics": [f"{group}-mid"],
        "changelog_topics": [f"{group}-log"],
    }
    (member,) = described["members"]
    assert (member["member_id"], member["process_id"], member["standby_tasks"]) == ("m", "p", [])
    table = moldau("describe", group)
    assert re.search(r"^in +1 +5 +7 +2$", table, re.M)
    assert re.search(r"^m +test ", table, re.M)
    assert beat(talker, group, -1).member_epoch == -1
    assert "Deleted group told." in moldau("delete", group, "--yes")
    assert group not in moldau("list")


def test_a_member_is_asked_to_describe_the_topology(talker: Talker) -> None:
    answer = until_ready(talker, "drawn", join(talker, "drawn", 0), 0)
    answer = beat(talker, "drawn", answer.member_epoch)
    assert answer.topology_description_required
    assert not beat(talker, "drawn", answer.member_epoch).topology_description_required
    source = tdu.TopologyDescriptionNode(
        name="KSTREAM-SOURCE-0", node_type=1, source_topics=["in"], successors=["SINK"]
    )
    sink = tdu.TopologyDescriptionNode(name="SINK", node_type=3, sink_topic="out")
    drawing = tdu.TopologyDescription(
        subtopologies=[tdu.TopologyDescriptionSubtopology(subtopology_id="0", nodes=[source, sink])],
        global_stores=[
            tdu.TopologyDescriptionGlobalStore(
                source=source, processor=tdu.TopologyDescriptionNode(name="P", node_type=2, stores=["s"])
            )
        ],
    )

    def send(member: str, epoch: int, description: tdu.TopologyDescription) -> int:
        request = tdu.StreamsGroupTopologyDescriptionUpdateRequest(
            group_id="drawn", member_id=member, topology_epoch=epoch, topology_description=description
        )
        return int(talker.call(api_keys.STREAMS_GROUP_TOPOLOGY_DESCRIPTION_UPDATE, 0, request).error_code)

    assert send("nobody", 0, drawing) == error_codes.UNKNOWN_MEMBER_ID
    assert send("m", 1, drawing) == error_codes.INVALID_REQUEST
    odd = tdu.TopologyDescription(
        subtopologies=[tdu.TopologyDescriptionSubtopology(nodes=[tdu.TopologyDescriptionNode()])]
    )
    assert send("m", 0, odd) == error_codes.INVALID_REQUEST
    large = tdu.TopologyDescription(
        subtopologies=[tdu.TopologyDescriptionSubtopology(subtopology_id="x" * 30_000)] * 10
    )
    assert send("m", 0, large) == error_codes.STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED
    assert send("m", 0, drawing) == 0
    asked = describe.StreamsGroupDescribeRequest(group_ids=["drawn"], include_topology_description=True)
    described = talker.call(DESCRIBE, 1, asked).groups[0]
    assert described.topology_description_status == 3
    first = described.topology_description.subtopologies[0].nodes[0]
    assert (first.name, first.node_type, first.source_topics, first.successors) == (
        "KSTREAM-SOURCE-0",
        1,
        ["in"],
        ["SINK"],
    )
    assert described.topology_description.subtopologies[0].nodes[1].sink_topic == "out"
    assert described.topology_description.global_stores[0].processor.stores == ["s"]


def test_topics_that_cannot_be_created_are_told(talker: Talker) -> None:
    answer = join(talker, "poor", topology=topology("poor", replication_factor=5))
    for _ in range(100):
        if "Creation failed" in answer.status[0].status_detail and "poor-mid" not in answer.status[0].status_detail:
            break
        time.sleep(0.02)
        answer = beat(talker, "poor", answer.member_epoch)
    assert answer.status[0].status_code == 3
    assert answer.status[0].status_detail == (
        "Internal topics are missing: poor-log; Creation failed: poor-log (replication factor 5 asked for, the cluster has 1 live broker)."
    )


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ({"member": ""}, error_codes.INVALID_REQUEST, "MemberId can't be empty."),
        ({"instance_id": " "}, error_codes.INVALID_REQUEST, "InstanceId can't be empty."),
        (
            {"rebalance_timeout_ms": -1},
            error_codes.INVALID_REQUEST,
            "RebalanceTimeoutMs must be provided in first request.",
        ),
        ({"topology": None}, error_codes.INVALID_REQUEST, "Topology must be non-null when (re-)joining."),
        (
            {"standby_tasks": [hb.TaskIds(subtopology_id="0", partitions=[0])]},
            error_codes.INVALID_REQUEST,
            "StandbyTasks must be empty when (re-)joining.",
        ),
        (
            {"topology": hb.Topology(epoch=-1)},
            error_codes.STREAMS_INVALID_TOPOLOGY_EPOCH,
            "Topology epoch must be non-negative.",
        ),
        (
            {"topology": hb.Topology(subtopologies=[hb.Subtopology(source_topic_regex=["x.*"])])},
            error_codes.INVALID_REQUEST,
            "Regular expressions for source topics are not supported yet.",
        ),
        (
            {"topology": hb.Topology(subtopologies=[hb.Subtopology(subtopology_id="0")])},
            error_codes.STREAMS_INVALID_TOPOLOGY,
            "No source topics found for subtopology 0",
        ),
        (
            {
                "topology": hb.Topology(
                    subtopologies=[hb.Subtopology(state_changelog_topics=[hb.TopicInfo(name="log", partitions=3)])]
                )
            },
            error_codes.STREAMS_INVALID_TOPOLOGY,
            "Changelog topic log must have an undefined partition count, but it is set to 3.",
        ),
        (
            {
                "topology": hb.Topology(
                    subtopologies=[hb.Subtopology(copartition_groups=[hb.CopartitionGroup(source_topics=[0])])]
                )
            },
            error_codes.STREAMS_INVALID_TOPOLOGY,
            "A co-partition group of subtopology  names a topic that it does not have.",
        ),
    ],
)
def test_what_is_wrong_with_a_join(talker: Talker, fields: dict[str, Any], code: int, text: str) -> None:
    answer = join(talker, "wrong", **fields)
    assert (answer.error_code, answer.error_message) == (code, text)


@pytest.mark.parametrize(
    ("epoch", "fields", "text"),
    [
        (1, {"topology": hb.Topology()}, "Topology can only be provided when (re-)joining."),
        (1, {"active_tasks": []}, "If one task-type is non-null, all must be non-null."),
        (-2, {}, "InstanceId can't be null."),
        (-3, {}, "MemberEpoch is -3, but must be greater than or equal to -2."),
    ],
)
def test_what_is_wrong_with_a_heartbeat(talker: Talker, epoch: int, fields: dict[str, Any], text: str) -> None:
    answer = beat(talker, "wrong", epoch, **fields)
    assert (answer.error_code, answer.error_message) == (error_codes.INVALID_REQUEST, text)


@pytest.mark.parametrize(
    ("version", "code"), [(5, error_codes.ILLEGAL_GENERATION), (6, error_codes.STALE_MEMBER_EPOCH)]
)
def test_a_transactional_commit_of_another_epoch(talker: Talker, version: int, code: int) -> None:
    """KIP-1319: producers before version 6 do not know STALE_MEMBER_EPOCH, and would end."""
    group = f"txn-{version}"
    until_ready(talker, group, join(talker, group))
    topic = talker.call(
        api_keys.METADATA, 12, metadata.MetadataRequest(topics=[metadata.MetadataRequestTopic(name="in")])
    ).topics[0]
    partitions = [toc.TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=1)]
    named = {"topic_id": topic.topic_id} if version >= 6 else {"name": "in"}
    request = toc.TxnOffsetCommitRequest(
        transactional_id="t",
        group_id=group,
        producer_id=1,
        member_id="m",
        generation_id_or_member_epoch=99,
        topics=[toc.TxnOffsetCommitRequestTopic(partitions=partitions, **named)],
    )
    answer = talker.call(api_keys.TXN_OFFSET_COMMIT, version, request)
    assert answer.topics[0].partitions[0].error_code == code


def test_a_groups_own_settings_count(talker: Talker) -> None:
    configs = [ac.AlterableConfig(name="streams.heartbeat.interval.ms", value="7000")]
    resource = ac.AlterConfigsResource(resource_type=32, resource_name="own", configs=configs)
    answer = talker.call(api_keys.ALTER_CONFIGS, 2, ac.AlterConfigsRequest(resources=[resource]))
    assert answer.responses[0].error_code == 0
    assert join(talker, "own").heartbeat_interval_ms == 7000


def test_without_the_feature_nobody_joins() -> None:
    with BrokerThread(settings=SETTINGS) as running, Talker(running.bootstrap) as talker:
        update = uf.FeatureUpdateKey(feature="streams.version", max_version_level=0, upgrade_type=2)
        answer = talker.call(api_keys.UPDATE_FEATURES, 1, uf.UpdateFeaturesRequest(feature_updates=[update]))
        assert answer.error_code == 0, answer.error_message
        assert join(talker, "g").error_code == error_codes.UNSUPPORTED_VERSION
