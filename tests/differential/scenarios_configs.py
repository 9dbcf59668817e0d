"""DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources."""

from __future__ import annotations

from typing import Any

from conversation import Conversation, scenario

from moldau.protocol import api_keys as k
from moldau.protocol.messages import alter_configs as alter
from moldau.protocol.messages import incremental_alter_configs as incremental
from moldau.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from moldau.protocol.messages.list_config_resources import ListConfigResourcesRequest

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
TOPIC_KEYS = ["retention.ms", "cleanup.policy", "max.message.bytes", "compression.type", "message.timestamp.type"]
BROKER_KEYS = ["num.partitions", "log.retention.ms", "log.retention.hours", "message.max.bytes", "compression.type"]


@scenario(k.DESCRIBE_CONFIGS)
def describe_configs(c: Conversation, version: int) -> None:
    topic = c.topic(retention_ms="1234567")
    node = str(c.node())

    def ask(label: str, *wanted: tuple[int, str, list[str] | None], **fields: bool) -> None:
        resources = [
            DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)
            for kind, name, keys in wanted
        ]
        c.ask(label, k.DESCRIBE_CONFIGS, version, DescribeConfigsRequest(resources=resources, **fields))

    ask("some of a topic", (TOPIC, topic, TOPIC_KEYS))
    ask("with synonyms", (TOPIC, topic, TOPIC_KEYS), include_synonyms=True)
    ask("some of a broker", (BROKER, node, BROKER_KEYS))
    ask("a broker with synonyms", (BROKER, node, BROKER_KEYS), include_synonyms=True)
    ask("broker default", (BROKER, "", BROKER_KEYS))
    ask("keys that do not exist", (TOPIC, topic, ["no.such.key", "retention.ms"]))
    ask("no keys", (TOPIC, topic, []))
    ask("no such topic", (TOPIC, f"{c.prefix}-none", TOPIC_KEYS))
    ask("invalid topic", (TOPIC, "a b", TOPIC_KEYS))
    ask("no such broker", (BROKER, "987", BROKER_KEYS))
    ask("broker without a number", (BROKER, "abc", BROKER_KEYS))
    ask("no such type", (77, "x", None))
    ask("two resources", (TOPIC, topic, ["retention.ms"]), (TOPIC, f"{c.prefix}-none", None))
    if version >= 3:
        ask("documentation", (TOPIC, topic, ["retention.ms"]), include_documentation=True)
    everything = c.quiet(
        k.DESCRIBE_CONFIGS,
        version,
        DescribeConfigsRequest(resources=[DescribeConfigsResource(resource_type=TOPIC, resource_name=topic)]),
    )
    entries = everything.results[0].configs
    types = [{"name": e.name, "config_type": e.config_type if version >= 3 else 0} for e in entries]
    c.note("all keys of a topic", {"configs": sorted(types, key=lambda e: str(e["name"]))})


def shown(c: Conversation, label: str, kind: int, name: str, keys: list[str]) -> None:
    body = DescribeConfigsRequest(
        resources=[DescribeConfigsResource(resource_type=kind, resource_name=name, configuration_keys=keys)]
    )
    c.settle()
    c.note(label, c.quiet(k.DESCRIBE_CONFIGS, 4, body))


@scenario(k.ALTER_CONFIGS, k.DESCRIBE_CONFIGS)
def alter_configs(c: Conversation, version: int) -> None:
    topic = c.topic(max_message_bytes="5000")

    def ask(label: str, kind: int, name: str, configs: dict[str, str | None], *, validate: bool = False) -> None:
        entries = [alter.AlterableConfig(name=n, value=v) for n, v in configs.items()]
        resource = alter.AlterConfigsResource(resource_type=kind, resource_name=name, configs=entries)
        body = alter.AlterConfigsRequest(resources=[resource], validate_only=validate)
        c.ask(label, k.ALTER_CONFIGS, version, body)

    ask("validate", TOPIC, topic, {"retention.ms": "77"}, validate=True)
    ask("replace", TOPIC, topic, {"retention.ms": "7654321"})
    shown(c, "replaced", TOPIC, topic, ["retention.ms", "max.message.bytes"])
    ask("bad value", TOPIC, topic, {"retention.ms": "abc"})
    ask("null value", TOPIC, topic, {"retention.ms": None})
    ask("unknown key", TOPIC, topic, {"no.such.key": "1"})
    ask("one bad of two", TOPIC, topic, {"segment.bytes": "1048576", "retention.ms": "x"})
    ask("no such topic", TOPIC, f"{c.prefix}-none", {"retention.ms": "1"})
    ask("no such type", 77, "x", {"a": "b"})
    ask("nothing", TOPIC, topic, {})
    shown(c, "after it all", TOPIC, topic, ["retention.ms", "max.message.bytes", "segment.bytes"])


