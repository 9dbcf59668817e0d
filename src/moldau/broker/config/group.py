"""The values that count for one group: its own, else the broker's; never out of the broker's bounds (Kafka's GroupConfig.evaluate).

A bound is a broker key beside the one that a group inherits from: `group.consumer.session.timeout.ms` has
`group.consumer.min.session.timeout.ms` and `group.consumer.max.session.timeout.ms`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from moldau.coordination.assignors import built_in, is_known

from .effective import BrokerConfig
from .errors import InvalidConfig, InvalidValue
from .key import ConfigKey
from .table import broker_keys, group_keys

if TYPE_CHECKING:
    from .settings import Settings

_DEAD_LETTERS = "errors.deadletterqueue.topic.name"

GroupSettings = dict[str, Any]
"""By the keys of groups, parsed."""


def group_settings(overrides: Mapping[str, str], broker: BrokerConfig) -> GroupSettings:
    """Of a group with these overrides. What this release would not take any more falls back to the broker's value."""
    return {key.name: _value(key, overrides.get(key.name), broker) for key in group_keys().values()}


def check_bounds(overrides: Mapping[str, str], broker: BrokerConfig) -> None:
    """Raises InvalidConfig when a value is out of the broker's bounds, or a topic's name is one that Kafka keeps for itself."""
    letters = overrides.get(_DEAD_LETTERS, "")
    if letters.startswith("__"):
        raise InvalidConfig(f"{_DEAD_LETTERS} must not begin with '__'; {letters!r} came")
    for name, text in overrides.items():
        key = group_keys().get(name)
        if key is None:
            continue
        try:
            value: Any = key.parse(text)
        except InvalidValue:
            continue  # told by who checks values
        low, high = bounds(key, broker)
        if low is not None and value < low[1]:
            raise InvalidConfig(f"{name} must be greater than or equal to {low[0]}, which is {low[1]}; {value} came")
        if high is not None and value > high[1]:
            raise InvalidConfig(f"{name} must be less than or equal to {high[0]}, which is {high[1]}; {value} came")


def check_broker(settings: Settings, problems: list[str]) -> None:
    """What a broker gives to groups is within its own bounds, and its assignors are there (KafkaConfig.validateValues)."""
    broker = BrokerConfig(settings)
    for key in group_keys().values():
        low, high = bounds(key, broker)
        for bound, above in ((low, False), (high, True)):
            if bound is None or key.synonym is None:
                continue
            value = broker[key.synonym]
            if value > bound[1] if above else value < bound[1]:
                word = "above" if above else "below"
                problems.append(f"{key.synonym}={value} is {word} {bound[0]}={bound[1]}")
    problems += [
        f"group.consumer.assignors: there is no assignor {name!r}; built in are {', '.join(built_in('consumer'))}"
        for name in settings.get_list("group.consumer.assignors")
        if not is_known("consumer", name)
    ]


def bounds(key: ConfigKey, broker: BrokerConfig) -> tuple[tuple[str, Any] | None, tuple[str, Any] | None]:
    """The broker's keys and values of the least and of the greatest value; None where there is no such bound."""
    low, high = _bound(key, "min"), _bound(key, "max")
    return (None if low is None else (low, broker[low])), (None if high is None else (high, broker[high]))


def _bound(key: ConfigKey, word: str) -> str | None:
    if key.synonym is None:
        return None
    family, rest = key.synonym.split(".", 2)[1:]
    name = f"group.{family}.{word}.{rest.removeprefix('num.')}"
    return name if name in broker_keys() else None


def _value(key: ConfigKey, own: str | None, broker: BrokerConfig) -> Any:
    value: Any = broker[key.synonym] if key.synonym is not None else key.default_value()
    if own is not None:
        try:
            value = key.parse(own)
        except InvalidValue:
            return value
    low, high = bounds(key, broker)
    if low is not None:
        value = max(value, low[1])
    if high is not None:
        value = min(value, high[1])
    return value
