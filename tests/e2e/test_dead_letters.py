"""Dead-letter topics of share groups (KIP-1191): what is given up is found there, whatever dies between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import AcknowledgeType, Consumer, Producer, ShareConsumer
from support.share import ACCEPT, REJECT, RELEASE, joined, set_group
from support.talker import Gone, Talker, batch_of

from moldau.protocol import api_keys
from moldau.protocol.error_codes import INVALID_CONFIG, NONE
from moldau.protocol.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from moldau.protocol.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow

GROUP_ENABLE = "errors.deadletterqueue.group.enable"
SETTINGS = {"group.share.assignment.interval.ms": "0"}
CREATES = {"errors.deadletterqueue.auto.create.topics.enable": "true"}
REJECTED = b"Offset rejected by client."
TOO_OFTEN = b"Offset delivery count exceeded the threshold."


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerThread]:
    with BrokerThread(settings=SETTINGS) as started:
        yield started


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("[", "-").rstrip("]")


def create(wire: Talker, name: str, partitions: int = 1, **configs: str) -> None:
    entries = [CreatableTopicConfig(name=key.replace("_", "."), value=value) for key, value in configs.items()]
    topic = CreatableTopic(name=name, num_partitions=partitions, replication_factor=1, configs=entries)
    answer = wire.call(api_keys.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=10_000))
    assert answer.topics[0].error_code == NONE, answer


def ready(
    wire: Talker, name: str, letters: str, *, values: tuple[bytes, ...] = (b"a", b"b", b"c"), **more: str
) -> None:
    """A topic with one batch, and a group of that name that begins with it."""
    create(wire, name)
    wire.produce(name, 0, batch_of(list(values)))
    configs = {"share_auto_offset_reset": "earliest", "errors_deadletterqueue_topic_name": letters, **more}
    assert set_group(wire, name, **configs) == NONE


def read(bootstrap: str, topic: str, count: int, seconds: float = 8.0) -> list[Any]:
    """At least `count` records of a topic, or all that come in time."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[Any] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            found.append(message)
    consumer.close()
    return found


def context(message: Any) -> dict[str, bytes]:
    prefix = "__dlq.errors."
    return {key.removeprefix(prefix): value for key, value in message.headers() if key.startswith(prefix)}


def told(origin: str, offset: int, count: int, why: bytes) -> dict[str, bytes]:
    return {
        "topic": origin.encode(),
        "partition": b"0",
        "offset": b"%d" % offset,
        "group": origin.encode(),
        "delivery.count": b"%d" % count,
        "message": why,
    }


def start_of(wire: Talker, group: str, expected: int) -> None:
    """Wait until the group is there: letters are written beside the answers."""
    from moldau.protocol.messages.describe_share_group_offsets import (
        DescribeShareGroupOffsetsRequest,
        DescribeShareGroupOffsetsRequestGroup,
    )

    asked = DescribeShareGroupOffsetsRequest(
        groups=[DescribeShareGroupOffsetsRequestGroup(group_id=group, topics=None)]
    )
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        (answer,) = wire.call(api_keys.DESCRIBE_SHARE_GROUP_OFFSETS, 1, asked).groups
        starts = [each.start_offset for topic in answer.topics for each in topic.partitions]
        if starts == [expected]:
            return
        time.sleep(0.02)
    raise AssertionError(f"the group is at {starts}, not at {expected}")


def test_a_python_consumer_rejects_and_gives_up(broker: BrokerThread, name: str) -> None:
    """Copies have key and value of the record, and no headers of it; what was accepted is not there."""
    with Talker(broker.bootstrap) as wire:
        create(wire, name)
        create(wire, f"dlq.{name}", errors_deadletterqueue_group_enable="true")
        assert (
            set_group(
                wire,
                name,
                share_auto_offset_reset="earliest",
                share_delivery_count_limit="2",
                errors_deadletterqueue_topic_name=f"dlq.{name}",
                errors_deadletterqueue_copy_record_enable="true",
            )
            == NONE
        )
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "gzip"})
    for number in range(6):
        producer.produce(name, key=b"k%d" % number, value=b"v%d" % number, headers={"mine": b"%d" % number})
    assert producer.flush(10) == 0
    config = {"bootstrap.servers": broker.bootstrap, "group.id": name, "share.acknowledgement.mode": "explicit"}
    consumer = ShareConsumer(config)
    consumer.subscribe([name])
    ends = {0: AcknowledgeType.REJECT, 3: AcknowledgeType.RELEASE}
    seen: set[tuple[int, int]] = set()
    deadline = time.monotonic() + 10
    while len(seen) < 7 and time.monotonic() < deadline:
        for message in consumer.poll(0.3):
            seen.add((message.offset(), message.delivery_count()))
            consumer.acknowledge(message, ends.get(message.offset(), AcknowledgeType.ACCEPT))
        consumer.commit_sync(5.0)
    consumer.close()
    assert seen == {(offset, 1) for offset in range(6)} | {(3, 2)}
    letters = read(broker.bootstrap, f"dlq.{name}", 2)
    assert [context(each) for each in letters] == [told(name, 0, 1, REJECTED), told(name, 3, 2, TOO_OFTEN)]
    assert [(each.key(), each.value(), len(each.headers())) for each in letters] == [
        (b"k%d" % number, b"v%d" % number, 6) for number in (0, 3)
    ]
    with Talker(broker.bootstrap) as wire:
        start_of(wire, name, 6)


