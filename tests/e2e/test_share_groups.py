"""Share groups on the wire and with clients: deliveries, outcomes, time, sessions; brokers that are killed."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import AcknowledgeType, Producer, ShareConsumer
from support.clients.java import Java
from support.clients.port import run
from support.share import ACCEPT, GAP, REJECT, RELEASE, RENEW, ShareMember, joined, set_group
from support.talker import Gone, Talker, batch_of

from moldau.protocol import api_keys
from moldau.protocol.error_codes import (
    FENCED_MEMBER_EPOCH,
    GROUP_ID_NOT_FOUND,
    INVALID_RECORD_STATE,
    INVALID_REQUEST,
    INVALID_SHARE_SESSION_EPOCH,
    NON_EMPTY_GROUP,
    NONE,
    SHARE_SESSION_NOT_FOUND,
    UNKNOWN_MEMBER_ID,
    UNSUPPORTED_VERSION,
)
from moldau.protocol.messages import alter_share_group_offsets as alter
from moldau.protocol.messages import delete_share_group_offsets as delete
from moldau.protocol.messages import describe_share_group_offsets as describe
from moldau.protocol.messages.delete_groups import DeleteGroupsRequest
from moldau.protocol.messages.list_groups import ListGroupsRequest
from moldau.protocol.messages.share_group_describe import ShareGroupDescribeRequest
from moldau.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow

SETTINGS = {"group.share.min.record.lock.duration.ms": "1000", "group.share.assignment.interval.ms": "0"}


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerThread]:
    with BrokerThread(settings=SETTINGS) as started:
        yield started


@pytest.fixture
def wire(broker: BrokerThread) -> Iterator[Talker]:
    with Talker(broker.bootstrap) as opened:
        yield opened


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of the test's topic and group."""
    return request.node.name.replace("[", "-").rstrip("]")


@pytest.fixture
def topic(wire: Talker, name: str) -> str:
    """Ten records in batches of five; the group begins at the first."""
    assert wire.create_topic(name) == NONE
    fill(wire, name, 2)
    assert set_group(wire, name, share_auto_offset_reset="earliest") == NONE
    return name


def fill(wire: Talker, topic: str, batches: int) -> None:
    for number in range(batches):
        wire.produce(topic, 0, batch_of([f"{number}-{each}".encode() for each in range(5)]))


def offsets(wire: Talker, group: str) -> list[tuple[int, int, int]]:
    """(partition, start offset, lag) of all that the group has begun."""
    asked = describe.DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None)
    answer = wire.call(
        api_keys.DESCRIBE_SHARE_GROUP_OFFSETS, 1, describe.DescribeShareGroupOffsetsRequest(groups=[asked])
    )
    assert answer.groups[0].error_code == NONE, answer
    return [
        (each.partition_index, each.start_offset, each.lag)
        for topic in answer.groups[0].topics
        for each in topic.partitions
    ]


def test_each_record_is_one_members_until_it_says_what_became_of_it(wire: Talker, topic: str) -> None:
    one, two = joined(wire, topic, topic), joined(wire, topic, topic)
    assert one.take(max_records=1) == [(0, 4, 1)]  # whole batches
    assert list(one.values.values()) == [b"0-0", b"0-1", b"0-2", b"0-3", b"0-4"]
    assert two.take() == [(5, 9, 1)]
    assert two.say(0, 0, ACCEPT) == INVALID_RECORD_STATE
    assert one.say(0, 4, ACCEPT, RELEASE, REJECT, GAP, ACCEPT) == NONE
    assert one.say(0, 0, ACCEPT) == NONE  # below the start: done with
    assert one.say(2, 2, ACCEPT) == INVALID_RECORD_STATE
    assert one.say(10, 11, ACCEPT) == INVALID_REQUEST
    assert two.take({0: [(5, 9, [ACCEPT])]}) == [(1, 1, 2)]
    assert offsets(wire, topic) == [(0, 1, 1)]
    assert two.say(1, 1, ACCEPT) == NONE
    assert offsets(wire, topic) == [(0, 10, 0)]


