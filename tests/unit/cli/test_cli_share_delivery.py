"""Where brokers are asked for the delivery states of share groups, and what their answers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moldau.cli.share_delivery import Told, newest, reachable, read, remark

SET = "set moldau.http.listener=HOST:PORT there, an address that can be reached from here"


@pytest.mark.parametrize(
    ("listener", "broker_host", "where"),
    [
        ("127.0.0.1:9644", "127.0.0.1", ("127.0.0.1", 9644)),
        ("127.0.0.1:9644", "localhost", ("127.0.0.1", 9644)),
        ("localhost:1", "127.0.0.5", ("localhost", 1)),
        ("[::1]:9644", "::1", ("::1", 9644)),
        ("0.0.0.0:9644", "kafka-1", ("kafka-1", 9644)),
        ("[::]:9644", "10.0.0.4", ("10.0.0.4", 9644)),
        ("0.0.0.0:9644", "127.0.0.1", ("127.0.0.1", 9644)),
        ("10.0.0.4:9644", "kafka-1", ("10.0.0.4", 9644)),
        ("metrics-1:9644", "127.0.0.1", ("metrics-1", 9644)),
        ("127.0.0.1:9644", "kafka-1", f"it serves HTTP on 127.0.0.1:9644 only; {SET}"),
        ("[::1]:9644", "10.0.0.4", f"it serves HTTP on [::1]:9644 only; {SET}"),
        ("", "127.0.0.1", f"it serves no HTTP; {SET}"),
    ],
)
def test_where_to_ask(listener: str, broker_host: str, where: object) -> None:
    assert reachable(listener, broker_host) == where


def row(partition: int, epoch: int, acquired: int) -> dict[str, Any]:
    return {"topic": "t", "partition": partition, "owner_epoch": epoch, "acquired": acquired}


@pytest.mark.parametrize("rows", [[row(0, 1, 5), row(0, 2, 3)], [row(0, 2, 3), row(0, 1, 5)]])
def test_the_newer_owner_is_right(rows: list[dict[str, Any]]) -> None:
    assert newest([*rows, row(1, 1, 9)]) == {("t", 0): {"acquired": 3}, ("t", 1): {"acquired": 9}}


def test_what_a_page_says() -> None:
    page = {"node_id": 1, "cluster_id": "c", "left_out": 2, "partitions": [row(0, 1, 5)]}
    assert read(json.dumps(page).encode(), 1, "c", "h:1") == Told((row(0, 1, 5),), left_out=2)
    none = {"error": "none", "node_id": 1, "cluster_id": "c"}
    assert read(json.dumps(none).encode(), 1, "c", "h:1") == Told()
    for wrong in ((2, "c"), (1, "d")):
        told = read(json.dumps(page).encode(), *wrong, "h:1")
        assert told == Told(why=f"http://h:1 is of broker 1 of cluster c; {SET}")


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"there is no /share-groups/g",
        b"[]",
        b"{}",
        b"\xff",
        b'{"node_id": 1, "cluster_id": "c", "partitions": [3]}',
    ],
)
def test_what_is_no_page(page: bytes) -> None:
    assert read(page, 1, "c", "h:1").why == "what answers at http://h:1 does not tell of share groups"


def test_one_remark_for_all() -> None:
    told = {
        1: Told((row(0, 1, 5),)),
        2: Told(why="it is off"),
        3: Told(why="it is off"),
        4: Told(left_out=1),
        5: Told(why="it does not answer", is_ours=False),
    }
    assert remark(told, {1, 2, 3, 4, 5}) == (
        "Not all delivery states are known (broker 2, 3: it is off; broker 4: 1 more partition than they list;"
        " broker 5: it does not answer)."
    )
    assert remark(told, {1, -1, 9}) == ""
    assert remark(told, {2}) == "Not all delivery states are known (broker 2: it is off)."


def test_nothing_is_said_of_a_kafka_that_is_not_ours() -> None:
    told = {1: Told(is_ours=False), 2: Told(why="it does not answer", is_ours=False)}
    assert remark(told, {1, 2}) == ""
