"""The configuration of one topic: its overrides over the broker's, with the values that act as typed attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .errors import InvalidConfig, InvalidValue
from .table import topic_keys

if TYPE_CHECKING:
    from moldau.records.validate import Rules

    from .effective import BrokerConfig

_CODECS: Final = {"uncompressed": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4, "producer": -1}


class TopicConfig:
    """Does not change. Attributes are the topic's keys with underscores for dots; -1 is no limit, as in Kafka.

    `TopicConfigs` makes them, one for all topics without overrides.
    """

    __slots__ = (
        "cleanup_policy",
        "compression_gzip_level",
        "compression_lz4_level",
        "compression_type",
        "compression_zstd_level",
        "delete_retention_ms",
        "file_delete_delay_ms",
        "max_compaction_lag_ms",
        "max_decompressed_message_bytes",
        "max_message_bytes",
        "message_timestamp_after_max_ms",
        "message_timestamp_before_max_ms",
        "message_timestamp_type",
        "min_cleanable_dirty_ratio",
        "min_compaction_lag_ms",
        "min_insync_replicas",
        "moldau_storage",
        "overrides",
        "retention_bytes",
        "retention_ms",
        "segment_bytes",
        "segment_ms",
    )

    def __init__(self, overrides: Mapping[str, str], broker: BrokerConfig) -> None:
        self.overrides = dict(overrides)

        def value(name: str) -> Any:
            return topic_value(name, self.overrides, broker)

        self.cleanup_policy: tuple[str, ...] = value("cleanup.policy")
        self.compression_type: str = value("compression.type")
        self.compression_gzip_level: int = value("compression.gzip.level")
        self.compression_lz4_level: int = value("compression.lz4.level")
        self.compression_zstd_level: int = value("compression.zstd.level")
        self.delete_retention_ms: int = value("delete.retention.ms")
        self.file_delete_delay_ms: int = value("file.delete.delay.ms")
        self.max_compaction_lag_ms: int = value("max.compaction.lag.ms")
        self.max_decompressed_message_bytes: int = value("max.decompressed.message.bytes")
        self.max_message_bytes: int = value("max.message.bytes")
        self.message_timestamp_after_max_ms: int = value("message.timestamp.after.max.ms")
        self.message_timestamp_before_max_ms: int = value("message.timestamp.before.max.ms")
        self.message_timestamp_type: str = value("message.timestamp.type")
        self.min_cleanable_dirty_ratio: float = value("min.cleanable.dirty.ratio")
        self.min_compaction_lag_ms: int = value("min.compaction.lag.ms")
        self.min_insync_replicas: int = value("min.insync.replicas")
        self.moldau_storage: str = value("moldau.storage")
        self.retention_bytes: int = value("retention.bytes")
        self.retention_ms: int = value("retention.ms")
        self.segment_bytes: int = value("segment.bytes")
        self.segment_ms: int = value("segment.ms")

    @property
    def deletes(self) -> bool:
        """Whether retention drops data; an empty `cleanup.policy` keeps everything for ever."""
        return "delete" in self.cleanup_policy

    @property
    def compacts(self) -> bool:
        """Whether only the newest record of each key has to stay."""
        return "compact" in self.cleanup_policy

    @property
    def compression_level(self) -> int | None:
        """The level of `compression_type`; None is that codec's own default."""
        level = {
            "gzip": self.compression_gzip_level,
            "lz4": self.compression_lz4_level,
            "zstd": self.compression_zstd_level,
        }.get(self.compression_type)
        return None if level == -1 and self.compression_type == "gzip" else level

    def rules(self) -> Rules:
        """What produced batches are held against."""
        from moldau.records.validate import CREATE_TIME, LOG_APPEND_TIME, Rules

        return Rules(
            max_message_bytes=self.max_message_bytes,
            timestamp_type=LOG_APPEND_TIME if self.message_timestamp_type == "LogAppendTime" else CREATE_TIME,
            timestamp_before_max_ms=self.message_timestamp_before_max_ms,
            timestamp_after_max_ms=self.message_timestamp_after_max_ms,
            codec=_CODECS[self.compression_type],
            level=self.compression_level,
            require_keys=self.compacts,
            decompressed_bytes_max=self.max_decompressed_message_bytes,
        )


def topic_value(name: str, overrides: Mapping[str, str], broker: BrokerConfig) -> Any:
    """The value that counts for a topic: its override, else the broker's, else the default."""
    key = topic_keys()[name]
    text = overrides.get(name)
    if text is not None:
        try:
            return key.parse(text)
        except InvalidValue:
            pass  # stored by a release that took it: the broker's value counts
    if key.synonym is not None:
        inherited = broker[key.synonym]
        if inherited is not None:
            return inherited
    return key.default_value()


class TopicConfigs:
    """Makes the configs of topics under one `BrokerConfig`; those without overrides share one."""

    __slots__ = ("broker", "defaults")

    def __init__(self, broker: BrokerConfig) -> None:
        self.broker = broker
        self.defaults = TopicConfig({}, broker)

    def of(self, overrides: Mapping[str, str]) -> TopicConfig:
        """The configuration of a topic with these overrides."""
        return TopicConfig(overrides, self.broker) if overrides else self.defaults


def validate_topic_configs(configs: Mapping[str, str | None]) -> None:
    """Whether a topic may have these overrides. Raises InvalidConfig: an unknown key, a wrong value, null."""
    keys = topic_keys()
    for name, text in configs.items():
        key = keys.get(name)
        if key is None:
            raise InvalidConfig(f"Unknown topic config name: {name}")
        if text is None:
            raise InvalidConfig(f"Null value not supported for topic configs: {name}")
        try:
            key.parse(text)
        except InvalidValue as error:
            raise InvalidConfig(key.invalid(text, error)) from error
    low, high = configs.get("min.compaction.lag.ms"), configs.get("max.compaction.lag.ms")
    if low is not None and high is not None and int(low) > int(high):
        raise InvalidConfig(f"min.compaction.lag.ms ({low}) is above max.compaction.lag.ms ({high})")
