"""What a broker tells of the share-partitions at home there, and how much at once."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker import share_states
from moldau.broker.share_states import look_at_shares
from moldau.coordination.share.homes import Home
from moldau.coordination.share.partition import SharePartition
from moldau.coordination.share.run import ACQUIRED, AVAILABLE, Run
from moldau.metadata.rows_share import ShareKey, ShareRow
from moldau.protocol.error_codes import NOT_LEADER_OR_FOLLOWER
from moldau.server.share_page import MEMBERS_MAX, share_page


def home(group: str, topic: bytes, partition: int, *runs: Run) -> Home:
    row = ShareRow(group, topic, partition, 7, 0, 0, runs[0].first, 0, b"")
    return Home(ShareKey(group, topic, partition), partition, row, SharePartition(runs[0].first, runs))


def broker(*homes: Home) -> Any:
    topics = {b"1": SimpleNamespace(name="b"), b"2": SimpleNamespace(name="a")}
    return SimpleNamespace(
        shares=SimpleNamespace(homes=homes),
        catalog=SimpleNamespace(by_id=topics),
        node_id=3,
        cluster=SimpleNamespace(cluster_id="c"),
    )


def test_a_groups_page() -> None:
    held = [Run(5, 9, ACQUIRED, 1, "m"), Run(10, 11, AVAILABLE, 2)]
    gone = home("g", b"1", 1, *held)
    gone.code = NOT_LEADER_OR_FOLLOWER
    there = broker(
        home("g", b"1", 0, *held),
        home("other", b"1", 0, *held),
        home("g", b"2", 2, *held),
        home("g", b"3", 0, *held),
        gone,
    )
    status, kind, body = run(share_page(there, "g"))
    page = json.loads(body)
    assert (status, kind) == (200, "application/json")
    assert {key: page[key] for key in ("group", "node_id", "cluster_id", "left_out")} == {
        "group": "g",
        "node_id": 3,
        "cluster_id": "c",
        "left_out": 0,
    }
    assert [(row["topic"], row["partition"]) for row in page["partitions"]] == [("a", 2), ("b", 0)]
    assert page["partitions"][0] == {
        "topic": "a",
        "partition": 2,
        "owner_epoch": 7,
        "start_offset": 5,
        "end_offset": 12,
        "acquired": 5,
        "redeliverable": 2,
        "acknowledged": 0,
        "archiving": 0,
        "archived": 0,
        "delivery_count_max": 2,
        "members": {"m": 5},
        "members_left_out": 0,
    }


def test_a_group_that_is_not_here() -> None:
    status, kind, body = run(share_page(broker(home("g", b"1", 0, Run(0, 0, ACQUIRED, 1, "m"))), "q"))
    page = json.loads(body)
    assert (status, kind) == (404, "application/json")
    assert page["error"] == "broker 3 has no share-partition of a group 'q': no member has fetched one there"
    assert (page["node_id"], page["cluster_id"]) == (3, "c")


def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(share_states, "PARTITIONS_MAX", 3)
    monkeypatch.setattr(share_states, "_PORTION_RUNS", 2)
    found = run(look_at_shares(broker(*(home("g", b"1", index, Run(0, 0, ACQUIRED, 1, "m")) for index in range(5)))))
    assert [row.partition for row in found.rows] == [0, 1, 2]
    assert found.left_out == 2


def test_members_with_little_are_left_out() -> None:
    many = MEMBERS_MAX + 5
    runs, at = [], 0
    for number in range(many):
        runs.append(Run(at, at + number, ACQUIRED, 1, f"m{number}"))
        at += number + 1
    _, _, body = run(share_page(broker(home("g", b"1", 0, *runs)), "g"))
    (row,) = json.loads(body)["partitions"]
    assert row["members"] == {f"m{number}": number + 1 for number in range(5, many)}
    assert (row["members_left_out"], row["acquired"]) == (5, at)
