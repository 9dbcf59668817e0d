"""A share group at three brokers: homes are where leaders are; one is killed, and what was acknowledged stays so."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import AcknowledgeType, Producer, ShareConsumer
from support.direct import Direct
from support.share import ACCEPT, ShareMember, joined, set_group
from support.talker import Talker, batch_of

from moldau.cli.main import root
from moldau.protocol import api_keys
from moldau.protocol.error_codes import NONE, NOT_LEADER_OR_FOLLOWER
from moldau.protocol.messages import describe_share_group_offsets as describe
from moldau.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from moldau.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PARTITIONS = 6
RECORDS = 900


@pytest.fixture(scope="module")
def cluster() -> Iterator[Direct]:
    with Direct(3, **{"group.share.assignment.interval.ms": "0", "moldau.http.listener": "127.0.0.1:0"}) as started:
        yield started


def create(cluster: Direct, name: str) -> None:
    with Talker(cluster.address(1)) as wire:
        topic = CreatableTopic(name=name, num_partitions=PARTITIONS, replication_factor=3)
        answer = wire.call(api_keys.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=10_000))
        assert answer.topics[0].error_code == NONE
        assert set_group(wire, name, share_auto_offset_reset="earliest") == NONE


def leaders(wire: Talker, topic: str) -> dict[int, int]:
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)])
    (found,) = wire.call(api_keys.METADATA, 12, request).topics
    return {each.partition_index: each.leader_id for each in found.partitions}


def lag(cluster: Direct, node_id: int, group: str) -> int | None:
    """All that is not done with; None while another broker coordinates the group."""
    with Talker(cluster.address(node_id)) as wire:
        asked = describe.DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None)
        request = describe.DescribeShareGroupOffsetsRequest(groups=[asked])
        (answer,) = wire.call(api_keys.DESCRIBE_SHARE_GROUP_OFFSETS, 1, request).groups
    return None if answer.error_code else sum(each.lag for topic in answer.topics for each in topic.partitions)


def test_a_member_is_sent_to_the_leader(cluster: Direct) -> None:
    create(cluster, "sent")
    with Talker(cluster.address(1)) as any_one:
        where = leaders(any_one, "sent")
        home = where[0]
        other = next(node_id for node_id in cluster.nodes if node_id != home)
        coordinator = any_one.coordinator("sent")
    with Talker(cluster.address(coordinator)) as wire:
        member_id = joined(wire, "sent", "sent").member_id
    for node_id, code in ((other, NOT_LEADER_OR_FOLLOWER), (home, NONE)):
        with Talker(cluster.address(node_id)) as wire:
            wire.produce("sent", 0, batch_of([b"x"]))
            member = ShareMember(wire, "sent", "sent", member_id=member_id)
            answer = member.fetch()
            (partition,) = answer.responses[0].partitions
            assert partition.error_code == code
            if code:
                assert partition.current_leader.leader_id == home
                assert {each.node_id for each in answer.node_endpoints} == set(cluster.nodes)
            else:
                (acquired,) = partition.acquired_records
                assert member.say(acquired.first_offset, acquired.last_offset, ACCEPT) == NONE


def described(cluster: Direct, group: str) -> tuple[list[dict[str, Any]], str]:
    """(its partitions as `moldau group describe` tells them, what it remarked)"""
    arguments = ["-b", cluster.bootstrap, "group", "describe", group, "--format", "json"]
    done = CliRunner().invoke(root, arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)[0]["partitions"], done.stderr


def test_every_broker_is_asked_how_records_stand(cluster: Direct) -> None:
    create(cluster, "asked")
    with Talker(cluster.address(1)) as wire:
        where = leaders(wire, "asked")
        coordinator = wire.coordinator("asked")
    assert set(where.values()) == set(cluster.nodes)
    with Talker(cluster.address(coordinator)) as wire:
        member_id = joined(wire, "asked", "asked", PARTITIONS).member_id
    with ExitStack() as stack:  # what members have goes back when they hang up
        for home in cluster.nodes:
            wire = stack.enter_context(Talker(cluster.address(home)))
            member = ShareMember(wire, "asked", "asked", member_id=member_id)
            member.partitions = [index for index, leader in where.items() if leader == home]
            for index in member.partitions:
                wire.produce("asked", index, batch_of([b"x"] * (index + 1)))
            held: set[int] = set()
            deadline = time.monotonic() + 10
            while held != set(member.partitions):
                assert time.monotonic() < deadline
                held |= {
                    each.partition_index
                    for topic in member.fetch().responses
                    for each in topic.partitions
                    if each.acquired_records
                }
        partitions, remarked = described(cluster, "asked")
        assert {each["partition"]: each["delivery"]["members"] for each in partitions} == {
            index: {member_id: index + 1} for index in range(PARTITIONS)
        }
        assert remarked == ""


def test_a_broker_is_killed_under_two_members(cluster: Direct) -> None:
    create(cluster, "killed")
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "linger.ms": "1", "batch.num.messages": "10"})
    for number in range(RECORDS):
        producer.produce("killed", b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(20) == 0
    config = {
        "bootstrap.servers": cluster.bootstrap,
        "group.id": "killed",
        "share.acknowledgement.mode": "explicit",
        "max.poll.records": "20",
    }
    members = [ShareConsumer(config) for _ in range(2)]
    for member in members:
        member.subscribe(["killed"])
    stored: Counter[bytes] = Counter()
    delivered: Counter[bytes] = Counter()
    killed = 0
    deadline = time.monotonic() + 60
    while len(stored) < RECORDS and time.monotonic() < deadline:
        for member in members:
            messages = [message for message in member.poll(0.3) if message.error() is None]
            for message in messages:
                delivered[message.value()] += 1
                member.acknowledge(message, AcknowledgeType.ACCEPT)
            failed = {
                (each.topic, each.partition)
                for each, error in (member.commit_sync(10.0) or {}).items()
                if error is not None
            }
            stored.update(
                message.value() for message in messages if (message.topic(), message.partition()) not in failed
            )
        if not killed and len(stored) > RECORDS // 4:
            with Talker(cluster.address(1)) as wire:
                where = Counter(leaders(wire, "killed").values())
                killed = next(node_id for node_id, _ in where.most_common() if node_id != wire.coordinator("killed"))
            cluster.kill(killed)
    for member in members:
        member.close()
    cluster.heal()
    assert killed
    assert len(stored) == RECORDS, f"{len(delivered)} delivered"
    assert max(stored.values()) == 1, "acknowledged, and delivered again"
    lags = [lag(cluster, node_id, "killed") for node_id in cluster.nodes]
    assert [each for each in lags if each is not None] == [0]
