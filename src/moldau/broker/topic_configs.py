"""The configs of topics: every key of Kafka, what it is worth here, and what the broker makes of it.

`acts`: the broker does it. `fixed`: the design does it another way; the value is kept and shown. `later`: belongs to a feature that is not
served yet; only its default is taken, anything else is INVALID_CONFIG.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moldau.log.maintenance import Retention
from moldau.records.validate import CREATE_TIME, LOG_APPEND_TIME, PRODUCER_CODEC, Rules

ACTS, FIXED, LATER = "acts", "fixed", "later"
_LONG_MAX = 2**63 - 1
_INT_MAX = 2**31 - 1

CODECS = {"uncompressed": 0, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4, "producer": PRODUCER_CODEC}


class InvalidConfig(Exception):
    """A key or value that cannot be. Kafka: INVALID_CONFIG."""


class Key:
    """One config key of topics. `type_code` is DescribeConfigs' (1 boolean, 2 string, 3 int, 5 long, 6 double, 7 list)."""

    __slots__ = ("broker_key", "check", "default", "name", "note", "standing", "type_code")

    def __init__(
        self,
        name: str,
        type_code: int,
        default: str,
        check: Callable[[str], None],
        standing: str,
        note: str,
        broker_key: str = "",
    ) -> None:
        self.name = name
        self.type_code = type_code
        self.default = default
        self.check = check
        self.standing = standing
        self.note = note
        self.broker_key = broker_key


def _whole(low: int, high: int) -> Callable[[str], None]:
    def check(text: str) -> None:
        try:
            value = int(text)
        except ValueError:
            raise InvalidConfig(f"{text!r} came, expected a whole number") from None
        if not low <= value <= high:
            raise InvalidConfig(f"{value} came, expected {low} to {high}")

    return check


def _one_of(*allowed: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in allowed:
            raise InvalidConfig(f"{text!r} came, expected one of {', '.join(allowed)}")

    return check


def _ratio(text: str) -> None:
    try:
        value = float(text)
    except ValueError:
        raise InvalidConfig(f"{text!r} came, expected a number") from None
    if not 0 <= value <= 1:
        raise InvalidConfig(f"{value} came, expected 0 to 1")


def _anything(_: str) -> None:
    return


def _policy(text: str) -> None:
    if text.strip() != "delete":
        raise InvalidConfig(f"{text!r} came; this release serves 'delete' only, compaction comes later")


_boolean = _one_of("true", "false")
_long, _int = _whole(0, _LONG_MAX), _whole(0, _INT_MAX)

KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("cleanup.policy", 7, "delete", _policy, ACTS, "what becomes of old records: delete", "log.cleanup.policy"),
        Key("compression.gzip.level", 3, "-1", _whole(-1, 9), ACTS, "level when the broker compresses with gzip", "compression.gzip.level"),
        Key("compression.lz4.level", 3, "9", _whole(1, 17), ACTS, "level when the broker compresses with lz4", "compression.lz4.level"),
        Key("compression.type", 2, "producer", _one_of(*(c for c in CODECS if c != "none")), ACTS, "keep what the producer chose, or compress anew", "compression.type"),
        Key("compression.zstd.level", 3, "3", _whole(-131072, 22), ACTS, "level when the broker compresses with zstd", "compression.zstd.level"),
        Key("delete.retention.ms", 5, "86400000", _long, LATER, "belongs to compaction", "log.cleaner.delete.retention.ms"),
        Key("file.delete.delay.ms", 5, "60000", _long, FIXED, "bytes go a minute after nothing names them", "log.segment.delete.delay.ms"),
        Key("flush.messages", 5, str(_LONG_MAX), _whole(1, _LONG_MAX), FIXED, "acks=all is always synced before the answer", "log.flush.interval.messages"),
        Key("flush.ms", 5, str(_LONG_MAX), _long, FIXED, "acks=all is always synced before the answer", "log.flush.interval.ms"),
        Key("follower.replication.throttled.replicas", 7, "", _anything, FIXED, "there is no replication between brokers"),
        Key("index.interval.bytes", 3, "4096", _int, FIXED, "extents are the index", "log.index.interval.bytes"),
        Key("leader.replication.throttled.replicas", 7, "", _anything, FIXED, "there is no replication between brokers"),
        Key("local.retention.bytes", 5, "-2", _whole(-2, _LONG_MAX), LATER, "nothing is tiered", "log.local.retention.bytes"),
        Key("local.retention.ms", 5, "-2", _whole(-2, _LONG_MAX), LATER, "nothing is tiered", "log.local.retention.ms"),
        Key("max.compaction.lag.ms", 5, str(_LONG_MAX), _whole(1, _LONG_MAX), LATER, "belongs to compaction", "log.cleaner.max.compaction.lag.ms"),
        Key("max.message.bytes", 3, "1048588", _int, ACTS, "largest batch, compressed", "message.max.bytes"),
        Key("message.timestamp.after.max.ms", 5, "3600000", _long, ACTS, "how far in the future a timestamp may lie", "log.message.timestamp.after.max.ms"),
        Key("message.timestamp.before.max.ms", 5, str(_LONG_MAX), _long, ACTS, "how far in the past a timestamp may lie", "log.message.timestamp.before.max.ms"),
        Key("message.timestamp.type", 2, "CreateTime", _one_of("CreateTime", "LogAppendTime"), ACTS, "whose clock counts", "log.message.timestamp.type"),
        Key("min.cleanable.dirty.ratio", 6, "0.5", _ratio, LATER, "belongs to compaction", "log.cleaner.min.cleanable.ratio"),
        Key("min.compaction.lag.ms", 5, "0", _long, LATER, "belongs to compaction", "log.cleaner.min.compaction.lag.ms"),
        Key("min.insync.replicas", 3, "1", _whole(1, _INT_MAX), FIXED, "the stores hold the data, not the brokers", "min.insync.replicas"),
        Key("preallocate", 1, "false", _boolean, FIXED, "files grow as the store sees fit", "log.preallocate"),
        Key("remote.log.copy.disable", 1, "false", _boolean, LATER, "nothing is tiered"),
        Key("remote.log.delete.on.disable", 1, "false", _boolean, LATER, "nothing is tiered"),
        Key("remote.storage.enable", 1, "false", _boolean, LATER, "nothing is tiered"),
        Key("retention.bytes", 5, "-1", _whole(-1, _LONG_MAX), ACTS, "how much a partition keeps", "log.retention.bytes"),
        Key("retention.ms", 5, "604800000", _whole(-1, _LONG_MAX), ACTS, "how long a partition keeps records", "log.retention.ms"),
        Key("segment.bytes", 3, "1073741824", _whole(14, _INT_MAX), FIXED, "extents are shared; there are no segment files to roll", "log.segment.bytes"),
        Key("segment.index.bytes", 3, "10485760", _whole(4, _INT_MAX), FIXED, "extents are the index", "log.index.size.max.bytes"),
        Key("segment.jitter.ms", 5, "0", _long, FIXED, "there are no segment files to roll", "log.roll.jitter.ms"),
        Key("segment.ms", 5, "604800000", _whole(1, _LONG_MAX), FIXED, "there are no segment files to roll", "log.roll.ms"),
        Key("unclean.leader.election.enable", 1, "false", _boolean, FIXED, "any broker may lead any partition", "unclean.leader.election.enable"),
    )
}  # fmt: skip