def test_strict_limits_cut_batches(wire: Talker, topic: str) -> None:
    one, two = joined(wire, topic, topic), joined(wire, topic, topic)
    assert one.take(max_records=3, share_acquire_mode=1) == [(0, 2, 1)]
    assert sorted(one.values) == [0, 1, 2]
    assert two.take(max_records=3, share_acquire_mode=1) == [(3, 5, 1)]


def test_a_bad_record_is_given_up_and_does_not_spoil_its_neighbours(wire: Talker, topic: str) -> None:
    assert set_group(wire, topic, share_delivery_count_limit="3") == NONE
    one = joined(wire, topic, topic)
    times: Counter[int] = Counter()
    for _ in range(40):
        given = one.take(max_wait_ms=20)
        if not given:
            break
        for first, last, deliveries in given:
            for offset in range(first, last + 1):
                times[offset] += 1
                assert times[offset] == deliveries
        held = [offset for first, last, _ in given for offset in range(first, last + 1)]
        alone = len(held) == 1
        for offset in held:  # whoever has number 3 with others dies of it
            assert one.say(offset, offset, RELEASE if 3 in held and (offset == 3 or not alone) else ACCEPT) == NONE
    assert times[3] == 3
    assert offsets(wire, topic) == [(0, 10, 0)]
    assert all(count <= 3 for count in times.values())


def test_a_lock_ends_and_is_renewed(wire: Talker, topic: str) -> None:
    assert set_group(wire, topic, share_record_lock_duration_ms="1000") == NONE
    one, two = joined(wire, topic, topic), joined(wire, topic, topic)
    answer = one.fetch()
    assert answer.acquisition_lock_timeout_ms == 1000
    began = time.monotonic()
    time.sleep(0.6)
    assert one.acknowledge({0: [(0, 4, [RENEW])]}).responses[0].partitions[0].error_code == INVALID_REQUEST
    assert one.say(0, 4, RENEW, renew=True) == NONE
    renewed = time.monotonic()
    assert two.take(max_wait_ms=2000) == [(5, 9, 2)]  # woken when the lock was over
    assert 0.9 < time.monotonic() - began < 1.5
    assert two.take(max_wait_ms=2000) == [(0, 4, 2)]
    assert 0.9 < time.monotonic() - renewed < 1.5
    assert one.say(0, 4, ACCEPT) == INVALID_RECORD_STATE
    assert set_group(wire, topic, share_renew_acknowledge_enable="false") == NONE
    assert two.say(0, 4, RENEW, renew=True) == INVALID_RECORD_STATE
    answer = two.fetch({0: [(5, 9, [ACCEPT])]}, is_renew_ack=True, max_records=1)
    assert answer.error_code == INVALID_REQUEST


def test_what_a_member_has_goes_back_with_its_session(broker: BrokerThread, wire: Talker, topic: str) -> None:
    two = joined(wire, topic, topic)
    assert two.take(max_records=1) == [(0, 4, 1)]
    with Talker(broker.bootstrap) as other:
        one = joined(other, topic, topic)
        assert one.take() == [(5, 9, 1)]
        assert two.take(max_wait_ms=0) == []
    assert two.take(max_wait_ms=2000) == [(5, 9, 2)]  # the connection is gone
    answer = two.acknowledge({0: [(0, 2, [ACCEPT])]}, epoch=-1)
    assert answer.responses[0].partitions[0].error_code == NONE
    three = joined(wire, topic, topic)
    assert three.take() == [(3, 4, 2), (5, 9, 3)]


