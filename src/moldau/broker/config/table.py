"""The table of keys, read from the compact text in the `*_keys*.py` files when it is first asked for.

A key is two or more lines: its facts in columns, then, indented, what it is:

    name  type  default  valid  mode-or-synonym  importance  standing[:reason]
        Documentation, in one sentence or two.

In the columns `-` stands for nothing (no default means null), `""` for the empty string. The fifth column is the update
mode of a broker key (read-only, per-broker, cluster-wide), or the broker key that a topic's or group's key inherits from.
Importance is H, M or L, with an `i` after it for keys that are shown only where they are set (Kafka's internal ones among
them). `valid` is explained in `values`, standings in `key`.
"""

from __future__ import annotations

from .key import BROKER, CLIENT_METRICS, GROUP, MODES, READ_ONLY, TOPIC, ConfigKey

_tables: dict[str, dict[str, ConfigKey]] = {}


def broker_keys() -> dict[str, ConfigKey]:
    """Every key of a broker: Kafka's, then our own (`moldau.`)."""
    keys = _tables.get(BROKER)
    if keys is None:
        from . import (
            broker_keys_cluster,
            broker_keys_groups,
            broker_keys_log,
            broker_keys_network,
            broker_keys_security,
            moldau_keys,
        )

        keys = {}
        for module in (
            broker_keys_network,
            broker_keys_log,
            broker_keys_groups,
            broker_keys_security,
            broker_keys_cluster,
            moldau_keys,
        ):
            keys |= parse_table(module.TABLE, BROKER)
        _tables[BROKER] = keys
    return keys


def topic_keys() -> dict[str, ConfigKey]:
    """Every key of a topic."""
    keys = _tables.get(TOPIC)
    if keys is None:
        from .topic_keys import TABLE

        keys = _tables[TOPIC] = parse_table(TABLE, TOPIC)
    return keys


def group_keys() -> dict[str, ConfigKey]:
    """Every key of a group."""
    keys = _tables.get(GROUP)
    if keys is None:
        from .group_keys import TABLE

        keys = _tables[GROUP] = parse_table(TABLE, GROUP)
    return keys


def client_metrics_keys() -> dict[str, ConfigKey]:
    """Every key of a client-metrics subscription."""
    keys = _tables.get(CLIENT_METRICS)
    if keys is None:
        from .group_keys import CLIENT_METRICS_TABLE

        keys = _tables[CLIENT_METRICS] = parse_table(CLIENT_METRICS_TABLE, CLIENT_METRICS)
    return keys


def parse_table(text: str, scope: str) -> dict[str, ConfigKey]:
    """Raises AssertionError on a malformed row: the table is ours."""
    keys: dict[str, ConfigKey] = {}
    key: ConfigKey | None = None
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        if line[0] == " ":
            assert key is not None, f"documentation without a key: {line}"
            key.doc = f"{key.doc} {line.strip()}" if key.doc else line.strip()
            continue
        columns = line.split()
        assert len(columns) == 7, f"7 columns expected: {line}"
        name, type_, default, valid, fifth, importance, standing = columns
        assert name not in keys, f"{name} is there twice"
        standing, _, reason = standing.partition(":")
        is_broker = scope == BROKER
        assert not is_broker or fifth in MODES, f"{name}: {fifth} is no update mode"
        key = keys[name] = ConfigKey(
            name,
            scope,
            type_,
            None if default == "-" else "" if default == '""' else default,
            "" if valid == "-" else valid,
            fifth if is_broker else READ_ONLY if scope == CLIENT_METRICS else "",
            None if is_broker or fifth == "-" else fifth,
            importance[0],
            importance.endswith("i"),
            standing,
            reason,
            "",
        )
    return keys


CASCADES: dict[str, tuple[tuple[str, int], ...]] = {
    "log.retention.ms": (
        ("log.retention.ms", 1),
        ("log.retention.minutes", 60_000),
        ("log.retention.hours", 3_600_000),
    ),
    "log.roll.ms": (("log.roll.ms", 1), ("log.roll.hours", 3_600_000)),
    "log.roll.jitter.ms": (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3_600_000)),
    "log.flush.interval.ms": (("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)),
    "log.dirs": (("log.dirs", 1), ("log.dir", 1)),
}
"""A key, and the keys that stand in for it in this order, each with the factor from its unit to the first one's."""

_SYNONYMS = {name: tuple(n for n, _ in chain) for chain in CASCADES.values() for name, _ in chain}
for _name in ("log.dirs", "log.dir", "log.flush.scheduler.interval.ms"):
    del _SYNONYMS[_name]


def broker_synonyms(name: str) -> tuple[str, ...]:
    """The broker keys that DescribeConfigs looks at for one of them, the strongest first (DynamicBrokerConfig)."""
    return _SYNONYMS.get(name) or (name,)