def validate(configs: Mapping[str, str]) -> None:
    """Raises InvalidConfig, naming the key, for what cannot be."""
    for name, value in configs.items():
        key = KEYS.get(name)
        if key is None:
            raise InvalidConfig(f"Unknown topic config name: {name}")
        try:
            key.check(value)
        except InvalidConfig as error:
            raise InvalidConfig(f"Invalid value {value} for configuration {name}: {error}") from None
        if key.standing == LATER and value != key.default:
            raise InvalidConfig(
                f"Invalid value {value} for configuration {name}: {key.note}, which this release does not serve"
            )


def value_of(configs: Mapping[str, str], name: str) -> str:
    """The override, or the default."""
    return configs.get(name, KEYS[name].default)


def rules_of(configs: Mapping[str, str]) -> Rules:
    """What the configs ask of a batch."""
    codec = CODECS[value_of(configs, "compression.type")]
    level = None
    for name, number in (("gzip", 1), ("lz4", 3), ("zstd", 4)):
        if codec == number:
            level = int(value_of(configs, f"compression.{name}.level"))
    if codec == 1 and level == -1:
        level = None
    return Rules(
        max_message_bytes=int(value_of(configs, "max.message.bytes")),
        timestamp_type=LOG_APPEND_TIME
        if value_of(configs, "message.timestamp.type") == "LogAppendTime"
        else CREATE_TIME,
        timestamp_before_max_ms=int(value_of(configs, "message.timestamp.before.max.ms")),
        timestamp_after_max_ms=int(value_of(configs, "message.timestamp.after.max.ms")),
        codec=codec,
        level=level,
    )


def retention_of(configs: Mapping[str, str]) -> Retention:
    """What the configs ask of retention."""
    return Retention(int(value_of(configs, "retention.ms")), int(value_of(configs, "retention.bytes")))
