"""The table of keys, held against the facts of Apache Kafka 4.4.0 (kafka/keys.json, made by kafka/Dump.java)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from moldau.broker.config import reasons, values
from moldau.broker.config.errors import InvalidValue
from moldau.broker.config.key import (
    ACTS,
    BROKER,
    CLIENT_METRICS,
    FIXED,
    GROUP,
    NOT_YET,
    STANDINGS,
    TOPIC,
    ConfigKey,
)
from moldau.broker.config.table import (
    CASCADES,
    broker_keys,
    client_metrics_keys,
    group_keys,
    parse_table,
    topic_keys,
)

FACTS = json.loads((Path(__file__).parent / "kafka" / "keys.json").read_text())
TABLES = {
    BROKER: broker_keys(),
    TOPIC: topic_keys(),
    GROUP: group_keys(),
    CLIENT_METRICS: client_metrics_keys(),
}
EVERY = [key for table in TABLES.values() for key in table.values()]

OTHER_DEFAULT = {
    "listeners": "loopback, because nobody is asked who they are",
    "log.dir": "the platform's state folder",
    "node.id": "Kafka demands one",
    "process.roles": "Kafka demands one",
    "controller.listener.names": "Kafka demands one",
    "max.decompressed.message.bytes": "memory is bounded",
    "group.coordinator.rebalance.protocols": "what is served",
}
OTHER_VALID = {
    "group.coordinator.rebalance.protocols": "what is served",
    "remote.log.storage.system.enable": "one tier",
    "remote.storage.enable": "one tier",
    "unstable.api.versions.enable": "only what works",
    "unstable.feature.versions.enable": "only what works",
    "create.topic.policy.class.name": "no Java",
    "alter.config.policy.class.name": "no Java",
    "config.providers": "no Java",
    "group.streams.topology.description.plugin.class": "no Java",
    "group.streams.assignors": "what is served",
    "streams.assignor.name": "what is served",
    "log.retention.ms": "Kafka says no to 0 elsewhere",
    "log.retention.minutes": "Kafka says no to 0 elsewhere",
    "log.retention.hours": "Kafka says no to 0 elsewhere",
    "socket.send.buffer.bytes": "Kafka fails on it elsewhere",
    "socket.receive.buffer.bytes": "Kafka fails on it elsewhere",
    "max.connections.per.ip.overrides": "Kafka fails on it elsewhere",
}
OTHER_MODE = {"listeners", "listener.security.protocol.map", "config.providers"}
NOT_IN_CONFIG_DEF = {
    "allow.everyone.if.no.acl.found",  # StandardAuthorizer's
    "super.users",
    "follower.replication.throttled.rate",  # DynamicConfig.Broker's
    "leader.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
}


def valid_of(text: str | None) -> str:
    """Kafka's own words for what is valid, in the table's form."""
    if text in (None, "", "non-null string", "non-empty list"):
        return ""
    assert text is not None
    if text == "non-empty string":
        return "!"
    if "partitionId" in text:
        return "replicas"
    plain = text.removeprefix("(case insensitive) ")
    span = re.fullmatch(r"\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\](?: or (-?\d+))?", plain)
    if span:
        return f"{span[1]}..{span[2] or ''}" + (f"|{span[3]}" if span[3] else "")
    return ("~" if plain != text else "") + plain.strip("[]").replace(", ", ",")


def test_every_key_of_kafka_is_there_and_no_other() -> None:
    for scope, table in TABLES.items():
        kafkas = {name for s, name, *_ in FACTS if s == scope}
        ours = {name for name in table if not name.startswith("moldau.")} - NOT_IN_CONFIG_DEF
        assert ours == kafkas, scope


def test_facts_are_kafkas() -> None:
    wrong = []
    for scope, name, type_, default, valid, mode, importance, internal, synonyms in FACTS:
        key = TABLES[scope][name]
        if (key.type, key.importance, key.internal) != (type_, importance, internal):
            wrong.append(f"{scope} {name}: {type_} {importance} {internal}")
        if key.default != default and name not in OTHER_DEFAULT:
            wrong.append(f"{scope} {name}: default {default}")
        if key.valid != valid_of(valid) and name not in OTHER_VALID:
            wrong.append(f"{scope} {name}: valid {valid_of(valid)}")
        if scope == BROKER and key.mode != mode and name not in OTHER_MODE:
            wrong.append(f"{scope} {name}: mode {mode}")
        if scope in (TOPIC, GROUP) and key.synonym != (synonyms[0] if synonyms else None):
            wrong.append(f"{scope} {name}: synonyms {synonyms}")
    assert wrong == []


def test_listed_differences_exist() -> None:
    facts = {(scope, name): rest for scope, name, *rest in FACTS}
    for name in OTHER_DEFAULT:
        assert any(TABLES[s][n].default != rest[1] for (s, n), rest in facts.items() if n == name), name
    for name in OTHER_VALID:
        assert any(TABLES[s][n].valid != valid_of(rest[2]) for (s, n), rest in facts.items() if n == name), name
    for name in OTHER_MODE:
        assert broker_keys()[name].mode != facts[BROKER, name][3], name


@pytest.mark.parametrize("key", EVERY, ids=lambda key: f"{key.scope}-{key.name}")
def test_each_key_is_whole(key: ConfigKey) -> None:
    assert key.type in values.TYPES
    assert key.standing in STANDINGS
    assert key.doc.endswith("."), "documentation is a sentence"
    assert bool(key.why) == (key.standing != ACTS), "what does not act says why"
    assert re.fullmatch(r"[a-z0-9.]+", key.name), "else it could not be an environment variable"
    if key.default is not None:
        assert values.render(key.parse(key.default)) == key.default
    if key.synonym is not None:
        assert key.synonym in broker_keys()


def test_every_reason_is_used() -> None:
    assert {key.reason for key in EVERY} - {""} == set(reasons.REASONS)


def test_our_own_keys_do_not_hide_kafkas_in_the_environment() -> None:
    assert not [name for name in broker_keys() if f"moldau.{name}" in broker_keys()]


def test_not_yet_takes_only_the_default() -> None:
    key = broker_keys()["quota.window.num"]
    assert key.standing == NOT_YET
    assert key.parse("11") == 11
    with pytest.raises(InvalidValue, match=r"only the default 11 works so far\. Quotas come"):
        key.parse("5")


def test_fixed_keys_that_would_mislead_take_only_what_works() -> None:
    key = topic_keys()["remote.storage.enable"]
    assert key.standing == FIXED
    assert key.parse("false") is False
    with pytest.raises(InvalidValue, match=r"only false works here\. There is one tier"):
        key.parse("true")


def test_no_meaning_is_taken() -> None:
    assert broker_keys()["num.io.threads"].parse("64") == 64


def test_a_malformed_row_is_noticed() -> None:
    with pytest.raises(AssertionError, match="7 columns"):
        parse_table("a int 1 - read-only H\n", BROKER)
    with pytest.raises(AssertionError, match="twice"):
        parse_table("a int 1 - read-only H acts\na int 1 - read-only H acts\n", BROKER)
    with pytest.raises(AssertionError, match="no update mode"):
        parse_table("a int 1 - sometimes H acts\n", BROKER)


def test_cascades_name_keys() -> None:
    assert all(name in broker_keys() for chain in CASCADES.values() for name, _ in chain)