def test_sessions_have_epochs(wire: Talker, topic: str) -> None:
    one = joined(wire, topic, topic)
    assert one.fetch(epoch=3).error_code == SHARE_SESSION_NOT_FOUND
    assert one.acknowledge({}, epoch=0).error_code == INVALID_SHARE_SESSION_EPOCH
    assert one.fetch({0: [(0, 0, [ACCEPT])]}).error_code == INVALID_REQUEST  # nothing was given yet
    assert one.take() == [(0, 9, 1)]
    assert one.fetch(epoch=7).error_code == INVALID_SHARE_SESSION_EPOCH
    assert one.acknowledge({}, epoch=7).error_code == INVALID_SHARE_SESSION_EPOCH
    for said in ([(5, 4, [1])], [(0, 4, [1]), (4, 5, [1])], [(0, 4, [1, 1])], [(0, 4, [])], [(0, 4, [5])]):
        assert one.acknowledge({0: said}).responses[0].partitions[0].error_code == INVALID_REQUEST  # type: ignore[dict-item]
    assert one.fetch(epoch=-1).error_code == NONE
    assert one.fetch(epoch=-1).error_code == SHARE_SESSION_NOT_FOUND
    one.member_id = "x" * 37
    assert one.fetch().error_code == INVALID_REQUEST
    nobody = ShareMember(wire, "nobody", topic)
    assert nobody.fetch().responses[0].partitions[0].error_code == GROUP_ID_NOT_FOUND


def test_members_come_and_go(wire: Talker, topic: str) -> None:
    one = ShareMember(wire, topic, topic)
    assert one.heartbeat(topics=[]).error_code == INVALID_REQUEST
    assert one.heartbeat(5).error_code == GROUP_ID_NOT_FOUND
    answer = one.heartbeat()
    assert (answer.member_epoch, answer.heartbeat_interval_ms) == (2, 5000)
    assert [(each.topic_id, each.partitions) for each in answer.assignment.topic_partitions] == [(one.topic_id, [0])]
    assert one.heartbeat().assignment is None
    two = joined(wire, topic, topic)
    assert (two.epoch, one.heartbeat().member_epoch) == (3, 3)
    assert one.heartbeat(7).error_code == FENCED_MEMBER_EPOCH
    (group,) = wire.call(api_keys.SHARE_GROUP_DESCRIBE, 1, ShareGroupDescribeRequest(group_ids=[topic])).groups
    assert (group.group_state, group.group_epoch, group.assignment_epoch, group.assignor_name) == (
        "Stable",
        3,
        3,
        "simple",
    )
    assert {member.member_id for member in group.members} == {one.member_id, two.member_id}
    assert [each.topic_name for member in group.members for each in member.assignment.topic_partitions] == [topic] * 2
    listed = wire.call(api_keys.LIST_GROUPS, 5, ListGroupsRequest(types_filter=["share"])).groups
    assert ("Stable", "share") in {(each.group_state, each.group_type) for each in listed if each.group_id == topic}
    assert two.heartbeat(-1).error_code == NONE
    assert two.heartbeat(2).error_code == UNKNOWN_MEMBER_ID


def test_offsets_are_altered_and_forgotten_while_nobody_is_there(wire: Talker, topic: str) -> None:
    def move(offset: int) -> Any:
        partition = alter.AlterShareGroupOffsetsRequestPartition(partition_index=0, start_offset=offset)
        asked = alter.AlterShareGroupOffsetsRequestTopic(topic_name=topic, partitions=[partition])
        request = alter.AlterShareGroupOffsetsRequest(group_id=topic, topics=[asked])
        return wire.call(api_keys.ALTER_SHARE_GROUP_OFFSETS, 0, request)

    assert move(2).responses[0].partitions[0].error_code == NONE  # a group that there was not
    assert offsets(wire, topic) == [(0, 2, 8)]
    one = joined(wire, topic, topic)
    assert one.take() == [(2, 9, 1)]
    assert one.say(2, 9, ACCEPT) == NONE
    assert move(4).error_code == NON_EMPTY_GROUP
    one.fetch(epoch=-1)
    one.heartbeat(-1)
    assert move(4).responses[0].partitions[0].error_code == NONE
    assert offsets(wire, topic) == [(0, 4, 6)]
    two = joined(wire, topic, topic)
    assert two.take() == [(4, 9, 1)]
    two.fetch(epoch=-1)
    two.heartbeat(-1)
    forgotten = delete.DeleteShareGroupOffsetsRequestTopic(topic_name=topic)
    request = delete.DeleteShareGroupOffsetsRequest(group_id=topic, topics=[forgotten])
    assert wire.call(api_keys.DELETE_SHARE_GROUP_OFFSETS, 0, request).responses[0].error_code == NONE
    assert offsets(wire, topic) == []
    three = joined(wire, topic, topic)
    assert three.take() == [(0, 9, 1)]
    three.fetch(epoch=-1)
    three.heartbeat(-1)
    (deleted,) = wire.call(api_keys.DELETE_GROUPS, 2, DeleteGroupsRequest(groups_names=[topic])).results
    assert deleted.error_code == NONE
    assert three.fetch().responses[0].partitions[0].error_code == GROUP_ID_NOT_FOUND


