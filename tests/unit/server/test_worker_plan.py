"""Ports and ids of workers."""

from __future__ import annotations

import pytest

from moldau.broker.config.acting import options_of
from moldau.broker.config.errors import ConfigError
from moldau.broker.config.settings import Settings
from moldau.broker.options import ANY_NODE_ID
from moldau.server.worker_plan import WorkerPlan

TWO = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OUTER:PLAINTEXT"


def plan(count: int, *sets: str) -> WorkerPlan:
    settings = Settings.load(sets=sets, env={})
    return WorkerPlan(settings, options_of(settings), count)


def flags(count: int, number: int, *sets: str, firsts: dict[str, int] | None = None) -> dict[str, str]:
    made = plan(count, *sets)
    return made.flags(number, firsts or {}, made.node_id(number))


def test_the_first_has_what_the_settings_say_and_the_others_what_follows() -> None:
    sets = [
        "listeners=PLAINTEXT://127.0.0.1:9092,OUTER://:9192",
        "advertised.listeners=OUTER://moldau.example:19192",
        TWO,
        "moldau.http.listener=[::1]:9644",
        "node.id=5",
    ]
    assert flags(3, 1, *sets) == {
        "listeners": "PLAINTEXT://127.0.0.1:9092,OUTER://:9192",
        "advertised.listeners": "OUTER://moldau.example:19192",
        "moldau.http.listener": "[::1]:9644",
        "node.id": "5",
        "broker.id": "5",
    }
    assert flags(3, 3, *sets) == {
        "listeners": "PLAINTEXT://127.0.0.1:9094,OUTER://:9194",
        "advertised.listeners": "OUTER://moldau.example:19194",
        "moldau.http.listener": "[::1]:9646",
        "node.id": "7",
        "broker.id": "7",
    }


def test_settings_take_the_flags_over_what_they_say() -> None:
    sets = ["broker.id=5", "listeners=PLAINTEXT://127.0.0.1:9092", "moldau.http.listener=127.0.0.1:9644"]
    settings = Settings.load(sets=sets, env={}, flags=flags(2, 2, *sets))
    options = options_of(settings)
    assert options.node_id == 6
    assert [str(each) for each in settings.listeners.bound] == ["PLAINTEXT://127.0.0.1:9093"]
    assert (options.http_host, options.http_port) == ("127.0.0.1", 9645)


def test_ports_that_were_found() -> None:
    sets = ["listeners=PLAINTEXT://127.0.0.1:0", "moldau.http.listener=127.0.0.1:0"]
    found = flags(2, 2, *sets, firsts={"PLAINTEXT": 40000})
    assert found == {"listeners": "PLAINTEXT://127.0.0.1:40001", "moldau.http.listener": "127.0.0.1:0", "node.id": "2"}


def test_no_metrics() -> None:
    assert flags(2, 2, "moldau.http.listener=")["moldau.http.listener"] == ""


def test_shared_stores_give_ids_unless_there_is_one() -> None:
    stores = ["moldau.metadata.url=postgresql://h/d", "moldau.blobs.url=file:///b"]
    assert plan(2, *stores).node_id(2) == ANY_NODE_ID
    assert "node.id" not in flags(2, 2, *stores)
    assert flags(2, 2, *stores, "node.id=3")["node.id"] == "4"


def test_one_port_of_two_families_is_no_overlap() -> None:
    plan(2, "listeners=PLAINTEXT://127.0.0.1:9092,OUTER://[::1]:9092", TWO)


@pytest.mark.parametrize(
    ("count", "sets", "said"),
    [
        (
            3,
            ["listeners=PLAINTEXT://127.0.0.1:9092,OUTER://127.0.0.1:9094", TWO],
            "gives it the ports 9094 to 9096, and PLAINTEXT://127.0.0.1:9092 those from 9092 to 9094; leave room between them",
        ),
        (2, ["moldau.http.listener=127.0.0.1:9093"], "moldau.http.listener: --workers gives it the ports 9093 to 9094"),
        (2, ["listeners=PLAINTEXT://127.0.0.1:65535"], "the ports 65535 to 65536, and there are none above 65535"),
        (2, ["node.id=2147483647"], "node.id: there are no 2 ids from 2147483647 on"),
    ],
)
def test_what_does_not_fit(count: int, sets: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        plan(count, *sets)
    assert said in str(raised.value)
