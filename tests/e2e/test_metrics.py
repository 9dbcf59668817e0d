"""/metrics, /healthz and /readyz of a broker that works."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families
from support.wire import Wire, request
from test_round_trip import consume, create, produce

from moldau import faults
from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.create_partitions import CreatePartitionsTopic
from moldau.server.scrape import METRICS
from moldau.server.scrape_blobs import SHARED_METRICS
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow

DOC = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


@pytest.fixture
def moldau_settings() -> dict[str, str]:
    return {"moldau.http.listener": "127.0.0.1:0", "group.initial.rebalance.delay.ms": "0"}


@pytest.fixture(autouse=True)
def no_faults() -> Iterator[None]:
    yield
    faults.arm("")


def get(broker: BrokerThread, path: str, method: str = "GET") -> tuple[int, str]:
    address = broker.lifecycle.http_address
    assert address is not None
    link = http.client.HTTPConnection(*address, timeout=10)
    try:
        link.request(method, path)
        answer = link.getresponse()
        return answer.status, answer.read().decode()
    finally:
        link.close()


def scrape(broker: BrokerThread) -> dict[str, list[Any]]:
    """Samples by name, as Prometheus' own parser reads them."""
    status, text = get(broker, "/metrics")
    assert status == 200
    found: dict[str, list[Any]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(found: dict[str, list[Any]], name: str, **labels: str) -> float:
    matching = [each.value for each in found[name] if labels.items() <= each.labels.items()]
    assert len(matching) == 1, f"{name} {labels}: {found.get(name)}"
    return float(matching[0])


def test_what_a_broker_did_is_counted(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    create(bootstrap, "t", 1)
    produce(bootstrap, "t", [b"x" * 100] * 500)
    produce(bootstrap, "t", [b"y" * 900_000])
    assert len(consume(bootstrap, "t", 1, 501)) == 501
    with Wire(bootstrap) as wire:
        wire.ask(request(api_keys.HEARTBEAT, group_id="nobody", member_id="m"), 4)
        wire.ask(request(api_keys.DELETE_GROUPS, groups_names=["nobody"]), 2)
        found = scrape(moldau_broker)
    assert value(found, "moldau_records_in_total") == 501
    assert value(found, "moldau_records_out_total") >= 501
    assert value(found, "moldau_bytes_in_total") > 950_000
    assert value(found, "moldau_bytes_out_total") > 950_000
    assert value(found, "moldau_log_end_offset", topic="t", partition="0") == 501
    assert value(found, "moldau_log_start_offset", topic="t", partition="0") == 0
    assert value(found, "moldau_log_bytes", topic="t", partition="0") == value(found, "moldau_bytes_in_total")
    assert value(found, "moldau_request_seconds_count", api="Produce") >= 2
    assert value(found, "moldau_request_errors_total", api="Heartbeat", error="UNKNOWN_MEMBER_ID") == 1
    assert value(found, "moldau_request_errors_total", api="DeleteGroups", error="GROUP_ID_NOT_FOUND") == 1
    assert value(found, "moldau_commit_seconds_count") > 2
    assert value(found, "moldau_connections", listener="PLAINTEXT") >= 1
    assert value(found, "moldau_connections_accepted_total") >= 3
    assert value(found, "moldau_tail_cache_bytes") > 900_000
    assert value(found, "moldau_tail_cache_reads_total", result="hit") > 0
    assert value(found, "moldau_info", node_id="1") == 1
    assert value(found, "moldau_topics") == 1
    assert value(found, "moldau_memory_peak_bytes") > 1 << 20
    buckets = [each.value for each in found["moldau_commit_seconds_bucket"]]
    assert buckets == sorted(buckets)
    assert buckets[-1] == value(found, "moldau_commit_seconds_count")


@pytest.mark.parametrize("keeps", [True, False])
def test_syncs_are_counted_where_data_are_kept(tmp_path: Path, keeps: bool) -> None:
    settings = {"moldau.http.listener": "127.0.0.1:0", "moldau.inline.max.bytes": "0"}
    with BrokerThread(data=tmp_path / "data" if keeps else None, settings=settings) as broker:
        create(broker.bootstrap, "t", 1)
        produce(broker.bootstrap, "t", [b"x"])
        found = scrape(broker)
        for store in ("metadata", "blobs"):
            assert (value(found, "moldau_sync_seconds_count", store=store) > 0) == keeps, store
        assert value(found, "moldau_flushes_total") >= 1


def test_fetches_that_wait_are_counted(moldau_broker: BrokerThread) -> None:
    from moldau.protocol.messages.fetch import FetchPartition, FetchTopic

    create(moldau_broker.bootstrap, "t", 1)
    with Wire(moldau_broker.bootstrap) as wire:
        topics = [FetchTopic(topic="t", partitions=[FetchPartition(partition=0, partition_max_bytes=1000)])]
        fetch = request(api_keys.FETCH, max_wait_ms=20_000, min_bytes=1, max_bytes=1000, topics=topics)
        wire.link.sendall(wire.frame(fetch, 11))
        deadline = time.monotonic() + 10
        while value(scrape(moldau_broker), "moldau_fetches_waiting") != 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_how_far_a_group_is_behind(moldau_broker: BrokerThread) -> None:
    bootstrap = moldau_broker.bootstrap
    create(bootstrap, "t", 2)
    produce(bootstrap, "t", [b"x"] * 50, partitioner="murmur2_random")
    now = time.time()
    broker = moldau_broker.lifecycle.node.broker
    ends = {view.partition_index: view.high_watermark for view in broker.views.all()}
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "behind", "enable.auto.commit": False})
    behind = next(index for index, end in ends.items() if end > 0)
    offsets = [TopicPartition("t", index, 0 if index == behind else end) for index, end in ends.items()]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()
    time.sleep(0.3)
    found = scrape(moldau_broker)
    for index, end in ends.items():
        labels = {"group": "behind", "topic": "t", "partition": str(index)}
        assert value(found, "moldau_group_lag", **labels) == (end if index == behind else 0)
        seconds = value(found, "moldau_group_lag_seconds", **labels)
        if index == behind:
            assert 0.3 <= seconds <= time.time() - now + 5
        else:
            assert seconds == 0
    assert value(found, "moldau_groups", state="Empty") == 1