def test_a_killed_broker_counts_on(tmp_path: Path) -> None:
    """What was acknowledged stays so, what was given back is counted, what was in hand is delivered again uncounted."""
    broker = BrokerProcess(tmp_path / "data").start()
    try:
        with Talker(broker.bootstrap) as wire:
            wire.create_topic("t")
            fill(wire, "t", 2)
            set_group(wire, "g", share_auto_offset_reset="earliest")
            one = joined(wire, "g", "t")
            assert one.take() == [(0, 9, 1)]
            assert one.say(1, 3, ACCEPT) == NONE
            assert one.say(5, 6, RELEASE, REJECT) == NONE
            assert one.take() == [(5, 5, 2)]
            broker.kill()
        broker.start()
        with Talker(broker.bootstrap) as wire:
            again = ShareMember(wire, "g", "t", member_id=one.member_id)
            again.epoch = one.epoch
            assert again.heartbeat().error_code == NONE
            assert again.take() == [(0, 0, 1), (4, 4, 1), (5, 5, 2), (7, 9, 1)]
            assert offsets(wire, "g") == [(0, 0, 6)]
    finally:
        broker.stop()


def work(member: ShareMember, answered: set[int]) -> None:
    """One record after the other, as long as there is a broker."""
    while True:
        ((offset, _, _),) = member.take(max_records=1, share_acquire_mode=1)
        assert member.say(offset, offset, ACCEPT) == NONE
        answered.add(offset)


@pytest.mark.parametrize("fault", ["share.claimed=kill", "share.write=kill:4", "share.written=kill:4"])
def test_killed_at_a_point(tmp_path: Path, fault: str) -> None:
    """What was answered is never delivered again, all else is."""
    broker = BrokerProcess(tmp_path / "data", env={"MOLDAU_FAULTS": fault}).start()
    answered: set[int] = set()
    with Talker(broker.bootstrap) as wire:
        wire.create_topic("t")
        fill(wire, "t", 2)
        set_group(wire, "g", share_auto_offset_reset="earliest")
        with pytest.raises(Gone):
            work(joined(wire, "g", "t"), answered)
    assert broker.wait() == -9
    assert answered == (set() if "claimed" in fault else {0, 1, 2})
    broker = BrokerProcess(tmp_path / "data").start()
    try:
        with Talker(broker.bootstrap) as wire:
            two = joined(wire, "g", "t")
            given = {offset for first, last, _ in two.take() for offset in range(first, last + 1)}
            assert given == set(range(10)) - answered - ({3} if "written" in fault else set())
            assert two.say(max(given), max(given), ACCEPT) == NONE
    finally:
        broker.stop()


def consumers(bootstrap: str, group: str, topic: str, count: int, **config: str) -> list[ShareConsumer]:
    made = [ShareConsumer({"bootstrap.servers": bootstrap, "group.id": group, **config}) for _ in range(count)]
    for consumer in made:
        consumer.subscribe([topic])
    return made