def test_letters_name_a_record_unless_copies_are_asked_for(broker: BrokerThread, name: str) -> None:
    with Talker(broker.bootstrap) as wire:
        create(wire, f"dlq.{name}", errors_deadletterqueue_group_enable="true")
        ready(wire, name, f"dlq.{name}")
        one = joined(wire, name, name)
        assert one.take() == [(0, 2, 1)]
        assert one.say(0, 2, REJECT, ACCEPT, REJECT) == NONE
        letters = read(broker.bootstrap, f"dlq.{name}", 2)
        assert [context(each) for each in letters] == [told(name, 0, 1, REJECTED), told(name, 2, 1, REJECTED)]
        assert [(each.key(), each.value()) for each in letters] == [(None, None)] * 2
        start_of(wire, name, 3)


def test_a_copy_that_is_too_large_becomes_a_letter_without_one(broker: BrokerThread, name: str) -> None:
    with Talker(broker.bootstrap) as wire:
        create(wire, f"dlq.{name}", errors_deadletterqueue_group_enable="true", max_message_bytes="1000")
        ready(
            wire,
            name,
            f"dlq.{name}",
            values=(b"x" * 2000, b"y", b"z" * 900),
            errors_deadletterqueue_copy_record_enable="true",
        )
        one = joined(wire, name, name)
        assert one.take() == [(0, 2, 1)]
        assert one.say(0, 2, REJECT) == NONE
        letters = read(broker.bootstrap, f"dlq.{name}", 3)
        assert [context(each)["offset"] for each in letters] == [b"0", b"1", b"2"]
        assert [each.value() for each in letters] == [None, b"y", None]


@pytest.mark.parametrize("case", ["missing", "not_enabled", "wrong_prefix", "level_1"])
def test_what_cannot_be_written_is_archived_as_without_a_topic(
    broker: BrokerThread, name: str, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    letters = "letters" if case == "wrong_prefix" else f"dlq.{name}"
    with Talker(broker.bootstrap) as wire:
        if case != "missing":
            enabled = "false" if case == "not_enabled" else "true"
            create(wire, letters, errors_deadletterqueue_group_enable=enabled)
        ready(wire, name, letters)
        if case == "level_1":
            level(wire, 1)
        one = joined(wire, name, name)
        assert one.take() == [(0, 2, 1)]
        assert one.say(0, 2, REJECT, ACCEPT, REJECT) == NONE
        start_of(wire, name, 3)
        if case == "level_1":
            level(wire, 2)
        said = [each.getMessage() for each in caplog.records if "dead_letters_not_written" in each.getMessage()]
        assert len(said) == (0 if case == "level_1" else 2), said
        if case != "missing":
            assert read(broker.bootstrap, letters, 1, 0.5) == []


def level(wire: Talker, to: int) -> None:
    update = FeatureUpdateKey(feature="share.version", max_version_level=to, upgrade_type=1 if to > 1 else 2)
    answer = wire.call(api_keys.UPDATE_FEATURES, 1, UpdateFeaturesRequest(timeout_ms=10_000, feature_updates=[update]))
    assert [each.error_code for each in answer.results] == [NONE], answer


def test_names_of_kafkas_own_are_refused(broker: BrokerThread, name: str) -> None:
    with Talker(broker.bootstrap) as wire:
        assert set_group(wire, name, errors_deadletterqueue_topic_name="__letters") == INVALID_CONFIG


@pytest.mark.parametrize("fault", ["share.letters=kill", "share.letters_written=kill"])
def test_killed_between_the_two_steps(tmp_path: Path, fault: str) -> None:
    """The member was answered, so a letter is there in the end; once more if it was there when the broker died. The topic is made by itself."""
    settings = {**SETTINGS, **CREATES}
    options = [f"{key}={value}" for key, value in settings.items()]
    broker = BrokerProcess(tmp_path / "data", *options, env={"MOLDAU_FAULTS": fault}).start()
    with Talker(broker.bootstrap) as wire:
        ready(wire, "t", "dlq.t", share_delivery_count_limit="2")
        one = joined(wire, "t", "t")
        assert one.take() == [(0, 2, 1)]
        try:
            assert one.say(0, 2, REJECT, RELEASE, ACCEPT) == NONE
        except Gone:
            pass  # the letter may be quicker than the answer
    assert broker.wait() == -9
    broker = BrokerProcess(tmp_path / "data", *options).start()
    try:
        with Talker(broker.bootstrap) as wire:
            two = joined(wire, "t", "t")
            assert two.take() == [(1, 1, 2)]
            assert two.say(1, 1, RELEASE) == NONE
            start_of(wire, "t", 3)
        twice = [0, 0] if "written" in fault else [0]
        letters = read(broker.bootstrap, "dlq.t", len(twice) + 1)
        assert [int(context(each)["offset"]) for each in letters] == [*twice, 1]
        assert [context(each)["message"] for each in letters] == [REJECTED] * len(twice) + [TOO_OFTEN]
    finally:
        broker.stop()
