"""AlterConfigs and IncrementalAlterConfigs: overrides in, overrides out, Kafka's errors."""

from __future__ import annotations

import pytest

from moldau.broker.config.dynamic import (
    APPEND,
    BROKER,
    BROKER_LOGGER,
    CLIENT_METRICS,
    DELETE,
    GROUP,
    SET,
    SUBTRACT,
    TOPIC,
    Operation,
    alter_incrementally,
    repeated_resources,
    replace,
    without_effect,
)
from moldau.broker.config.errors import InvalidConfig
from moldau.broker.config.loggers import alter_levels, level_name, levels_now
from moldau.protocol.error_codes import INVALID_CONFIG, INVALID_REQUEST

THROTTLED = "leader.replication.throttled.replicas"


def alter(resource: int, name: str, current: dict[str, str], *operations: Operation) -> dict[str, str]:
    return alter_incrementally(resource, name, current, operations, node_id=1)


@pytest.mark.parametrize(
    ("current", "operations", "after"),
    [
        ({}, [("retention.ms", SET, "5")], {"retention.ms": "5"}),
        ({"retention.ms": "5"}, [("retention.ms", SET, "6")], {"retention.ms": "6"}),
        ({"retention.ms": "5", "segment.ms": "7"}, [("retention.ms", DELETE, None)], {"segment.ms": "7"}),
        ({"retention.ms": "5"}, [("segment.ms", DELETE, "x")], {"retention.ms": "5"}),
        ({}, [(THROTTLED, APPEND, "0:1,1:1")], {THROTTLED: "0:1,1:1"}),
        ({THROTTLED: "0:1"}, [(THROTTLED, APPEND, "0:1,1:2")], {THROTTLED: "0:1,1:2"}),
        ({THROTTLED: "0:1,1:2"}, [(THROTTLED, SUBTRACT, "0:1,9:9")], {THROTTLED: "1:2"}),
        ({}, [("cleanup.policy", APPEND, "delete")], {"cleanup.policy": "delete"}),
        ({}, [("cleanup.policy", SUBTRACT, "delete")], {"cleanup.policy": ""}),
        ({}, [], {}),
    ],
)
def test_topic(current: dict[str, str], operations: list[Operation], after: dict[str, str]) -> None:
    before = dict(current)
    assert alter(TOPIC, "t", current, *operations) == after
    assert current == before, "what came in is left as it was"


