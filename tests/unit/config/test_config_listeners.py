"""Listeners and what they are called."""

from __future__ import annotations

import pytest

from moldau.broker.config.errors import ConfigError
from moldau.broker.config.listeners import Listener, Listeners

MAP = "PLAINTEXT:PLAINTEXT,SSL:SSL,CONTROLLER:PLAINTEXT,inside:plaintext"


def parse(listeners: str, advertised: str = "", protocol_map: str = MAP, controllers: str = "") -> Listeners:
    def split(text: str) -> list[str]:
        return text.split(",") if text else []

    return Listeners.parse(split(listeners), split(advertised), protocol_map, split(controllers))


def problems(*args: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(*args)
    return caught.value.problems


def test_one_listener() -> None:
    listeners = parse("PLAINTEXT://127.0.0.1:9092")
    assert listeners.bound == [Listener("PLAINTEXT", "127.0.0.1", 9092, "PLAINTEXT")]
    assert listeners.advertised == {}


def test_names_are_upper_case() -> None:
    assert [str(each) for each in parse("Inside://:0").bound] == ["INSIDE://:0"]


def test_ipv6_has_no_brackets_inside() -> None:
    listener = parse("PLAINTEXT://[::1]:9092").bound[0]
    assert listener.host == "::1"
    assert str(listener) == "PLAINTEXT://[::1]:9092"
    assert listener.is_loopback


@pytest.mark.parametrize(
    ("host", "loopback", "everywhere"),
    [
        ("127.0.0.1", True, False),
        ("127.8.8.8", True, False),
        ("localhost", True, False),
        ("", False, True),
        ("0.0.0.0", False, True),
        ("[::]", False, True),
        ("10.0.0.1", False, False),
        ("example.org", False, False),
    ],
)
def test_where_it_can_be_reached_from(host: str, loopback: bool, everywhere: bool) -> None:
    listeners = parse(f"PLAINTEXT://{host}:1", "PLAINTEXT://broker:1")
    listener = listeners.bound[0]
    assert (listener.is_loopback, listener.is_any) == (loopback, everywhere)
    assert listeners.exposed == ([] if loopback else [listener])


def test_controllers_are_set_aside() -> None:
    listeners = parse(
        "PLAINTEXT://:9092,CONTROLLER://:9093",
        "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
        MAP,
        "CONTROLLER",
    )
    assert [each.name for each in listeners.bound] == ["PLAINTEXT"]
    assert list(listeners.advertised) == ["PLAINTEXT"]
    assert [each.name for each in listeners.set_aside] == ["CONTROLLER"]


def test_two_families_may_share_a_port() -> None:
    assert len(parse("PLAINTEXT://127.0.0.1:9092,INSIDE://[::1]:9092").bound) == 2


def test_free_ports_may_repeat() -> None:
    assert len(parse("PLAINTEXT://127.0.0.1:0,INSIDE://127.0.0.1:0").bound) == 2


def test_advertised_ports_may_repeat() -> None:
    assert len(parse("PLAINTEXT://:1,INSIDE://:2", "PLAINTEXT://a:9,INSIDE://b:9").advertised) == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["127.0.0.1:9092"], "expected NAME://HOST:PORT"),
        (["PLAINTEXT://127.0.0.1"], "expected NAME://HOST:PORT"),
        (["PLAINTEXT://::1:9092"], "expected NAME://HOST:PORT"),
        (["PLAINTEXT://a:65536"], "a port from 0 to 65535"),
        (["PLAINTEXT://a:-1"], "a port from 0 to 65535"),
        (["NOPE://a:1"], "does not name NOPE"),
        (["SSL://a:1"], "speaks SSL, which comes with a later release"),
        (["PLAINTEXT://a:1,INSIDE://b:1"], "have the same port"),
        (["PLAINTEXT://a:1,PLAINTEXT://a:2"], "PLAINTEXT is there twice"),
        ([""], "expected at least one listener"),
        (["CONTROLLER://a:1", "", MAP, "CONTROLLER"], "expected at least one listener"),
        (["PLAINTEXT://a:1", "INSIDE://b:1"], "no listener of that name"),
        (["PLAINTEXT://a:1", "PLAINTEXT://0.0.0.0:1"], "an address that clients can connect to"),
        (["PLAINTEXT://0.0.0.0:1"], "no address that clients can connect to"),
        (["PLAINTEXT://[::]:1,INSIDE://a:2", "INSIDE://a:2"], "no address that clients can connect to"),
        (["PLAINTEXT://a:1", "", "PLAINTEXT:TLS"], "expected NAME:PROTOCOL"),
        (["PLAINTEXT://a:1", "", "PLAINTEXT"], "expected NAME:PROTOCOL"),
        (["PLAINTEXT://a:1", "", MAP + ",PLAINTEXT:SSL"], "PLAINTEXT is there twice"),
    ],
)
def test_refused(arguments: list[str], problem: str) -> None:
    assert problem in problems(*arguments)[0]


def test_all_problems_at_once() -> None:
    assert len(problems("x,NOPE://a:1", "", "PLAINTEXT:WHAT")) == 3