def test_two_python_consumers_share_the_records_of_one_partition(
    broker: BrokerThread, wire: Talker, topic: str
) -> None:
    pair = consumers(broker.bootstrap, topic, topic, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "batch.num.messages": "10", "linger.ms": "1"})
    for number in range(400):
        producer.produce(topic, b"%d" % number)
    producer.flush()
    seen: list[Counter[int]] = [Counter(), Counter()]
    deadline = time.monotonic() + 20
    while sum(map(len, seen)) < 410 and time.monotonic() < deadline:
        for consumer, mine in zip(pair, seen, strict=True):
            mine.update(message.offset() for message in consumer.poll(0.2) if not message.error())
    for consumer in pair:
        consumer.commit_sync(5.0)
        consumer.close()
    assert not seen[0].keys() & seen[1].keys()
    assert set((seen[0] + seen[1]).values()) == {1}
    assert len(seen[0] + seen[1]) == 410
    assert offsets(wire, topic) == [(0, 410, 0)]


def test_a_python_consumer_says_what_became_of_each_record(broker: BrokerThread, wire: Talker, topic: str) -> None:
    (consumer,) = consumers(broker.bootstrap, topic, topic, 1, **{"share.acknowledgement.mode": "explicit"})
    counts: dict[int, list[int]] = {}
    deadline = time.monotonic() + 20
    while len(counts) < 10 or len(counts[4]) < 3:
        assert time.monotonic() < deadline, counts
        for message in consumer.poll(0.5):
            assert message.error() is None
            counts.setdefault(message.offset(), []).append(message.delivery_count())
            again = message.offset() == 4 and message.delivery_count() < 3
            consumer.acknowledge(message, AcknowledgeType.RELEASE if again else AcknowledgeType.ACCEPT)
        assert not any((consumer.commit_sync(5.0) or {}).values())
    consumer.close()
    assert counts == {offset: [1, 2, 3] if offset == 4 else [1] for offset in range(10)}
    assert offsets(wire, topic) == [(0, 10, 0)]


def java(bootstrap: str, group: str, count: int, mode: str) -> list[list[str]]:
    """What `Share.java` prints, in words."""
    command = [*Java().program(Path(__file__).parent.parent / "support/clients/Share.java"), bootstrap, group, group]
    return [line.split() for line in run([*command, str(count), mode]).decode().splitlines()]


@pytest.mark.java
@pytest.mark.timeout(120)
def test_java_members_give_back_refuse_and_renew(broker: BrokerThread, wire: Talker, topic: str) -> None:
    fill(wire, topic, 4)
    expected = {(offset, 1) for offset in range(30)} | {(offset, 2) for offset in range(0, 30, 3) if offset % 7 != 6}
    printed = java(broker.bootstrap, topic, 30, "explicit")
    assert not [line for line in printed if line[0] == "error"], printed
    said = [(int(offset), int(count), kind) for _, offset, count, kind in printed]
    assert {(offset, count) for offset, count, _ in said} == expected
    assert [kind for offset, _, kind in said if offset == 1] == ["renew", "accept"]
    assert offsets(wire, topic) == [(0, 30, 0)]


@pytest.mark.java
@pytest.mark.timeout(120)
def test_java_members_share_what_comes(broker: BrokerThread, wire: Talker, topic: str) -> None:
    fill(wire, topic, 18)
    printed = java(broker.bootstrap, topic, 100, "implicit")
    assert not [line for line in printed if line[0] == "error"], printed
    assert sorted((int(offset), int(count)) for _, offset, count, _ in printed) == [
        (offset, 1) for offset in range(100)
    ]
    assert {member for member, *_ in printed} == {"0", "1"}
    assert offsets(wire, topic) == [(0, 100, 0)]


def transact(bootstrap: str, topic: str, commits: str) -> None:
    """A transaction of two records for each letter: it is committed (c) or aborted (a), or left open (o)."""
    for number, outcome in enumerate(commits):
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": f"{topic}-{number}"})
        producer.init_transactions(10)
        producer.begin_transaction()
        for each in range(2):
            producer.produce(topic, f"{outcome}{number}{each}".encode(), partition=0)
        producer.flush(10)
        if outcome == "c":
            producer.commit_transaction(10)
        elif outcome == "a":
            producer.abort_transaction(10)