@pytest.mark.parametrize(
    ("resource", "name", "current", "operation", "code", "message"),
    [
        (TOPIC, "t", {}, ("nope", SET, "1"), INVALID_CONFIG, "Unknown topic config name: nope"),
        (TOPIC, "t", {}, ("retention.ms", SET, "x"), INVALID_CONFIG, "Invalid value x for configuration retention.ms"),
        (TOPIC, "t", {}, ("retention.ms", SET, None), INVALID_REQUEST, "Null value not supported for : retention.ms"),
        (TOPIC, "t", {}, ("retention.ms", APPEND, None), INVALID_REQUEST, "Null value not supported"),
        (TOPIC, "t", {}, ("retention.ms", APPEND, "5"), INVALID_CONFIG, "Can't APPEND to key retention.ms"),
        (TOPIC, "t", {}, ("retention.ms", SUBTRACT, "5"), INVALID_CONFIG, "Can't SUBTRACT to key retention.ms"),
        (TOPIC, "t", {}, ("cleanup.policy", APPEND, "keep"), INVALID_CONFIG, "delete,keep"),
        (TOPIC, "t", {}, ("retention.ms", 7, "5"), INVALID_REQUEST, "Unknown operation type 7"),
        (BROKER, "", {}, ("nope", SET, "1"), INVALID_CONFIG, "Unknown broker config name: nope"),
        (BROKER, "", {}, ("nope", DELETE, None), INVALID_CONFIG, "Unknown broker config name: nope"),
        (BROKER, "", {}, ("node.id", SET, "3"), INVALID_REQUEST, "node.id cannot change while the broker runs"),
        (BROKER, "1", {}, ("node.id", DELETE, None), INVALID_REQUEST, "node.id cannot change"),
        (BROKER, "1", {}, ("listeners", SET, "PLAINTEXT://:1"), INVALID_REQUEST, "listeners cannot change"),
        (BROKER, "", {}, ("cordoned.log.dirs", SET, "x"), INVALID_REQUEST, "a broker id is due"),
        (BROKER, "", {}, ("log.retention.ms", SET, "abc"), INVALID_REQUEST, "Invalid value abc"),
        (BROKER, "", {}, ("log.retention.ms", SET, "0"), INVALID_REQUEST, "Invalid value 0"),
        (BROKER, "2", {}, ("max.connections", SET, "3"), INVALID_REQUEST, "Unexpected broker id, expected 1"),
        (BROKER, "x", {}, ("max.connections", SET, "3"), INVALID_REQUEST, "Node id must be an integer"),
        (GROUP, "g", {}, ("consumer.session.timeout.ms", SET, "0"), INVALID_CONFIG, "expected a number of at least 1"),
        (GROUP, "g", {}, ("nope", SET, "5"), INVALID_CONFIG, "Unknown group config name: nope"),
        (GROUP, "", {}, ("nope", SET, "5"), INVALID_REQUEST, "Group name must not be empty"),
        (CLIENT_METRICS, "m", {}, ("interval.ms", SET, "5"), INVALID_CONFIG, "Clients' metrics come with a later"),
        (99, "x", {}, ("a", SET, "5"), INVALID_REQUEST, "Unknown resource type 99"),
    ],
)  # fmt: skip
def test_refused(
    resource: int, name: str, current: dict[str, str], operation: Operation, code: int, message: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        alter(resource, name, current, operation)
    assert (caught.value.error_code, message in caught.value.message) == (code, True), caught.value.message


def test_a_key_twice() -> None:
    with pytest.raises(InvalidConfig, match=r"retention\.ms is there twice") as caught:
        alter(TOPIC, "t", {}, ("retention.ms", SET, "1"), ("retention.ms", DELETE, None))
    assert caught.value.error_code == INVALID_REQUEST


def test_broker() -> None:
    assert alter(BROKER, "", {}, ("log.retention.ms", SET, "5")) == {"log.retention.ms": "5"}
    assert alter(BROKER, "1", {"max.connections": "5"}, ("max.connections", DELETE, None)) == {}
    assert alter(BROKER, "1", {}, ("cordoned.log.dirs", SET, "")) == {"cordoned.log.dirs": ""}


def test_a_group_may_be_set_to_the_defaults() -> None:
    assert alter(GROUP, "g", {}, ("consumer.session.timeout.ms", SET, "45000")) == {
        "consumer.session.timeout.ms": "45000"
    }


def test_replace() -> None:
    after = replace(TOPIC, "t", {"retention.ms": "5", "segment.ms": "6"}, [("retention.ms", "7")], 1)
    assert after == {"retention.ms": "7"}
    assert replace(BROKER, "", {"log.retention.ms": "5"}, [], 1) == {}


@pytest.mark.parametrize(
    ("resource", "configs", "code"),
    [
        (TOPIC, [("retention.ms", None)], INVALID_REQUEST),
        (TOPIC, [("retention.ms", "1"), ("retention.ms", "2")], INVALID_REQUEST),
        (TOPIC, [("nope", "1")], INVALID_CONFIG),
        (BROKER, [("node.id", "1")], INVALID_REQUEST),
        (BROKER_LOGGER, [("root", "INFO")], INVALID_REQUEST),
    ],
)
def test_replace_refuses(resource: int, configs: list[tuple[str, str | None]], code: int) -> None:
    with pytest.raises(InvalidConfig) as caught:
        replace(resource, "1" if resource != TOPIC else "t", {}, configs, 1)
    assert caught.value.error_code == code


def test_resources_twice() -> None:
    assert repeated_resources([(TOPIC, "a"), (TOPIC, "b"), (BROKER, "a"), (TOPIC, "a")]) == {(TOPIC, "a")}


def test_what_changes_nothing_is_said() -> None:
    assert without_effect(TOPIC, ["retention.ms", "preallocate", "flush.ms"]) == ["preallocate"]


LOGGERS = {"moldau.broker", "moldau.server"}


def test_loggers() -> None:
    assert alter_levels(
        LOGGERS, [("moldau.broker", SET, "debug"), ("root", SET, "WARN"), ("moldau.server", DELETE, None)]
    ) == {
        "moldau.broker": 10,
        "root": 30,
        "moldau.server": None,
    }
    assert [level_name(level) for level in (60, 50, 40, 35, 30, 20, 10, 5, 0)] == [
        "FATAL", "FATAL", "ERROR", "WARN", "WARN", "INFO", "DEBUG", "TRACE", "TRACE",
    ]  # fmt: skip
    assert levels_now({"b": 20, "a": 10}) == [("a", "DEBUG"), ("b", "INFO")]


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (("moldau.broker", SET, "LOUD"), INVALID_CONFIG),
        (("nope", SET, "INFO"), INVALID_CONFIG),
        (("nope", DELETE, None), INVALID_CONFIG),
        (("moldau.broker", SET, None), INVALID_REQUEST),
        (("root", DELETE, None), INVALID_REQUEST),
        (("moldau.broker", APPEND, "INFO"), INVALID_REQUEST),
        (("moldau.broker", SUBTRACT, "INFO"), INVALID_REQUEST),
        (("moldau.broker", 9, "INFO"), INVALID_REQUEST),
    ],
)
def test_loggers_refuse(operation: Operation, code: int) -> None:
    with pytest.raises(InvalidConfig) as caught:
        alter_levels(LOGGERS, [operation])
    assert caught.value.error_code == code
