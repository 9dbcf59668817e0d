"""`moldau inspect` finds what was damaged, and nothing where nothing was."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_round_trip import create, produce

from moldau.broker.options import Options
from moldau.cli.main import root
from moldau.testing import BrokerThread

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with records in both kinds of places."""
    folder = tmp_path / "data"
    with BrokerThread(data=folder) as broker:
        create(broker.bootstrap, "t", 2)
        produce(broker.bootstrap, "t", [b"small %d" % index for index in range(50)])
        produce(broker.bootstrap, "t", [b"large %d" % index + b"z" * 200_000 for index in range(10)])
    return folder


@pytest.fixture
def segments(tmp_path: Path) -> Path:
    """A data directory whose small extents of one partition, with idempotent batches, are segments; with snapshots."""
    folder = tmp_path / "data"
    options = Options()
    options.segment_build_age_ms, options.segment_min_bytes, options.segment_max_bytes = 0, 150_000, 200_000
    with BrokerThread(options, data=folder) as broker:
        create(broker.bootstrap, "t", 1)
        producer = {"enable.idempotence": True, "linger.ms": 0, "batch.num.messages": 1}
        for _ in range(3):
            produce(broker.bootstrap, "t", [b"v" * 1000] * 500, **producer)
        deadline = time.monotonic() + 20
        while not rows(folder, "SELECT 1 FROM extent WHERE kind = 2") and time.monotonic() < deadline:
            time.sleep(0.1)
    return folder


def rows(data: Path, sql: str) -> list[tuple[int, ...]]:
    """Of the metadata; what changes them is committed."""
    connection = sqlite3.connect(data / "metadata.sqlite")
    try:
        with connection:
            return connection.execute(sql).fetchall()
    finally:
        connection.close()


def inspect(data: Path, *flags: str) -> tuple[int, dict[str, object]]:
    result = CliRunner().invoke(root, ["inspect", "--data", str(data), "--format", "json", *flags])
    return result.exit_code, json.loads(result.stdout)


def test_a_whole_directory(data: Path) -> None:
    code, report = inspect(data)
    assert (code, report["problems"]) == (0, [])
    assert report["partitions"] == 2
    assert int(str(report["bytes"])) > 2_000_000


def test_a_flipped_bit_is_found(data: Path) -> None:
    blob = max((data / "blobs").glob("*.blob"), key=lambda file: file.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[len(content) // 2] ^= 4
    blob.write_bytes(content)
    code, report = inspect(data)
    assert code == 1
    assert "wrong checksum" in str(report["problems"])


def test_a_torn_file_is_found(data: Path) -> None:
    blob = max((data / "blobs").glob("*.blob"), key=lambda file: file.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1000])
    code, report = inspect(data, "--quick")
    assert code == 1
    assert "extents name" in str(report["problems"])


def test_a_directory_in_use_is_left_alone(tmp_path: Path) -> None:
    with BrokerThread(data=tmp_path / "data"):
        result = CliRunner().invoke(root, ["inspect", "--data", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert "in use" in result.stderr


def test_whole_segments_and_snapshots(segments: Path) -> None:
    assert rows(segments, "SELECT count(*) FROM view_snapshot") == [(1,)]
    code, report = inspect(segments)
    assert (code, report["problems"]) == (0, [])


def test_a_damaged_index_is_found(segments: Path) -> None:
    ((blob_id, position),) = rows(segments, "SELECT blob_id, position FROM extent WHERE kind = 2 LIMIT 1")
    blob = segments / "blobs" / f"{blob_id:016x}.blob"
    content = bytearray(blob.read_bytes())
    content[position - 3] ^= 1
    blob.write_bytes(content)
    code, report = inspect(segments)
    assert code == 1
    assert "checksum of header and index is wrong" in str(report["problems"])


def test_a_snapshot_that_lies_is_found(segments: Path) -> None:
    ((packed,),) = rows(segments, "SELECT packed FROM view_snapshot")
    assert len(bytes(packed)) > 100  # type: ignore[call-overload]
    rows(segments, "UPDATE view_snapshot SET packed = zeroblob(13)")
    _, report = inspect(segments)
    assert "a snapshot of version 0" in str(report["problems"])
    rows(segments, "UPDATE view_snapshot SET packed = x'01000000000000000000000000'")
    _, report = inspect(segments)
    assert "is missing" in str(report["problems"])


def test_a_wrong_count_and_an_orphan_are_found(segments: Path) -> None:
    rows(
        segments, "UPDATE blob SET live = live + 1 WHERE blob_id = (SELECT blob_id FROM extent WHERE kind = 2 LIMIT 1)"
    )
    (segments / "blobs" / "00000000000000ff.blob").write_bytes(b"left over")
    code, report = inspect(segments, "--quick")
    assert code == 1
    assert "is counted with 2 extents, 1 name it" in str(report["problems"])
    assert "orphan" in str(report["notes"])