@scenario(k.INCREMENTAL_ALTER_CONFIGS, k.DESCRIBE_CONFIGS)
def incremental_alter_configs(c: Conversation, version: int) -> None:
    topic, node = c.topic(max_message_bytes="5000"), str(c.node())
    key = k.INCREMENTAL_ALTER_CONFIGS

    def ask(
        label: str, kind: int, name: str, *changes: tuple[str, int, str | None], validate: bool = False, **more: Any
    ) -> None:
        entries = [incremental.AlterableConfig(name=n, config_operation=o, value=v) for n, o, v in changes]
        resource = incremental.AlterConfigsResource(resource_type=kind, resource_name=name, configs=entries)
        body = incremental.IncrementalAlterConfigsRequest(resources=[resource], validate_only=validate)
        c.ask(label, key, version, body)

    ask("validate", TOPIC, topic, ("retention.ms", SET, "77"), validate=True)
    ask("set", TOPIC, topic, ("retention.ms", SET, "7654321"))
    shown(c, "is set", TOPIC, topic, ["retention.ms", "max.message.bytes"])
    ask("delete", TOPIC, topic, ("max.message.bytes", DELETE, None))
    ask("delete what is not set", TOPIC, topic, ("segment.bytes", DELETE, None))
    ask("set twice", TOPIC, topic, ("retention.ms", SET, "1"), ("retention.ms", SET, "2"))
    ask("append to no list", TOPIC, topic, ("retention.ms", APPEND, "2"))
    ask("subtract from no list", TOPIC, topic, ("retention.ms", SUBTRACT, "2"))
    replicas = "leader.replication.throttled.replicas"
    ask("append to a list", TOPIC, topic, (replicas, SET, "0:1"))
    ask("append more", TOPIC, topic, (replicas, APPEND, "1:1,2:1"))
    shown(c, "the list", TOPIC, topic, [replicas])
    ask("append what is there", TOPIC, topic, (replicas, APPEND, "1:1"))
    ask("subtract", TOPIC, topic, (replicas, SUBTRACT, "1:1"))
    ask("subtract what is not there", TOPIC, topic, (replicas, SUBTRACT, "9:9"))
    shown(c, "the list then", TOPIC, topic, [replicas])
    ask("bad value", TOPIC, topic, ("retention.ms", SET, "abc"))
    ask("null value", TOPIC, topic, ("retention.ms", SET, None))
    ask("unknown key", TOPIC, topic, ("no.such.key", SET, "1"))
    ask("delete an unknown key", TOPIC, topic, ("no.such.key", DELETE, None))
    ask("no such operation", TOPIC, topic, ("retention.ms", 9, "1"))
    ask("one bad of two", TOPIC, topic, ("segment.bytes", SET, "1048576"), ("retention.ms", SET, "x"))
    ask("no such topic", TOPIC, f"{c.prefix}-none", ("retention.ms", SET, "1"))
    ask("no such type", 77, "x", ("a", SET, "b"))
    ask("no such broker", BROKER, "987", ("log.cleaner.backoff.ms", SET, "16000"))
    ask("a broker", BROKER, node, ("log.cleaner.backoff.ms", SET, "16000"))
    shown(c, "the broker", BROKER, node, ["log.cleaner.backoff.ms"])
    ask("all brokers", BROKER, "", ("log.cleaner.backoff.ms", SET, "17000"))
    shown(c, "the broker still", BROKER, node, ["log.cleaner.backoff.ms"])
    ask("a broker, deleted", BROKER, node, ("log.cleaner.backoff.ms", DELETE, None))
    shown(c, "the broker follows", BROKER, node, ["log.cleaner.backoff.ms"])
    ask("all brokers, deleted", BROKER, "", ("log.cleaner.backoff.ms", DELETE, None))
    ask("a key fixed at start", BROKER, node, ("broker.rack", SET, "x"))
    ask("nothing", TOPIC, topic)
    shown(c, "after it all", TOPIC, topic, ["retention.ms", "max.message.bytes", "segment.bytes"])


@scenario(k.LIST_CONFIG_RESOURCES)
def list_config_resources(c: Conversation, version: int) -> None:
    topic = c.topic()

    def ask(label: str, *types: int) -> None:
        wire = c.wire()
        wire.send(k.LIST_CONFIG_RESOURCES, version, ListConfigResourcesRequest(resource_types=list(types)))
        answer = wire.receive()
        # other scenarios make topics as well
        resources = getattr(answer, "config_resources", [])
        mine = [r for r in resources if r.resource_type != TOPIC or r.resource_name == topic]
        for resource in mine:
            if resource.resource_type in (BROKER, LOGGER):
                resource.resource_name = "<node>"
        if resources:
            answer.config_resources = [r for r in mine if r.resource_type != GROUP]
        c.note(label, answer)

    if version == 0:
        ask("client metrics")
        return
    ask("topics", TOPIC)
    ask("brokers", BROKER)
    ask("loggers", LOGGER)
    ask("no such type", 77)
