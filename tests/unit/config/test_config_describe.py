"""DescribeConfigs, held against what Apache Kafka 4.4.0 answers (kafka/described.json, made by kafka/Describe.java)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from moldau.broker.config.describe import (
    Described,
    describe_broker,
    describe_client_metrics,
    describe_cluster_default,
    describe_group,
    describe_loggers,
    describe_topic,
)
from moldau.broker.config.effective import BrokerConfig
from moldau.broker.config.settings import Settings

KAFKA: dict[str, list[list[Any]]] = json.loads((Path(__file__).parent / "kafka" / "described.json").read_text())

SETTINGS = (
    "process.roles=broker,controller",
    "node.id=1",
    "controller.quorum.bootstrap.servers=127.0.0.1:19121",
    "controller.listener.names=CONTROLLER",
    "listeners=PLAINTEXT://127.0.0.1:19120,CONTROLLER://127.0.0.1:19121",
    "advertised.listeners=PLAINTEXT://127.0.0.1:19120,CONTROLLER://127.0.0.1:19121",
    "listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "log.dirs=/tmp/x",
    "num.partitions=4",
    "log.retention.hours=48",
    "message.max.bytes=2000000",
    "offsets.topic.replication.factor=1",
)

DIFFERENT = {
    "config.providers",
    "controller.listener.names",
    "group.coordinator.rebalance.protocols",
    "listener.security.protocol.map",
    "listeners",
    "log.dir",
    "log.retention.hours",
    "max.decompressed.message.bytes",
    "node.id",
    "process.roles",
}
"""Each is in the table of docs/configuration.md."""


@pytest.fixture(scope="module")
def broker() -> BrokerConfig:
    return BrokerConfig(
        Settings.load(sets=SETTINGS, env={}),
        {"log.retention.ms": "7200000", "max.connections": "77"},
        {"max.connections": "88", "log.segment.bytes": "2097152"},
    )


def answer(resource: str, broker: BrokerConfig) -> list[Described]:
    if resource == "topic":
        return describe_topic({"retention.bytes": "1234567", "compression.type": "gzip"}, broker)
    if resource == "broker":
        return describe_broker(broker)
    if resource == "cluster":
        return describe_cluster_default(broker)
    return describe_group({"consumer.session.timeout.ms": "46000"}, broker)


def row(entry: Described) -> list[Any]:
    return [
        entry.name,
        entry.value,
        entry.source,
        entry.read_only,
        entry.is_sensitive,
        entry.config_type,
        [list(synonym) for synonym in entry.synonyms],
    ]


@pytest.mark.parametrize("resource", ["topic", "broker", "cluster", "group"])
def test_same_as_kafka(resource: str, broker: BrokerConfig) -> None:
    ours = [row(entry) for entry in answer(resource, broker) if not entry.name.startswith("moldau.")]
    assert sorted(r for r in ours if r[0] not in DIFFERENT) == [r for r in KAFKA[resource] if r[0] not in DIFFERENT]
    assert sorted(r[0] for r in ours) == [r[0] for r in KAFKA[resource]]


def test_differences_are_differences_and_are_documented(broker: BrokerConfig) -> None:
    ours = {entry.name: row(entry) for entry in answer("broker", broker)}
    assert {r[0] for r in KAFKA["broker"] if ours[r[0]] != r} == DIFFERENT
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    table = page.partition("## What DescribeConfigs shows otherwise")[2]
    assert [name for name in sorted(DIFFERENT) if f"`{name}`" not in table] == []


def test_only_what_was_asked_for(broker: BrokerConfig) -> None:
    assert [entry.name for entry in describe_topic({}, broker, ["retention.ms", "nope"])] == ["retention.ms"]
    assert len(describe_topic({}, broker, [])) == 38
    assert [entry.name for entry in describe_cluster_default(broker, ["max.connections"])] == ["max.connections"]


def test_everything_is_documented(broker: BrokerConfig) -> None:
    assert [entry.name for entry in describe_broker(broker) if not entry.documentation] == []
    (entry,) = describe_topic({}, broker, ["flush.ms"])
    assert entry.documentation is not None
    assert entry.documentation.endswith("nothing is left to flush later.")


def test_what_port_0_became() -> None:
    config = BrokerConfig(Settings.load(sets=["moldau.http.listener=127.0.0.1:0"], env={}))
    names = ["moldau.http.listener", "listeners"]
    shown = {entry.name: entry for entry in describe_broker(config, names, {"moldau.http.listener": "127.0.0.1:4321"})}
    assert shown["moldau.http.listener"].value == "127.0.0.1:4321"
    assert shown["moldau.http.listener"].synonyms[0] == ("moldau.http.listener", "127.0.0.1:0", 4)
    assert shown["listeners"].value == "PLAINTEXT://127.0.0.1:9092"


def test_secrets_are_not_shown() -> None:
    settings = Settings.load(sets=["node.id=1"], env={})
    stored = BrokerConfig(settings, {}, {"ssl.key.password": "topsecret"})
    (entry,) = describe_broker(stored, ["ssl.key.password"])
    assert entry.is_sensitive
    assert entry.value is None
    assert entry.synonyms == [("ssl.key.password", None, 2)]


def test_internal_keys_are_shown_where_they_are_set() -> None:
    settings = Settings.load(sets=["log.initial.task.delay.ms=5"], env={})
    names = {entry.name for entry in describe_broker(BrokerConfig(settings))}
    assert "log.initial.task.delay.ms" in names
    assert "server.max.startup.time.ms" not in names


def test_loggers_and_client_metrics() -> None:
    (entry,) = describe_loggers([("root", "INFO"), ("moldau", "DEBUG")], ["moldau"])
    assert (entry.name, entry.value, entry.source, entry.read_only) == ("moldau", "DEBUG", 6, False)
    (entry,) = describe_client_metrics({"interval.ms": "300000"})
    assert (entry.name, entry.value, entry.source) == ("interval.ms", "300000", 7)
