"""Who may connect."""

from __future__ import annotations

import pytest

from moldau.broker.config.errors import InvalidValue
from moldau.broker.config.table import broker_keys
from moldau.server.admission import Admission, resolved


class House:
    """An admission with settings that can be changed."""

    def __init__(self, **listener_max: int) -> None:
        self.settings = {"max.connections": 10, "max.connections.per.ip": 3, "max.connections.per.ip.overrides": ""}
        self.changes: list[str] = []
        self.admission = Admission(self.settings.__getitem__, listener_max, self.changed)

    def changed(self, text: str) -> None:
        self.changes.append(text)
        self.admission.overrides = resolved(text, lambda host: {"here": ["10.0.0.1", "::1"]}[host])

    def enter(self, count: int, host: str = "10.0.0.1", listener: str = "PLAINTEXT") -> list[str | None]:
        return [self.admission.enter(listener, host) for _ in range(count)]


def test_one_address_has_its_limit_and_others_are_not_touched() -> None:
    house = House()
    assert house.enter(4) == [None, None, None, "max.connections.per.ip"]
    assert house.enter(1, "10.0.0.2") == [None]
    assert (house.admission.total, house.admission.refused) == (4, 1)


def test_who_leaves_makes_room() -> None:
    house = House()
    house.enter(3)
    house.admission.leave("PLAINTEXT", "10.0.0.1")
    assert house.enter(2) == [None, "max.connections.per.ip"]


def test_the_broker_has_its_limit() -> None:
    house = House()
    house.settings["max.connections"] = 2
    assert house.enter(3) == [None, None, "max.connections"]


def test_a_listener_has_its_limit() -> None:
    house = House(INSIDE=1)
    assert house.enter(2, listener="INSIDE") == [None, "listener.name.inside.max.connections"]
    assert house.enter(1) == [None]
    assert house.admission.of_listener("INSIDE") == 1


def test_overrides_count_for_every_address_of_a_name_and_may_change() -> None:
    house = House()
    house.settings["max.connections.per.ip.overrides"] = "here:5"
    assert house.enter(6) == [None] * 5 + ["max.connections.per.ip.overrides"]
    assert house.enter(4, "10.0.0.9")[-1] == "max.connections.per.ip"
    house.settings["max.connections.per.ip.overrides"] = ""
    assert house.enter(1) == ["max.connections.per.ip"]
    assert house.changes == ["here:5", ""]


def test_an_override_of_zero_shuts_an_address_out() -> None:
    house = House()
    house.settings["max.connections.per.ip.overrides"] = "here:0"
    assert house.enter(1, "::1") == ["max.connections.per.ip.overrides"]


def test_a_name_that_means_nothing_limits_nobody() -> None:
    def resolve(host: str) -> list[str]:
        raise OSError(host)

    assert resolved("nowhere:1", resolve) == {}


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:b", "a:1,b", "a:-1"])
def test_overrides_are_pairs(text: str) -> None:
    with pytest.raises(InvalidValue, match="HOST:COUNT"):
        broker_keys()["max.connections.per.ip.overrides"].parse(text)


def test_addresses_may_be_ipv6() -> None:
    key = broker_keys()["max.connections.per.ip.overrides"]
    assert resolved(str(key.parse("[::1]:2, 10.0.0.1:3")), lambda host: [host]) == {"::1": 2, "10.0.0.1": 3}
