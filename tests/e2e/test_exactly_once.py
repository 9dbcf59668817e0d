"""`examples/delays.py` over real flights, killed again and again at any point (kill -9): its table is what a count of the file gives."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from support.flights import flights
from test_flights import send
from test_round_trip import create

from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "examples" / "delays.py"
ROWS, KILLS = 120_000, 5


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    spec = importlib.util.spec_from_file_location("delays", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ended(bootstrap: str, *, committed: bool) -> int:
    """Records of the table that a reader gets."""
    level = "read_committed" if committed else "read_uncommitted"
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "t", "isolation.level": level, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition("delays", 0, 0)])
    count = 0
    try:
        while (message := consumer.poll(10)) is not None:
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                return count
            count += 1
    finally:
        consumer.close()
    raise AssertionError("no end came")


def test_killed_at_random_every_flight_counts_once(moldau_broker_process: BrokerProcess, example: ModuleType) -> None:
    rows = flights()[:ROWS]
    bootstrap = moldau_broker_process.bootstrap
    create(bootstrap, "flights", 6)
    assert send(bootstrap, rows, []) == ROWS
    rng = random.Random()
    command = [sys.executable, str(PROGRAM), bootstrap]
    killed = 0
    while killed < KILLS:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                process.wait(rng.uniform(0.5, 1.5))
                break  # it came to the end before
            except subprocess.TimeoutExpired:
                process.kill()
                killed += 1
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    expected: dict[str, tuple[int, int]] = {}
    example.add(expected, [line for _, line in rows])
    assert example.table(bootstrap) == expected
    assert sum(arrived for arrived, _ in expected.values()) > ROWS * 0.9
    assert len(done.stdout.splitlines()) == len(expected) + 1
    assert killed, "nothing was tested"
    assert ended(bootstrap, committed=False) >= ended(bootstrap, committed=True) >= len(expected)
