"""The configuration of a broker as it is now: what it was started with, and what AlterConfigs has put over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .errors import InvalidValue
from .settings import DEFAULT, Settings, scaled
from .table import CASCADES, broker_keys, broker_synonyms
from .values import Value

# ConfigSource of DescribeConfigsResponse.
SOURCE_TOPIC: Final = 1
SOURCE_BROKER: Final = 2
SOURCE_CLUSTER: Final = 3
SOURCE_STATIC: Final = 4
SOURCE_DEFAULT: Final = 5
SOURCE_LOGGER: Final = 6
SOURCE_CLIENT_METRICS: Final = 7
SOURCE_GROUP: Final = 8


class BrokerConfig:
    """Does not change: an alteration makes a new one.

    `cluster` are the overrides of the BROKER resource with the empty name, `own` those of this broker's id. Precedence:
    own, cluster, settings, default.
    """

    __slots__ = ("_parsed", "cluster", "own", "settings")

    def __init__(
        self, settings: Settings, cluster: Mapping[str, str] | None = None, own: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings
        self.cluster = dict(cluster or {})
        self.own = dict(own or {})
        self._parsed: dict[str, Value] = {}
        for overrides in (self.cluster, self.own):
            for name, text in overrides.items():
                self._parsed[name] = _stored(name, text)

    def value(self, name: str) -> Value:
        """The key's own value, without cascades."""
        if name in self._parsed:
            return self._parsed[name]
        return self.settings.entry(name).value

    def __getitem__(self, name: str) -> Any:
        """The value that counts, cascades followed: `log.retention.ms` also where only the hours are set."""
        if name not in CASCADES:
            return self.value(name)
        for each, factor in CASCADES[name]:
            value = self.value(each)
            if value is not None:
                return scaled(value, factor)
        return None

    def layers(self, name: str) -> list[tuple[str, str | None, int]]:
        """(key, text, ConfigSource) of every place that gives the key or a synonym a value, the strongest first.

        As Kafka does (ConfigHelper.configSynonyms), those stronger than the first place that names the key itself are left
        out: `log.roll.ms` says nothing of `log.roll.hours` unless it is set.
        """
        synonyms = broker_synonyms(name)
        found: list[tuple[str, str | None, int]] = []
        for overrides, source in ((self.own, SOURCE_BROKER), (self.cluster, SOURCE_CLUSTER)):
            found += [(each, overrides[each], source) for each in synonyms if each in overrides]
        for each in synonyms:
            entry = self.settings.entry(each)
            if entry.source != DEFAULT:
                found.append((each, entry.text, SOURCE_STATIC))
        for each in synonyms:
            text = self.settings.default_text(each)
            if text is not None:
                found.append((each, text, SOURCE_DEFAULT))
        while found and found[0][0] != name:
            del found[0]
        return found


def _stored(name: str, text: str) -> Value:
    """A stored override; one that this release would not take any more falls back to the key's default."""
    key = broker_keys().get(name)
    if key is None:
        return text
    try:
        return key.parse(text)
    except InvalidValue:
        return key.default_value()
