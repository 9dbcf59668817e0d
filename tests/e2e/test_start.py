"""What a start costs: the figures that README.md and docs/testing.md name, with room for a busy machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from moldau.testing import BrokerProcess, BrokerThread

pytestmark = pytest.mark.slow

NOT_FOR_SERVING = {
    "confluent_kafka",
    "ctypes",
    "h11",
    "http",
    "prometheus_client",
    "rich",
    "secrets",
    "shutil",
    "tempfile",
}
"""What a broker that nobody asks for anything has no use for."""

SERVE = """
import os, signal, sys
import moldau.cli.serve as serve
from moldau.cli.main import root

def ready(lifecycle):
    print(*sorted({name.partition(".")[0] for name in sys.modules}))
    os.kill(os.getpid(), signal.SIGTERM)

serve.banner = ready
root(["serve", "--data", sys.argv[1], "--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "moldau.http.listener=127.0.0.1:0"])
"""


def quickest(start: Callable[[], BrokerThread | BrokerProcess], times: int = 5) -> float:
    """Seconds of the quickest of a few starts: the others had to wait for the machine."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        broker = start()
        best = min(best, time.perf_counter() - began)
        broker.stop()
    return best


def test_a_thread_starts_in_less_than_a_tenth_of_a_second() -> None:
    assert quickest(lambda: BrokerThread(settings={}).start()) < 0.1  # 0.01 on a quiet machine


def test_a_process_starts_in_less_than_six_tenths() -> None:
    assert quickest(lambda: BrokerProcess().start()) < 0.6  # 0.12 on a quiet machine


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_broker_begins_with_less_than_40_mb(moldau_broker_process: BrokerProcess) -> None:
    status = Path(f"/proc/{moldau_broker_process.pid}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 40_000  # KiB; 31,000 with CPython 3.11


def test_a_broker_imports_what_it_serves_with(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "data")], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "uvloop" in loaded
    assert "moldau" in loaded
    assert loaded & NOT_FOR_SERVING == set()
