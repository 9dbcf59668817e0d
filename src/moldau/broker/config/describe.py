"""DescribeConfigs, without the request: every key of a resource with its value, source, synonyms and documentation.

Source: Kafka's ConfigHelper. A list of wanted keys that is empty or None means all of them; names that are no keys are
passed over, as in Kafka.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from . import values
from .effective import (
    SOURCE_CLIENT_METRICS,
    SOURCE_CLUSTER,
    SOURCE_DEFAULT,
    SOURCE_GROUP,
    SOURCE_LOGGER,
    SOURCE_TOPIC,
    BrokerConfig,
)
from .key import ConfigKey
from .settings import DEFAULT
from .table import broker_keys, client_metrics_keys, group_keys, topic_keys
from .topic import topic_value

Synonym = tuple[str, str | None, int]
"""(key, value, ConfigSource)"""

UNKNOWN_TYPE = 0


class Described:
    """One entry of the answer. `synonyms` and `documentation` are for the caller to leave out where they were not asked for."""

    __slots__ = ("config_type", "documentation", "is_sensitive", "name", "read_only", "source", "synonyms", "value")

    def __init__(
        self,
        name: str,
        value: str | None,
        source: int,
        *,
        read_only: bool = False,
        is_sensitive: bool = False,
        synonyms: list[Synonym] | None = None,
        config_type: int = UNKNOWN_TYPE,
        documentation: str | None = None,
    ) -> None:
        self.name = name
        self.value = value
        self.source = source
        self.read_only = read_only
        self.is_sensitive = is_sensitive
        self.synonyms = synonyms or []
        self.config_type = config_type
        self.documentation = documentation

    def __repr__(self) -> str:
        return f"Described({self.name}={self.value!r}, source={self.source}, synonyms={self.synonyms})"


def describe_topic(
    overrides: Mapping[str, str], broker: BrokerConfig, names: Collection[str] | None = None
) -> list[Described]:
    """A topic with these overrides."""
    found = []
    for key in _wanted(topic_keys().values(), names):
        own = overrides.get(key.name)
        if key.internal and own is None:
            continue
        value = values.render(topic_value(key.name, overrides, broker))
        synonyms: list[Synonym] = [] if own is None else [(key.name, value, SOURCE_TOPIC)]
        if key.synonym is not None:
            synonyms += broker.layers(key.synonym)
        found.append(_described(key, value, synonyms))
    return found


def describe_broker(
    broker: BrokerConfig, names: Collection[str] | None = None, bound: Mapping[str, str] | None = None
) -> list[Described]:
    """This broker: every key, with what counts now. `bound` are values that were found out from what is set; the synonyms say what that is."""
    found = []
    for key in _wanted(broker_keys().values(), names):
        if key.internal and not _is_set(broker, key.name):
            continue
        synonyms = broker.layers(key.name)
        value = (bound or {}).get(key.name) or values.render(broker.value(key.name))
        found.append(_described(key, value, synonyms, read_only=not key.dynamic))
    return found


def describe_cluster_default(broker: BrokerConfig, names: Collection[str] | None = None) -> list[Described]:
    """The BROKER resource with the empty name: only what AlterConfigs has set for all brokers."""
    keys = broker_keys()
    found = []
    for name, text in broker.cluster.items():
        key = keys.get(name)
        if key is not None and (not names or name in names):
            synonyms = [layer for layer in broker.layers(name) if layer[2] == SOURCE_CLUSTER]
            found.append(_described(key, text, synonyms, read_only=not key.dynamic))
    return found


def describe_group(
    overrides: Mapping[str, str], broker: BrokerConfig, names: Collection[str] | None = None
) -> list[Described]:
    """A group with these overrides."""
    found = []
    for key in _wanted(group_keys().values(), names):
        own = overrides.get(key.name)
        if key.internal and own is None:
            continue
        inherited = None if key.synonym is None else broker.value(key.synonym)
        shown = own if own is not None else values.render(inherited) if inherited is not None else key.default
        synonyms: list[Synonym] = [] if own is None else [(key.name, shown, SOURCE_GROUP)]
        if key.synonym is not None:
            synonyms += broker.layers(key.synonym)
        elif own is None and shown is not None:
            synonyms.append((key.name, shown, SOURCE_DEFAULT))
        found.append(_described(key, shown, synonyms))
    return found


def describe_client_metrics(overrides: Mapping[str, str], names: Collection[str] | None = None) -> list[Described]:
    """A client-metrics subscription: only what is set."""
    return [
        Described(name, text, SOURCE_CLIENT_METRICS)
        for name, text in overrides.items()
        if name in client_metrics_keys() and (not names or name in names)
    ]


def describe_loggers(levels: Iterable[tuple[str, str]], names: Collection[str] | None = None) -> list[Described]:
    """The BROKER_LOGGER resource, from `loggers.levels_now`."""
    return [Described(name, level, SOURCE_LOGGER) for name, level in levels if not names or name in names]


def _wanted(keys: Iterable[ConfigKey], names: Collection[str] | None) -> Iterable[ConfigKey]:
    return (key for key in keys if not names or key.name in names)


def _is_set(broker: BrokerConfig, name: str) -> bool:
    return name in broker.own or name in broker.cluster or broker.settings.entry(name).source != DEFAULT


def _described(key: ConfigKey, value: str | None, synonyms: list[Synonym], *, read_only: bool = False) -> Described:
    """The strongest synonym says the source. A secret's value is nowhere in the answer."""
    if key.sensitive:
        value = None
        synonyms = [(name, None, source) for name, _, source in synonyms]
    return Described(
        key.name,
        value,
        synonyms[0][2] if synonyms else SOURCE_DEFAULT,
        read_only=read_only,
        is_sensitive=key.sensitive,
        synonyms=synonyms,
        config_type=values.type_codes[key.type],
        documentation=f"{key.doc} {key.why}".rstrip(),
    )
