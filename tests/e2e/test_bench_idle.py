"""The benchmark's idle consumers leave no fetch session behind, however they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from bench.programs import IdleConsumers, LoadError
from moldau.broker.options import Options
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow
SLOTS = 10


def consumers(broker: BrokerThread, connections: int, seconds: float) -> IdleConsumers:
    return IdleConsumers(broker.bootstrap, "t", connections=connections, partitions=2 * SLOTS, seconds=seconds)


def test_sessions_end_with_the_consumers(tmp_path: Path) -> None:
    options = Options()
    options.fetch_session_slots = SLOTS
    with BrokerThread(options, data=tmp_path / "data") as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        admin.create_topics([NewTopic("t", 2 * SLOTS, 1)])["t"].result(10)
        sessions = broker.lifecycle.node.broker.fetch_sessions.by_id
        with consumers(broker, SLOTS, 0.6) as whole:
            assert len(sessions) == SLOTS
            found = whole.result()
            assert not sessions
        assert found["requests"] >= SLOTS
        with consumers(broker, SLOTS, 60):  # ended before its time
            assert len(sessions) == SLOTS
        assert not sessions
        with pytest.raises(LoadError, match="no fetch session"), consumers(broker, SLOTS + 1, 60):
            pass
