"""`moldau inspect` finds what was damaged, and nothing where nothing was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_round_trip import create, produce

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
