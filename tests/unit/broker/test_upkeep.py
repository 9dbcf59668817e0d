"""What the topics' settings mean to the maintenance jobs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from moldau.broker.options import Options
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow
DAY = 24 * 3600 * 1000


@pytest.fixture
def broker(tmp_path: Path) -> BrokerThread:
    options = Options()
    options.retention_check_ms = 500
    return BrokerThread(options, data=tmp_path / "data")


def test_settings_reach_the_jobs(broker: BrokerThread) -> None:
    configs = {
        "plain": {},
        "forever": {"retention.ms": "-1"},
        "small": {"segment.bytes": "1048576", "segment.ms": "60000", "file.delete.delay.ms": "90000"},
        "short": {"retention.ms": "800"},
    }
    with broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        made = admin.create_topics([NewTopic(name, 1, 1, config=config) for name, config in configs.items()])
        for future in made.values():
            future.result(10)
        upkeep, catalog = broker.lifecycle.node.upkeep, broker.lifecycle.node.broker.catalog
        rules = {name: upkeep.build_rule(catalog.by_name[name]) for name in configs}
        assert {name: rule.roll_ms for name, rule in rules.items()} == {
            "plain": 7 * DAY // 8,
            "forever": 7 * DAY,
            "small": 60_000,
            "short": 1000,
        }
        assert {name: rule.segment_bytes for name, rule in rules.items()} == {
            "plain": 8 << 20,
            "forever": 8 << 20,
            "small": 1 << 20,
            "short": 8 << 20,
        }
        assert upkeep.delete_delay_ms() == 90_000
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for name in configs:
            producer.produce(name, b"x")
        assert producer.flush(10) == 0
        # log.retention.check.interval.ms is half a second here: what is old goes, and nothing else
        views = broker.lifecycle.node.broker.views
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            starts = {name: views.get(catalog.by_name[name].partition_ids[0]).log_start_offset for name in configs}  # type: ignore[union-attr]
            if starts["short"]:
                break
            time.sleep(0.1)
        assert starts == {"plain": 0, "forever": 0, "small": 0, "short": 1}


def test_a_clean_stop_leaves_snapshots(tmp_path: Path) -> None:
    with BrokerThread(data=tmp_path / "data") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result(10)
        producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 0, "batch.num.messages": 1})
        for number in range(40):
            producer.produce("t", b"%2000d" % number)
            producer.flush(10)
    with BrokerThread(data=tmp_path / "data") as broker:
        node = broker.lifecycle.node
        partition_id = node.broker.catalog.by_name["t"].partition_ids[0]

        async def load() -> tuple[int, int]:
            state = await node.broker.log_store.load_partition(partition_id)
            assert state is not None
            return state.snapshot_offset, len(state.extents)

        assert asyncio.run_coroutine_threadsafe(load(), broker._loop).result(10) == (40, 0)