@pytest.mark.parametrize("level", ["read_committed", "read_uncommitted"])
def test_markers_are_nobodys_and_aborted_records_too(
    broker: BrokerThread, wire: Talker, topic: str, level: str
) -> None:
    """Offsets: ten records, then for each transaction two records and a marker."""
    assert set_group(wire, topic, share_isolation_level=level) == NONE
    one = joined(wire, topic, topic)
    assert one.take() == [(0, 9, 1)]
    assert one.say(0, 9, ACCEPT) == NONE
    assert one.take(max_wait_ms=0) == []
    transact(broker.bootstrap, topic, "caac")
    wanted = [10, 11, 19, 20] if level == "read_committed" else [10, 11, 13, 14, 16, 17, 19, 20]
    given = [offset for first, last, _ in one.take() for offset in range(first, last + 1)]
    assert given == wanted
    assert one.say(10, 11, RELEASE) == NONE
    assert one.take() == [(10, 11, 2)]
    assert offsets(wire, topic)[0][1] == 10
    for first in (10, *([13, 16] if level == "read_uncommitted" else []), 19):
        assert one.say(first, first + 1, ACCEPT) == NONE
    assert one.take(max_wait_ms=200) == []
    transact(broker.bootstrap, topic, "ao")  # first offset of what is open: 25
    left = [] if level == "read_committed" else [22, 23, 25, 26]
    assert [offset for first, last, _ in one.take(max_wait_ms=200) for offset in range(first, last + 1)] == left
    for first in left[::2]:
        assert one.say(first, first + 1, ACCEPT) == NONE
    one.fetch(max_wait_ms=0)
    assert offsets(wire, topic)[0][2] == 0


def test_the_command_line_shows_where_a_group_is(broker: BrokerThread, wire: Talker, topic: str) -> None:
    def moldau(*arguments: str) -> str:
        return run([sys.executable, "-m", "moldau", "-b", broker.bootstrap, "group", *arguments]).decode()

    one = joined(wire, topic, topic)
    one.take()
    assert one.say(0, 3, ACCEPT) == NONE
    assert re.search(rf"^{topic} +Stable +share$", moldau("list"), re.M)
    described = json.loads(moldau("describe", topic, "--format", "json"))[0]
    assert (described["state"], described["type"], described["lag"]) == ("Stable", "share", 6)
    assert [(each["start_offset"], each["lag"], each["members"]) for each in described["partitions"]] == [(4, 6, 1)]
    assert described["members"][0]["partitions"] == [f"{topic}-0"]
    assert re.search(rf"^{topic} +0 +4 +6 +1$", moldau("describe", topic), re.M)
    one.heartbeat(-1)
    again = json.loads(moldau("reset", topic, "--all-topics", "--to-offset", "2", "--execute", "--format", "json"))
    assert [(each["committed_offset"], each["new_offset"]) for each in again] == [(4, 2)]
    assert offsets(wire, topic) == [(0, 2, 8)]
    assert moldau("delete", topic, "--yes") == f"Deleted group {topic}.\n"
    assert topic not in moldau("list")


def test_share_groups_may_be_turned_off(tmp_path: Path) -> None:
    with BrokerThread(data=tmp_path, settings=SETTINGS) as broker, Talker(broker.bootstrap) as wire:
        wire.create_topic("t")
        one = joined(wire, "g", "t")
        for level, code in ((0, UNSUPPORTED_VERSION), (1, NONE)):
            kind = 1 if level else 2  # upgrade, safe downgrade
            update = FeatureUpdateKey(feature="share.version", max_version_level=level, upgrade_type=kind)
            request = UpdateFeaturesRequest(timeout_ms=10_000, feature_updates=[update])
            answer = wire.call(api_keys.UPDATE_FEATURES, 1, request)
            assert (answer.error_code, [each.error_code for each in answer.results]) == (NONE, [NONE]), answer
            assert one.heartbeat().error_code == code
            assert one.fetch(max_wait_ms=0).error_code == code
            assert one.acknowledge({}).error_code == code
