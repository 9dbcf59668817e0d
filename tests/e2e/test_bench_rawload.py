"""The benchmark's own load: its modes against a broker, the leaders it finds, and the gaps that watchers see."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bench.cluster import stalls
from bench.cluster.stalls import Gaps
from bench.programs import rawload
from bench.rawwire import parse_metadata, string
from moldau.testing import BrokerThread


@pytest.mark.slow
def test_every_mode_on_a_broker(tmp_path: Path) -> None:
    with BrokerThread(data=tmp_path / "data") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 3, 1)])["t"].result(10)
        options = ["--partitions", "3", "--records", "900", "--size", "50"]
        produced = rawload("produce", broker.bootstrap, "t", [*options, "--batch-bytes", "2000"], 30)
        assert produced["records"] >= 900
        paced = rawload(
            "produce",
            broker.bootstrap,
            "t",
            [*options[:2], "--records", "20", "--batch-bytes", "0", "--rate", "100"],
            30,
        )
        assert paced["records"] == 20
        assert paced["seconds"] >= 0.19
        tripped = rawload("trip", broker.bootstrap, "t", ["--partitions", "3", "--records", "30"], 30)
        assert tripped["records"] == 30
        assert tripped["p50_ms"] > 0
        assert tripped["trip_p50_ms"] > 0
        fetched = rawload("fetch", broker.bootstrap, "t", options, 30)
        assert fetched["records"] >= 900
        scanned = rawload("scan", broker.bootstrap, "t", ["--partitions", "3", "--seconds", "0.3"], 30)
        assert scanned["bytes"] > 900 * 50, "it begins again at the end"


def test_leaders_of_several_brokers_are_read_from_metadata() -> None:
    def broker(node: int, port: int) -> bytes:
        return struct.pack(">i", node) + string(b"127.0.0.1") + struct.pack(">i", port) + struct.pack(">h", -1)

    def partition(error: int, index: int, leader: int) -> bytes:
        return struct.pack(">hii", error, index, leader) + struct.pack(">iii", 2, 1, 2) + struct.pack(">ii", 1, 1)

    partitions = struct.pack(">i", 3) + partition(0, 0, 2) + partition(0, 1, 1) + partition(5, 2, -1)
    answer = struct.pack(">ii", 7, 2) + broker(1, 9092) + broker(2, 9093) + struct.pack(">i", 1)
    answer += struct.pack(">ih", 1, 0) + string(b"t") + b"\0" + partitions
    assert parse_metadata(answer) == ({1: "127.0.0.1:9092", 2: "127.0.0.1:9093"}, {0: 2, 1: 1})


def test_gaps_are_of_the_partition_that_waited_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(stalls.time, "perf_counter", lambda: now[0])
    gaps = Gaps(2)
    gaps.seen(0)
    assert not gaps.flows
    gaps.seen(1)
    assert gaps.flows
    now[0] = 105.0
    gaps.start()  # what was before does not count
    for now[0] in (105.5, 106.0, 106.5, 107.0):
        gaps.seen(0)
    assert gaps.longest == 0.5
    now[0] = 108.0
    gaps.end()  # partition 1 has not come since the start
    assert gaps.longest == 3.0
