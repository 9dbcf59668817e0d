"""A cluster whose PostgreSQL was brought back to an earlier time: `moldau restore --metadata URL --blobs URL`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.postgres import Servers
from test_round_trip import consume, produce

from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def restore(*args: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "moldau", "restore", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_an_earlier_state_goes_on(tmp_path: Path, postgres_servers: Servers) -> None:
    postgres = postgres_servers[18]
    database = postgres.database()
    url, blobs = postgres.url(database), (tmp_path / "blobs")
    blobs.mkdir()
    stores = {"moldau.metadata.url": url, "moldau.blobs.url": blobs.as_uri()}
    arguments = ("--metadata", url, "--blobs", blobs.as_uri())
    kept = [b"kept %d" % n + b"x" * 200_000 for n in range(10)]
    with BrokerThread(settings=stores) as broker:
        produce(broker.bootstrap, "t", kept)
        code, _, told = restore(*arguments)
        assert code == 1
        assert "brokers live on this store: 1. Stop all of them first." in told
    earlier = postgres.database()
    postgres.sql(f"DROP DATABASE {earlier}")
    postgres.sql(f"CREATE DATABASE {earlier} TEMPLATE {database} STRATEGY file_copy")
    with BrokerThread(settings=stores) as broker:
        produce(broker.bootstrap, "t", [b"lost" * 50_000])

    back = postgres.url(earlier)
    arguments = ("--metadata", back, "--blobs", blobs.as_uri())
    epochs = "SELECT DISTINCT leader_epoch FROM partition"
    assert postgres.sql(epochs, earlier) == "0"
    (first, *others) = sorted(blobs.glob("*.blob"))
    first.rename(tmp_path / "away")
    code, _, told = restore(*arguments, "--check")
    assert code == 1
    assert f"are not in the blob store, or too short: {first.stem}" in told
    assert postgres.sql(epochs, earlier) == "0"
    (tmp_path / "away").rename(first)
    assert restore(*arguments, "--check")[0] == 0
    assert postgres.sql(epochs, earlier) == "0"
    code, out, told = restore(*arguments)
    assert code == 0, told
    assert "partitions" in out
    assert int(postgres.sql(epochs, earlier)) > 0
    with BrokerThread(settings={**stores, "moldau.metadata.url": back}) as broker:
        produce(broker.bootstrap, "t", [b"after" * 50_000])
        assert consume(broker.bootstrap, "t", 1, 11) == [*kept, b"after" * 50_000]
    # nothing was written over what the lost time had written
    assert set(others) <= set(blobs.glob("*.blob"))


def test_what_is_refused(postgres_servers: Servers, tmp_path: Path) -> None:
    postgres = postgres_servers[18]
    url = postgres.url(postgres.database())
    (tmp_path / "blobs").mkdir()
    blobs = (tmp_path / "blobs").as_uri()
    assert restore()[2].startswith("error: say what to restore: SRC, or --metadata URL and --blobs URL.")
    assert restore("--metadata", url)[0] == 2
    assert restore(str(tmp_path), "--metadata", url, "--blobs", blobs)[0] == 2
    assert "knows no topic: is it the right database?" in restore("--metadata", url, "--blobs", blobs)[2]
    assert "is no store that brokers can share" in restore("--metadata", "mysql://x", "--blobs", blobs)[2]
