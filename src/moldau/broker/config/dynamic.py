"""AlterConfigs and IncrementalAlterConfigs, without the storing: overrides in, overrides out.

Who does what in Kafka: ConfigAdminManager (checks of a request, broker resources), ConfigurationControlManager
(operations), ControllerConfigurationValidator (topics, groups). Error codes are theirs:

    INVALID_REQUEST  a key twice in one resource, null where a value is due, an unknown operation or resource type,
                     a broker id that is not this one's, a broker value that cannot be taken
    INVALID_CONFIG   an unknown key, a wrong value of a topic's key, APPEND or SUBTRACT on what is no list
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from moldau.protocol import error_codes

from .errors import InvalidConfig, InvalidValue
from .key import NO_MEANING, NOT_YET, PER_BROKER, ConfigKey
from .table import broker_keys, client_metrics_keys, group_keys, topic_keys
from .topic import validate_topic_configs

# ConfigResource.Type
TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32

# AlterConfigOp.OpType
SET: Final = 0
DELETE: Final = 1
APPEND: Final = 2
SUBTRACT: Final = 3

Operation = tuple[str, int, str | None]
"""(key, one of SET, DELETE, APPEND, SUBTRACT, value)"""


def alter_incrementally(
    resource_type: int, name: str, current: Mapping[str, str], operations: Sequence[Operation], node_id: int
) -> dict[str, str]:
    """The overrides after IncrementalAlterConfigs. For loggers see `loggers`. Raises InvalidConfig.

    `name` is the resource's: a topic, a group, a broker id or the empty string for all brokers. A topic that does not
    exist is for the caller to notice.
    """
    _check_resource(resource_type, name, node_id)
    check_no_repeats(key for key, _, _ in operations)
    nulls = [key for key, operation, value in operations if operation != DELETE and value is None]
    if nulls:
        raise InvalidConfig(f"Null value not supported for : {', '.join(nulls)}", error_codes.INVALID_REQUEST)
    keys = _keys(resource_type)
    changed = dict(current)
    for key, operation, value in operations:
        if operation == DELETE:
            if resource_type == BROKER:
                _check_mode(key, name)
            changed.pop(key, None)
        elif operation == SET:
            assert value is not None
            changed[key] = value
        elif operation in (APPEND, SUBTRACT):
            assert value is not None
            changed[key] = _edit_list(keys, key, operation, changed.get(key), value)
        else:
            raise InvalidConfig(f"Unknown operation type {operation}", error_codes.INVALID_REQUEST)
    _validate(resource_type, name, changed, {key for key, _, _ in operations})
    return changed


def replace(
    resource_type: int, name: str, current: Mapping[str, str], configs: Sequence[tuple[str, str | None]], node_id: int
) -> dict[str, str]:
    """The overrides after the older AlterConfigs, which replaces all of them. Raises InvalidConfig."""
    if resource_type == BROKER_LOGGER:
        raise InvalidConfig(f"Unknown resource type {resource_type}", error_codes.INVALID_REQUEST)
    _check_resource(resource_type, name, node_id)
    check_no_repeats(key for key, _ in configs)
    nulls = [key for key, value in configs if value is None]
    if nulls:
        raise InvalidConfig(f"Null value not supported for : {', '.join(nulls)}", error_codes.INVALID_REQUEST)
    changed = {key: value for key, value in configs if value is not None}
    _validate(resource_type, name, changed, changed.keys() | current.keys())
    return changed


def check_no_repeats(keys: Iterable[str]) -> None:
    """A key may stand once in a resource. Raises InvalidConfig."""
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise InvalidConfig(f"The config key {key} is there twice", error_codes.INVALID_REQUEST)
        seen.add(key)


def repeated_resources(resources: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
    """Resources that one request names more than once; each gets INVALID_REQUEST."""
    seen: set[tuple[int, str]] = set()
    twice: set[tuple[int, str]] = set()
    for resource in resources:
        (twice if resource in seen else seen).add(resource)
    return twice


def check_node_id(name: str, node_id: int) -> None:
    """A resource that is a broker's id must be this broker's. Raises InvalidConfig."""
    if not name.removeprefix("-").isascii() or not name.removeprefix("-").isdigit():
        raise InvalidConfig(f"Node id must be an integer, but it is: {name}", error_codes.INVALID_REQUEST)
    if int(name) != node_id:
        raise InvalidConfig(
            f"Unexpected broker id, expected {node_id}, but received {name}", error_codes.INVALID_REQUEST
        )


def _check_resource(resource_type: int, name: str, node_id: int) -> None:
    if resource_type == BROKER:
        if name:
            check_node_id(name, node_id)
    elif resource_type in (GROUP, CLIENT_METRICS):
        if not name:
            kind = "Group" if resource_type == GROUP else "Client metrics subscription"
            raise InvalidConfig(f"{kind} name must not be empty", error_codes.INVALID_REQUEST)
    elif resource_type != TOPIC:
        raise InvalidConfig(f"Unknown resource type {resource_type}", error_codes.INVALID_REQUEST)


def _keys(resource_type: int) -> dict[str, ConfigKey]:
    tables: dict[int, Callable[[], dict[str, ConfigKey]]] = {
        TOPIC: topic_keys,
        BROKER: broker_keys,
        GROUP: group_keys,
        CLIENT_METRICS: client_metrics_keys,
    }
    return tables[resource_type]()


def _edit_list(keys: Mapping[str, ConfigKey], name: str, operation: int, text: str | None, edit: str) -> str:
    """APPEND adds what is not there yet, SUBTRACT takes one of each away; without an override they start at the default."""
    key = keys.get(name)
    if key is None or key.type != "list":
        word = "APPEND" if operation == APPEND else "SUBTRACT"
        raise InvalidConfig(f"Can't {word} to key {name}: its type is not LIST")
    elements = [each for each in (key.default or "" if text is None else text).split(",") if each]
    for each in edit.split(","):
        if operation == APPEND and each not in elements:
            elements.append(each)
        elif operation == SUBTRACT and each in elements:
            elements.remove(each)
    return ",".join(elements)


def _validate(resource_type: int, name: str, changed: Mapping[str, str], touched: Iterable[str]) -> None:
    if resource_type == TOPIC:
        validate_topic_configs(changed)
    elif resource_type == BROKER:
        for key in sorted(touched):
            _check_mode(key, name)
        for key in sorted(changed):
            _check_value(broker_keys(), key, changed[key], "broker", error_codes.INVALID_REQUEST)
    elif resource_type == GROUP:
        for key in sorted(changed):
            _check_value(group_keys(), key, changed[key], "group", error_codes.INVALID_CONFIG)
    else:
        for key in sorted(changed):
            _check_value(client_metrics_keys(), key, changed[key], "client-metrics", error_codes.INVALID_CONFIG)


def _check_mode(name: str, resource_name: str) -> None:
    key = broker_keys().get(name)
    if key is None:
        raise InvalidConfig(f"Unknown broker config name: {name}")
    if not key.dynamic:
        raise InvalidConfig(
            f"{name} cannot change while the broker runs; set it in the broker's file and start it again",
            error_codes.INVALID_REQUEST,
        )
    if key.mode == PER_BROKER and not resource_name:
        raise InvalidConfig(f"{name} is a setting of one broker: a broker id is due", error_codes.INVALID_REQUEST)


def _check_value(keys: Mapping[str, ConfigKey], name: str, text: str, kind: str, error_code: int) -> None:
    key = keys.get(name)
    if key is None:
        raise InvalidConfig(f"Unknown {kind} config name: {name}")
    try:
        key.parse(text)
    except InvalidValue as error:
        raise InvalidConfig(key.invalid(text, error), error_code) from error


def without_effect(resource_type: int, configs: Iterable[str]) -> list[str]:
    """Those keys that are taken and shown but change nothing: worth a line in the log."""
    keys = _keys(resource_type)
    return [name for name in configs if name in keys and keys[name].standing in (NO_MEANING, NOT_YET)]