def test_every_metric_is_documented_and_shown(moldau_broker: BrokerThread) -> None:
    documented = set(re.findall(r"`(moldau_[a-z_]+)[`{]", DOC.read_text("utf-8")))
    assert documented == set(METRICS)
    shown = set(re.findall(r"^# TYPE (\S+)", get(moldau_broker, "/metrics")[1], re.MULTILINE))
    assert shown <= set(METRICS)
    only_some = {"moldau_memory_bytes", "moldau_open_files", *SHARED_METRICS}
    assert set(METRICS) - shown <= only_some, "those that only some systems tell, or that are of shared stores"
    assert not shown & set(SHARED_METRICS), "this broker shares nothing"


def test_health_and_wrong_paths(moldau_broker: BrokerThread) -> None:
    assert get(moldau_broker, "/healthz") == (200, "ok\n")
    assert get(moldau_broker, "/readyz") == (200, "ok\n")
    assert get(moldau_broker, "/readyz", "HEAD") == (200, "")
    status, text = get(moldau_broker, "/nothing")
    assert (status, "/metrics" in text) == (404, True)
    assert get(moldau_broker, "/metrics", "POST")[0] == 405


def test_a_disk_that_refuses_makes_it_unready_until_it_takes_again(moldau_broker: BrokerThread) -> None:
    create(moldau_broker.bootstrap, "t", 1)
    faults.arm("metadata.sqlite.commit=full")
    with Wire(moldau_broker.bootstrap) as wire:
        commit = request(
            api_keys.CREATE_PARTITIONS, topics=[CreatePartitionsTopic(name="t", count=2, assignments=None)]
        )
        assert [each.error_code for each in wire.ask(commit, 3).results] == [error_codes.KAFKA_STORAGE_ERROR]
    status, text = get(moldau_broker, "/readyz")
    assert status == 503
    assert "No space left on device" in text
    assert value(scrape(moldau_broker), "moldau_commit_failures_total") >= 2
    faults.arm("")
    assert get(moldau_broker, "/readyz") == (200, "ok\n")
