"""How the records of a share group stand, while a member has some in hand: the HTTP page, the metric, the command."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from confluent_kafka import AcknowledgeType, ShareConsumer
from prometheus_client.parser import text_string_to_metric_families
from support.share import ACCEPT, REJECT, RELEASE, joined, set_group
from support.talker import Talker, batch_of

from moldau.cli.main import root
from moldau.protocol.error_codes import NONE
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

SETTINGS = {"moldau.http.listener": "127.0.0.1:0", "group.share.assignment.interval.ms": "0"}
HEADINGS = ["IN", "FLIGHT", "AGAIN", "DELIVERIES"]


@pytest.fixture(scope="module")
def broker() -> Iterator[BrokerThread]:
    with BrokerThread(settings=SETTINGS) as started:
        yield started


@pytest.fixture
def wire(broker: BrokerThread) -> Iterator[Talker]:
    with Talker(broker.bootstrap) as opened:
        yield opened


def jobs(wire: Talker, topic: str, group: str, records: int = 10) -> None:
    assert wire.create_topic(topic) == NONE
    wire.produce(topic, 0, batch_of([b"%d" % number for number in range(records)]))
    assert set_group(wire, group, share_auto_offset_reset="earliest") == NONE


def get(broker: BrokerThread, path: str) -> tuple[int, str, str]:
    """(status, content type, body)"""
    address = broker.lifecycle.http_address
    assert address is not None
    link = http.client.HTTPConnection(*address, timeout=10)
    try:
        link.request("GET", path)
        answer = link.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        link.close()


def page(broker: BrokerThread, group: str) -> Any:
    status, kind, body = get(broker, f"/share-groups/{quote(group, safe='')}")
    assert (status, kind) == (200, "application/json")
    return json.loads(body)


def gauges(broker: BrokerThread, group: str) -> dict[str, float]:
    """By state."""
    text = get(broker, "/metrics")[2]
    return {
        sample.labels["state"]: sample.value
        for family in text_string_to_metric_families(text)
        if family.name == "moldau_share_records"
        for sample in family.samples
        if sample.labels["group"] == group
    }


def described(bootstrap: str, *names: str) -> tuple[list[Any], str]:
    """(groups, stderr)"""
    done = CliRunner().invoke(root, ["-b", bootstrap, "group", "describe", *names, "--format", "json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), done.stderr


def table(bootstrap: str, name: str) -> list[list[str]]:
    """Words of its lines."""
    done = CliRunner().invoke(root, ["-b", bootstrap, "group", "describe", name])
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return [line.split() for line in done.stdout.splitlines()]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_records_in_the_hands_of_a_client(broker: BrokerThread, wire: Talker) -> None:
    jobs(wire, "held", "workers/eu é")
    config = {
        "bootstrap.servers": broker.bootstrap,
        "group.id": "workers/eu é",
        "share.acknowledgement.mode": "explicit",
    }
    consumer = ShareConsumer(config)
    consumer.subscribe(["held"])
    messages: list[Any] = []
    until(lambda: bool(messages.extend(consumer.poll(0.5)) or messages))
    assert len(messages) == 10
    (row,) = page(broker, "workers/eu é")["partitions"]
    (member, held) = row.pop("members").popitem()
    assert held == 10
    owner_epoch = row.pop("owner_epoch")
    assert owner_epoch >= 1
    counts = {"acquired": 10, "redeliverable": 0, "acknowledged": 0, "archiving": 0, "archived": 0}
    window = {"start_offset": 0, "end_offset": 10, **counts, "delivery_count_max": 1}
    assert row == {"topic": "held", "partition": 0, **window, "members_left_out": 0}
    assert gauges(broker, "workers/eu é") == counts
    ((group,), noted) = described(broker.bootstrap, "workers/eu é")
    assert noted == ""
    assert [each["member_id"] for each in group["members"]] == [member]
    (partition,) = group["partitions"]
    assert partition.pop("delivery") == {**window, "members": {member: 10}, "members_left_out": 0}
    assert partition == {"topic": "held", "partition": 0, "start_offset": 0, "lag": 10, "members": 1}
    lines = table(broker.bootstrap, "workers/eu é")
    assert ["TOPIC", "PARTITION", "START", "LAG", "MEMBERS", *HEADINGS] in lines
    assert ["held", "0", "0", "10", "1", "10", "0", "1"] in lines
    for message in messages:
        consumer.acknowledge(message, AcknowledgeType.ACCEPT)
    consumer.commit_sync(10.0)
    consumer.close()
    (row,) = page(broker, "workers/eu é")["partitions"]
    assert (row["start_offset"], row["end_offset"], row["acquired"], row["members"]) == (10, 10, 0, {})
    assert set(gauges(broker, "workers/eu é").values()) == {0}


def test_every_outcome(broker: BrokerThread, wire: Talker) -> None:
    jobs(wire, "outcomes", "outcomes")
    one = joined(wire, "outcomes", "outcomes")
    assert one.take() == [(0, 9, 1)]
    assert one.say(1, 5, ACCEPT, RELEASE, RELEASE, RELEASE, REJECT) == NONE
    assert one.take(max_records=1, share_acquire_mode=1) == [(2, 2, 2)]
    (row,) = page(broker, "outcomes")["partitions"]
    counts = {"acquired": 6, "redeliverable": 2, "acknowledged": 1, "archiving": 0, "archived": 1}
    assert {name: row[name] for name in counts} == counts
    assert (row["delivery_count_max"], row["members"]) == (2, {one.member_id: 6})
    assert gauges(broker, "outcomes") == counts
    assert ["outcomes", "0", "0", "8", "1", "6", "2", "2"] in table(broker.bootstrap, "outcomes")


def test_a_group_that_nobody_fetched_for(broker: BrokerThread, wire: Talker) -> None:
    status, kind, body = get(broker, "/share-groups/nobody")
    assert (status, kind) == (404, "application/json")
    assert "'nobody'" in json.loads(body)["error"]
    jobs(wire, "idle", "idle")
    joined(wire, "idle", "idle")
    ((group,), noted) = described(broker.bootstrap, "idle")
    assert [each["delivery"] for each in group["partitions"]] == [None] * len(group["partitions"])
    assert noted == "", "it was asked, and knows of none"


def test_the_config_tells_what_port_0_became(broker: BrokerThread) -> None:
    arguments = ["-b", broker.bootstrap, "config", "describe", "broker", "1", "--all", "--format", "json"]
    done = CliRunner().invoke(root, arguments)
    assert done.exit_code == 0, done.output
    told = {each["name"]: each["value"] for each in json.loads(done.stdout)}
    assert broker.lifecycle.http_address is not None
    assert told["moldau.http.listener"] == f"127.0.0.1:{broker.lifecycle.http_address[1]}"


def test_a_broker_without_http_is_told_of(moldau_broker: BrokerThread) -> None:
    with Talker(moldau_broker.bootstrap) as wire:
        for name in ("one", "two"):
            jobs(wire, name, name)
            assert joined(wire, name, name).take() == [(0, 9, 1)]
        groups, noted = described(moldau_broker.bootstrap, "one", "two")
    assert [each["delivery"] for group in groups for each in group["partitions"]] == [None, None]
    assert noted == (
        "Not all delivery states are known (broker 1: it serves no HTTP; set moldau.http.listener=HOST:PORT there,"
        " an address that can be reached from here).\n"
    )
