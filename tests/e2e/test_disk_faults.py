"""A disk that fails or fills up while the broker serves: writes get the right error, reads go on, and all is well again by itself.

Every fault point that is passed while serving answers EIO, then ENOSPC, under a load of everything that is stored. Where root may mount one,
the same is done with a real small file system.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import small_broker
from support.talker import Talker
from support.workload import Refused, Workload, deep_look
from test_kill_points import OF_GARBAGE, WHILE_SERVING

from moldau import faults
from moldau.protocol import error_codes
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

REFUSALS = {
    "Produce": {error_codes.KAFKA_STORAGE_ERROR},
    "OffsetCommit": {error_codes.COORDINATOR_NOT_AVAILABLE},
    "CreateTopics": {error_codes.KAFKA_STORAGE_ERROR},
    "DeleteTopics": {error_codes.KAFKA_STORAGE_ERROR},
    "InitProducerId": {error_codes.COORDINATOR_NOT_AVAILABLE},
}
"""What is answered when the stores cannot write."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_broker.shrink(monkeypatch.setattr)
    yield
    faults.arm("")
    faults.record(None)


def try_all(load: Workload, wire: Talker, rounds: int) -> dict[str, set[int]]:
    """Everybody sends; which errors came, by request."""
    refused: dict[str, set[int]] = {}
    for _ in range(rounds):
        for send in load.steps():
            try:
                send(wire)
            except Refused as error:
                refused.setdefault(error.request, set()).add(error.error_code)
        for writer in load.writers:
            writer.give_up()
    return refused


def wait_until_well(load: Workload, wire: Talker, seconds: float = 10) -> None:
    """Nobody does anything but send again."""
    deadline = time.monotonic() + seconds
    while refused := try_all(load, wire, 2):
        assert time.monotonic() < deadline, f"still refused: {refused}"
        time.sleep(0.05)


@pytest.mark.parametrize("action", ["fail", "full"])
@pytest.mark.parametrize("point", sorted(WHILE_SERVING))
def test_a_fault_while_serving(tmp_path: Path, point: str, action: str) -> None:
    load = Workload(large_topic="short", acks=(-1, -1, 1)) if point in OF_GARBAGE else Workload()
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker, Talker(broker.bootstrap) as wire:
        load.prepare(broker.bootstrap)
        assert try_all(load, wire, 2) == {}
        seen: set[str] = set()
        faults.record(seen)
        faults.arm(f"{point}={action}")
        refused: dict[str, set[int]] = {}
        deadline = time.monotonic() + 10
        while point not in seen or not refused:
            for request, codes in try_all(load, wire, 2).items():
                refused.setdefault(request, set()).update(codes)
            if point not in READS_WAIT:
                # what was written can be read all the time
                load.check(broker.bootstrap, offsets=point not in OFFSETS_WAIT)
            if point in seen and point in WITHOUT_REFUSAL:
                break
            assert time.monotonic() < deadline, f"passed: {point in seen}, refused: {refused}"
        for request, codes in refused.items():
            assert codes <= REFUSALS[request], f"{request}: {sorted(map(error_codes.name, codes))}"
        faults.arm("")
        wait_until_well(load, wire)
        load.check(broker.bootstrap)
    deep_look(tmp_path / "data")
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker:
        load.check(broker.bootstrap)


READS_WAIT = {"blobs.local.sync", "blobs.local.synced"}
"""Rows follow the journal only once that is synced: while no sync succeeds, a partition whose append failed cannot be loaded."""

OFFSETS_WAIT = {"metadata.sqlite.begin", "metadata.sqlite.commit", "metadata.sqlite.committed"}
"""Commits of offsets go on while no row can be written, but who reads them waits for the rows."""

WITHOUT_REFUSAL = {
    "blobs.local.grow",  # then the file grows with each write
    "blobs.local.zero",  # then syncs take a little longer
    "blobs.local.create",  # the blob in use takes more than its share
    "blobs.local.created",
    "blobs.local.sync_folder",
    "blobs.local.seal",  # sealed by the next start
    "blobs.local.cut",
    "blobs.local.delete",  # tried again
    "blobs.local.spare",  # the file is unlinked then
    "blobs.local.take",  # as for create
    "blobs.local.put",  # maintenance tries again
    "blobs.local.put_synced",
    "blobs.local.put_written",
    "log.build.put",
    "log.build.stored",
    "log.build.swapped",
    "log.collect.delete",
    "log.collect.forget",
    "log.collect.purge",
    "log.retention.delete",
    "log.retention.deleted",
    "log.retention.start",
    "log.snapshot.write",
    "metadata.sqlite.checkpoint",  # the log grows meanwhile
    "metadata.sqlite.checkpointed",
}
"""Points where a fault is nobody's business but the broker's."""


def test_every_point_while_serving_is_here() -> None:
    assert set(WHILE_SERVING) >= WITHOUT_REFUSAL


def mounted(folder: Path, megabytes: int) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "moldau-test", str(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    if not mounted(disk, 64):
        pytest.skip("only root may mount a file system; ENOSPC at the fault points is tested all the same")
    try:
        fill(disk)
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> None:
    """Until writes are refused, then make room."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(20 << 20))
    load = Workload()
    with BrokerThread(small_broker.options(), disk / "data") as broker, Talker(broker.bootstrap) as wire:
        load.prepare(broker.bootstrap)
        refused: dict[str, set[int]] = {}
        deadline = time.monotonic() + 30
        # the write-ahead blob has no room; offsets may still find some in what SQLite has grown ahead
        while "Produce" not in refused:
            for request, codes in try_all(load, wire, 1).items():
                refused.setdefault(request, set()).update(codes)
            assert time.monotonic() < deadline, f"never full: {refused}"
        for request, codes in refused.items():
            assert codes <= REFUSALS[request], f"{request}: {sorted(map(error_codes.name, codes))}"
        load.check(broker.bootstrap)
        ballast.unlink()
        wait_until_well(load, wire)
        load.check(broker.bootstrap)
    deep_look(disk / "data")
