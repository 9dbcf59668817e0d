"""kcat and Apache Kafka's console programs for topics, groups, offsets and settings, as people use them by hand."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.clients.java import Java
from support.clients.kcat import Kcat
from support.clients.port import run

from moldau.broker.options import Options
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def bootstrap() -> Iterator[str]:
    options = Options()
    options.group_initial_rebalance_delay_ms = 0
    with BrokerThread(options) as broker:
        yield broker.bootstrap


def produce(bootstrap: str, topic: str, count: int, timestamp: int = 0) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    for number in range(count):
        producer.produce(topic, value=str(number), partition=0, timestamp=timestamp + number)
    assert producer.flush(10) == 0


@pytest.mark.kcat
def test_kcat_lists_topics_and_finds_offsets_by_time(bootstrap: str) -> None:
    Kcat()
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic("t", 3, 1)])["t"].result(10)
    now = int(time.time() * 1000) - 1000
    produce(bootstrap, "t", 10, now)
    listed = run(["kcat", "-b", bootstrap, "-L", "-t", "t"]).decode()
    assert f"broker 1 at {bootstrap} (controller)" in listed
    assert re.findall(r"partition (\d), leader 1, replicas: 1, isrs: 1", listed) == ["0", "1", "2"]
    query = ["kcat", "-b", bootstrap, "-Q", "-t", f"t:0:{now + 4}", "-t", f"t:1:{now}"]
    assert sorted(run(query).decode().split("\n")) == ["", "t [0] offset 4", "t [1] offset -1"]
    window = [
        "kcat",
        "-b",
        bootstrap,
        "-C",
        "-t",
        "t",
        "-p",
        "0",
        "-o",
        f"s@{now + 3}",
        "-o",
        f"e@{now + 6}",
        "-e",
        "-q",
    ]
    assert run(window).split() == [b"3", b"4", b"5"]


@pytest.mark.java
def test_java_programs_administer_topics_groups_and_settings(bootstrap: str) -> None:
    java = Java()

    def tool(name: str, *arguments: str) -> str:
        return run(java.tool(name, bootstrap, *arguments)).decode()

    assert tool("TopicCommand", "--create", "--topic", "t", "--partitions", "2") == "Created topic t.\n"
    described = tool("TopicCommand", "--describe", "--topic", "t")
    assert "PartitionCount: 2\tReplicationFactor: 1" in described
    assert described.count("Leader: 1\tReplicas: 1\tIsr: 1") == 2

    produce(bootstrap, "t", 10)
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    consumer.subscribe(["t"])
    assert len(consumer.consume(10, 20)) == 10
    consumer.commit(asynchronous=False)
    groups = "consumer.group.ConsumerGroupCommand"
    (row,) = re.findall(r"^g +t +0 .*$", tool(groups, "--describe", "--group", "g"), re.M)
    assert row.split()[3:6] == ["10", "10", "0"]
    consumer.close()
    reset = tool(groups, "--group", "g", "--topic", "t:0", "--reset-offsets", "--to-offset", "4", "--execute")
    assert re.search(r"^g +t +0 +4", reset, re.M)
    (row,) = re.findall(r"^g +t +0 .*$", tool(groups, "--describe", "--group", "g"), re.M)
    assert row.split()[3:6] == ["4", "10", "6"]
    assert tool("GetOffsetShell", "--topic", "t") == "t:0:10\nt:1:0\n"
