"""Kill -9 at every fault point of the whole broker, and at random moments: nothing that was acknowledged is lost, nothing comes twice.

The broker is a process with one point armed (`MOLDAU_FAULTS=name=kill:N`) and small thresholds (`support.small_broker`); it dies there under
a load of everything that is stored. Then it starts again without the fault: every acknowledged record is at its offset, producers that
send again what was not answered write nothing twice, committed offsets and topics are as acknowledged, and `moldau inspect` finds nothing.
"""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from support import small_broker
from support.talker import Gone
from support.workload import LARGE, SMALL, Workload, deep_look

from moldau import faults
from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

KILLED = -9
BEFORE_SERVING = {
    "blobs.local.create",
    "blobs.local.created",
    "blobs.local.sync_folder",
    "metadata.sqlite.begin",
    "metadata.sqlite.commit",
    "metadata.sqlite.committed",
    "metadata.sqlite.migrate",
    "metadata.sqlite.prime",
    "server.data_dir.format",
    "server.data_dir.formatted",
    "server.data_dir.lock",
}
"""Passed while a broker starts on an empty directory."""
WHILE_SERVING = {
    "blobs.local.create": 3,
    "blobs.local.created": 3,
    "blobs.local.cut": 2,
    "blobs.local.delete": 2,
    "blobs.local.grow": 2,
    "blobs.local.seal": 2,
    "blobs.local.spare": 2,
    "blobs.local.sync": 9,
    "blobs.local.sync_folder": 3,
    "blobs.local.synced": 9,
    "blobs.local.take": 2,
    "blobs.local.zero": 8,
    "blobs.local.put": 2,
    "blobs.local.put_synced": 2,
    "blobs.local.put_written": 2,
    "blobs.local.write": 12,
    "blobs.local.written": 12,
    "log.build.put": 2,
    "log.build.stored": 2,
    "log.build.swapped": 2,
    "log.collect.delete": 2,
    "log.collect.forget": 2,
    "log.collect.purge": 2,
    "log.retention.delete": 2,
    "log.retention.deleted": 2,
    "log.retention.start": 2,
    "log.snapshot.write": 2,
    "metadata.sqlite.begin": 60,
    "metadata.sqlite.checkpoint": 3,
    "metadata.sqlite.checkpointed": 3,
    "metadata.sqlite.commit": 60,
    "metadata.sqlite.committed": 60,
}
"""Passed under load: at which pass the broker dies."""
OF_GARBAGE = {
    "blobs.local.delete",
    "blobs.local.spare",
    "blobs.local.take",
    "log.collect.delete",
    "log.collect.forget",
    "log.retention.delete",
    "log.retention.deleted",
    "log.retention.start",
}
AT_THE_END = {"metadata.sqlite.close", "blobs.local.seal", "blobs.local.cut", "server.at_rest.write"}
"""Passed when a broker is told to stop."""
AFTER_A_STOP = {"server.at_rest.remove"}
"""Passed while a broker starts on what one left that was told to stop."""
ELSEWHERE = {
    "log.collect.orphan",  # passed only when a broker was killed before and an hour later: tests/unit/log
    "metadata.sqlite.copy",  # these by `moldau backup` and `moldau restore`: tests/e2e/test_backup.py
    "server.backup.blob",
    "server.backup.manifest",
    "server.backup.named",
    "server.backup.replay",
    "server.restore.file",
    "server.restore.forward",
    *(
        name for name in faults.POINTS if name.startswith("server.migrate.")
    ),  # by `moldau migrate`: tests/e2e/test_migrate.py
    *(
        name for name in faults.POINTS if name.startswith("log.clean.")
    ),  # by a compacted topic: tests/e2e/test_compaction.py
    "transactions.change",  # these by producers with transactions: tests/e2e/test_transaction_kills.py
    "transactions.changed",
    "log.append.commit",  # these by brokers that share their stores: tests/unit/log/test_shared_appender.py
    "log.append.committed",
    "log.upload.put",
    "log.upload.stored",
    "metadata.postgres.append_locked",
    "metadata.postgres.append",  # not of an embedded broker: tests/contract/test_postgres_lost_replies.py, tests/unit/test_faults.py
    "metadata.postgres.begin",
    "metadata.postgres.commit",
    "metadata.postgres.committed",
    "metadata.postgres.group",
    "metadata.postgres.share",
    "share.letters",
    "share.letters_written",
    "share.claimed",  # these by share groups: tests/e2e/test_share_groups.py
    "share.write",
    "share.written",
}


