"""The values that count for a group: its own, else the broker's, within the broker's bounds."""

from __future__ import annotations

import pytest

from moldau.broker.config.effective import BrokerConfig
from moldau.broker.config.errors import ConfigError, InvalidConfig
from moldau.broker.config.group import check_bounds, group_settings
from moldau.broker.config.settings import Settings
from moldau.broker.config.table import group_keys


def broker(**settings: str) -> BrokerConfig:
    return BrokerConfig(
        Settings.load(sets=[f"{key.replace('_', '.')}={value}" for key, value in settings.items()], env={})
    )


def test_every_key_of_a_group_has_a_value() -> None:
    found = group_settings({}, broker())
    assert found.keys() == group_keys().keys()
    assert found["consumer.session.timeout.ms"] == 45_000
    assert found["consumer.assignor.offload.enable"] is True


def test_the_groups_own_stands_above_the_brokers() -> None:
    around = broker(group_consumer_session_timeout_ms="50000")
    assert group_settings({}, around)["consumer.session.timeout.ms"] == 50_000
    assert group_settings({"consumer.session.timeout.ms": "55000"}, around)["consumer.session.timeout.ms"] == 55_000
    assert group_settings({"consumer.session.timeout.ms": "soon"}, around)["consumer.session.timeout.ms"] == 50_000


def test_bounds_that_were_moved_later_count_too() -> None:
    around = broker(group_consumer_max_session_timeout_ms="52000")
    assert group_settings({"consumer.session.timeout.ms": "55000"}, around)["consumer.session.timeout.ms"] == 52_000
    assert group_settings({"consumer.session.timeout.ms": "1"}, around)["consumer.session.timeout.ms"] == 45_000


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "consumer.session.timeout.ms",
            "44999",
            "greater than or equal to group.consumer.min.session.timeout.ms, which is 45000",
        ),
        ("consumer.heartbeat.interval.ms", "15001", "less than or equal to group.consumer.max.heartbeat.interval.ms"),
    ],
)
def test_what_is_out_of_bounds_is_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        check_bounds({name: value}, broker())


def test_what_is_within_them_is_taken() -> None:
    check_bounds({"consumer.session.timeout.ms": "45000", "share.isolation.level": "read_committed"}, broker())


def test_a_broker_does_not_start_with_values_out_of_its_own_bounds() -> None:
    with pytest.raises(ConfigError) as refused:
        broker(group_consumer_heartbeat_interval_ms="200", group_consumer_assignors="uniform,best")
    assert refused.value.problems == [
        "group.consumer.heartbeat.interval.ms=200 is below group.consumer.min.heartbeat.interval.ms=5000",
        "group.consumer.assignors: there is no assignor 'best'; built in are range, uniform",
    ]
    broker(group_consumer_heartbeat_interval_ms="200", group_consumer_min_heartbeat_interval_ms="200")
