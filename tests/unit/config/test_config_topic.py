"""A topic's configuration: what it inherits, what it refuses, what the log makes of it."""

from __future__ import annotations

import pytest

from moldau.broker.catalog import Topic
from moldau.broker.config.effective import BrokerConfig
from moldau.broker.config.errors import InvalidConfig
from moldau.broker.config.settings import Settings
from moldau.broker.config.topic import TopicConfig, TopicConfigs, validate_topic_configs
from moldau.metadata.rows import TopicRow
from moldau.protocol import error_codes
from moldau.records.validate import LOG_APPEND_TIME


def broker(*sets: str, cluster: dict[str, str] | None = None, own: dict[str, str] | None = None) -> BrokerConfig:
    return BrokerConfig(Settings.load(sets=sets, env={}), cluster, own)


def test_defaults_are_kafkas() -> None:
    topic = TopicConfig({}, broker())
    assert topic.retention_ms == 7 * 24 * 3_600_000
    assert topic.retention_bytes == -1
    assert topic.segment_bytes == 1 << 30
    assert topic.segment_ms == 7 * 24 * 3_600_000
    assert topic.max_message_bytes == 1_048_588
    assert topic.file_delete_delay_ms == 60_000
    assert topic.min_insync_replicas == 1
    assert topic.cleanup_policy == ("delete",)
    assert topic.deletes
    assert not topic.compacts


@pytest.mark.parametrize(
    ("sets", "cluster", "own", "overrides", "expected"),
    [
        ([], {}, {}, {}, 604_800_000),
        (["log.retention.hours=1"], {}, {}, {}, 3_600_000),
        (["log.retention.hours=1"], {"log.retention.ms": "5"}, {}, {}, 5),
        (["log.retention.ms=1"], {"log.retention.ms": "5"}, {"log.retention.ms": "6"}, {}, 6),
        (["log.retention.ms=1"], {"log.retention.ms": "5"}, {"log.retention.ms": "6"}, {"retention.ms": "7"}, 7),
        (["log.retention.hours=-1"], {}, {}, {}, -1),
        ([], {}, {}, {"retention.ms": "-1"}, -1),
    ],
)
def test_retention_is_inherited(
    sets: list[str], cluster: dict[str, str], own: dict[str, str], overrides: dict[str, str], expected: int
) -> None:
    assert TopicConfig(overrides, broker(*sets, cluster=cluster, own=own)).retention_ms == expected


@pytest.mark.parametrize(
    ("sets", "cluster", "overrides", "expected"),
    [
        ([], {}, {}, "auto"),
        (["moldau.storage=standard"], {}, {}, "standard"),
        (["moldau.storage=standard"], {"moldau.storage": "express"}, {}, "express"),
        (["moldau.storage=standard"], {}, {"moldau.storage": "express"}, "express"),
    ],
)
def test_storage_is_inherited(
    sets: list[str], cluster: dict[str, str], overrides: dict[str, str], expected: str
) -> None:
    assert TopicConfig(overrides, broker(*sets, cluster=cluster)).moldau_storage == expected


def test_a_topic_shows_its_storage() -> None:
    configs = TopicConfigs(broker("moldau.storage=standard"))
    topic = Topic(TopicRow(bytes(16), "t", {}, 1, []), configs)
    assert topic.storage == "standard"
    topic.set_configs({"moldau.storage": "express"}, configs)
    assert topic.storage == "express"


def test_storage_is_one_of_three() -> None:
    validate_topic_configs({"moldau.storage": "standard"})
    with pytest.raises(InvalidConfig, match=r"Invalid value fast for configuration moldau\.storage"):
        validate_topic_configs({"moldau.storage": "fast"})


def test_segment_ms_follows_the_hours() -> None:
    assert TopicConfig({}, broker("log.roll.hours=2")).segment_ms == 7_200_000