def broker_in(folder: Path, fault: str = "") -> BrokerProcess:
    return BrokerProcess(
        folder / "data",
        "log.retention.check.interval.ms=1",
        "moldau.tail.cache.bytes=1048576",
        "moldau.segment.build.age.ms=0",
        "moldau.segment.min.bytes=200000",
        "moldau.segment.max.bytes=400000",
        "moldau.inline.max.bytes=1024",
        env={"MOLDAU_FAULTS": fault, "PYTHONDONTWRITEBYTECODE": ""},
        program=[small_broker.__file__],
    )


def look_after(folder: Path, load: Workload) -> None:
    """Start without the fault; everything promised is there, goes on, and is whole."""
    broker = broker_in(folder).start()
    try:
        load.prepare(broker.bootstrap)
        load.check(broker.bootstrap)
        load.again(broker.bootstrap)
        load.check(broker.bootstrap)
    finally:
        broker.stop()
    deep_look(folder / "data")


@pytest.mark.parametrize("point", sorted(BEFORE_SERVING))
def test_killed_while_it_starts(tmp_path: Path, point: str) -> None:
    broker = broker_in(tmp_path, f"{point}=kill")
    with pytest.raises(RuntimeError, match="did not start"):
        broker.start()
    look_after(tmp_path, Workload())


@pytest.mark.parametrize("point", sorted(WHILE_SERVING))
def test_killed_while_it_serves(tmp_path: Path, point: str) -> None:
    # blobs are deleted when all that is in them is gone: what is large then goes to a topic that keeps nothing
    load = Workload(large_topic="short", acks=(-1, -1, 1)) if point in OF_GARBAGE else Workload()
    broker = broker_in(tmp_path, f"{point}=kill:{WHILE_SERVING[point]}").start()
    load.prepare(broker.bootstrap)
    deadline = time.monotonic() + 20
    load.work(broker.bootstrap, 1 << 30, lambda: time.monotonic() > deadline)
    if time.monotonic() >= deadline:
        broker.kill()
        pytest.fail(f"{point} was not passed")
    assert broker.wait() == KILLED
    assert any(writer.acknowledged for writer in load.writers)
    look_after(tmp_path, load)


@pytest.mark.parametrize("point", sorted(AT_THE_END))
def test_killed_while_it_stops(tmp_path: Path, point: str) -> None:
    load = Workload(sizes=(SMALL, SMALL))
    broker = broker_in(tmp_path, f"{point}=kill").start()
    load.prepare(broker.bootstrap)
    load.work(broker.bootstrap, 5)
    broker.terminate()
    assert broker.wait() == KILLED
    look_after(tmp_path, load)


@pytest.mark.parametrize("point", sorted(AFTER_A_STOP))
def test_killed_while_it_starts_again(tmp_path: Path, point: str) -> None:
    load = Workload(sizes=(SMALL, LARGE))
    broker = broker_in(tmp_path).start()
    load.prepare(broker.bootstrap)
    load.work(broker.bootstrap, 5)
    broker.stop()
    with pytest.raises(RuntimeError, match="did not start"):
        broker_in(tmp_path, f"{point}=kill").start()
    look_after(tmp_path, load)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_some_moment(tmp_path: Path, seed: int) -> None:
    """Several times in a row, in one directory."""
    rng = random.Random(seed)
    load = Workload(sizes=rng.choice([(SMALL, LARGE), (SMALL, SMALL), (LARGE, LARGE)]))
    for _ in range(3):
        broker = broker_in(tmp_path).start()
        load.prepare(broker.bootstrap)
        for writer in load.writers:
            writer.give_up()
        timer = threading.Timer(rng.uniform(0.01, 0.4), broker.kill)
        timer.start()
        load.work(broker.bootstrap, 1 << 30)
        timer.join()
    look_after(tmp_path, load)


def test_no_point_is_left_out() -> None:
    assert BEFORE_SERVING | set(WHILE_SERVING) | AT_THE_END | AFTER_A_STOP | ELSEWHERE == set(faults.POINTS)


def test_a_workload_that_is_not_answered_says_so(tmp_path: Path) -> None:
    load = Workload()
    with pytest.raises(Gone):
        load.prepare("127.0.0.1:1")