def test_rules_of_batches() -> None:
    rules = TopicConfig(
        {
            "max.message.bytes": "5000",
            "message.timestamp.type": "LogAppendTime",
            "message.timestamp.before.max.ms": "6",
            "message.timestamp.after.max.ms": "7",
            "compression.type": "zstd",
            "compression.zstd.level": "9",
            "max.decompressed.message.bytes": "8",
        },
        broker(),
    ).rules()
    assert rules.max_message_bytes == 5000
    assert rules.timestamp_type == LOG_APPEND_TIME
    assert (rules.timestamp_before_max_ms, rules.timestamp_after_max_ms) == (6, 7)
    assert (rules.codec, rules.level) == (4, 9)
    assert rules.decompressed_bytes_max == 8
    assert not rules.require_keys


@pytest.mark.parametrize(
    ("kind", "codec", "level"),
    [
        ("producer", -1, None),
        ("uncompressed", 0, None),
        ("gzip", 1, None),
        ("snappy", 2, None),
        ("lz4", 3, 9),
        ("zstd", 4, 3),
    ],
)
def test_codecs(kind: str, codec: int, level: int | None) -> None:
    rules = TopicConfig({"compression.type": kind}, broker()).rules()
    assert (rules.codec, rules.level) == (codec, level)


def test_an_empty_policy_keeps_everything() -> None:
    assert not TopicConfig({"cleanup.policy": ""}, broker()).deletes


def test_topics_without_overrides_share_one() -> None:
    configs = TopicConfigs(broker())
    assert configs.of({}) is configs.of({})
    assert configs.of({"retention.ms": "5"}).retention_ms == 5


def test_a_stored_value_that_is_not_taken_any_more_counts_for_nothing() -> None:
    assert TopicConfig({"retention.ms": "soon"}, broker("log.retention.ms=5")).retention_ms == 5


@pytest.mark.parametrize(
    "configs",
    [
        {},
        {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"},
        {"cleanup.policy": "delete,delete"},
        {"preallocate": "TRUE"},
        {"min.insync.replicas": "2"},
        {"flush.messages": "1"},
        {"delete.retention.ms": "5"},
        {"leader.replication.throttled.replicas": "*"},
        {"remote.storage.enable": "false"},
        {"min.compaction.lag.ms": "1", "max.compaction.lag.ms": "2"},
    ],
)
def test_valid(configs: dict[str, str]) -> None:
    validate_topic_configs(configs)


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"nope": "1"}, "Unknown topic config name: nope"),
        ({"log.retention.ms": "1"}, "Unknown topic config name: log.retention.ms"),
        (
            {"retention.ms": "abc"},
            "Invalid value abc for configuration retention.ms: expected a whole number of 64 bits",
        ),
        ({"retention.ms": "-2"}, "Invalid value -2 for configuration retention.ms: expected a number of at least -1"),
        ({"retention.ms": ""}, "Invalid value  for configuration retention.ms: expected a whole number of 64 bits"),
        ({"retention.ms": None}, "Null value not supported for topic configs: retention.ms"),
        ({"segment.bytes": "1000"}, "expected a number of at least 1048576"),
        ({"segment.bytes": "99999999999"}, "expected a whole number of 32 bits"),
        ({"segment.ms": "0"}, "expected a number of at least 1"),
        (
            {"cleanup.policy": "compacted"},
            "Invalid value compacted for configuration cleanup.policy: expected any of compact, delete",
        ),
        ({"cleanup.policy": "compact,"}, "without empty elements"),
        ({"cleanup.policy": "delete,"}, "without empty elements"),
        ({"compression.type": "Gzip"}, "expected one of uncompressed, zstd"),
        ({"compression.gzip.level": "0"}, "from 1 to 9, or -1"),
        ({"preallocate": "maybe"}, "expected true or false"),
        ({"min.cleanable.dirty.ratio": "2"}, "from 0 to 1"),
        ({"remote.storage.enable": "true"}, "only false works here"),
        ({"errors.deadletterqueue.group.enable": "maybe"}, "expected true or false"),
        ({"min.compaction.lag.ms": "2", "max.compaction.lag.ms": "1"}, "is above max.compaction.lag.ms (1)"),
    ],
)
def test_invalid(configs: dict[str, str | None], message: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        validate_topic_configs(configs)
    assert message in caught.value.message
    assert caught.value.error_code == error_codes.INVALID_CONFIG
