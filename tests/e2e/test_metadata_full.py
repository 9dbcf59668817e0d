"""PostgreSQL whose disk is full: writes wait and are then refused with an error that clients try again, memory stays bounded, and all goes on once there is room.

Where root may mount one, the tables are on a real small file system. Elsewhere a trigger answers as PostgreSQL does then.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from support.direct import Direct
from support.load import Load, read
from support.talker import Talker, batch_of

from moldau.protocol import api_keys, error_codes
from moldau.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MEBIBYTES = 40
FLOOD_CONNECTIONS, FLOOD_REQUESTS, BATCH_BYTES = 30, 6, 900_000
"""162 MB, of which the broker may take 32 (`queued.max.request.bytes`); the rest stays in the sockets."""
GROWS_MOST = 110 << 20
"""What waits, with the copies of its requests and batches that are under way."""
RETRIES_SECONDS = 10
RETRIABLE = {error_codes.KAFKA_STORAGE_ERROR, error_codes.REQUEST_TIMED_OUT, error_codes.NOT_ENOUGH_REPLICAS}

TRIGGER = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON extent EXECUTE FUNCTION full_disk();
"""


class SmallDisk(Direct):
    """One broker; `fill` leaves its tables no room, `make_room` mends that."""

    def __init__(self, *, mounts: bool) -> None:
        super().__init__(1)
        self._mounts = mounts
        self._disk: Path

    def _open_postgres(self) -> None:
        super()._open_postgres()
        self._disk = self.postgres.folder / "disk"
        if self._mounts:
            self._disk.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "moldau-test", str(self._disk)]
            subprocess.run(command, check=True)
            shutil.chown(self._disk, *(self.postgres._user[name] for name in ("user", "group")))
            self.postgres.sql(f"CREATE TABLESPACE small LOCATION '{self._disk}'")
            self.postgres.sql(f"ALTER DATABASE {self._database} SET TABLESPACE small")

    def _shut(self) -> None:
        super()._shut()
        if self._mounts:
            subprocess.run(["umount", "--lazy", str(self._disk)], check=True)

    def fill(self) -> None:
        if not self._mounts:
            self.postgres.sql(TRIGGER, self._database)
            return
        with (self._disk / "ballast").open("wb") as ballast:
            try:
                while ballast.write(bytes(65536)):
                    ballast.flush()
            except OSError:
                pass  # it is full

    def make_room(self) -> None:
        if self._mounts:
            (self._disk / "ballast").unlink()
        else:
            self.postgres.sql("DROP FUNCTION full_disk CASCADE", self._database)

    @property
    def memory(self) -> int:
        """Bytes of the broker."""
        pages = int(Path(f"/proc/{self.nodes[1].pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")


def may_mount(folder: Path) -> bool:
    if os.geteuid():
        return False
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "moldau-test", str(folder)], capture_output=True).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


class Flood:
    """Connections that send much more than a broker may hold; `errors` are of what was answered, `answers` counts it."""

    def __init__(self, bootstrap: str) -> None:
        data = PartitionProduceData(index=0, records=batch_of([os.urandom(BATCH_BYTES)]))
        topics = [TopicProduceData(name="flood", partition_data=[data])]
        self._request = ProduceRequest(acks=-1, timeout_ms=60_000, topic_data=topics)
        self._bootstrap = bootstrap
        self.errors: set[int] = set()
        self.answers = 0
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(FLOOD_CONNECTIONS)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        with Talker(self._bootstrap, 60.0) as wire:
            for _ in range(FLOOD_REQUESTS):
                wire.post(api_keys.PRODUCE, 9, self._request)
            wire._correlation_id = 0
            for _ in range(FLOOD_REQUESTS):
                wire._correlation_id += 1
                answer = wire.take(api_keys.PRODUCE, 9).responses[0].partition_responses[0]
                self.errors.add(answer.error_code)
                self.answers += 1

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(30)
        assert self.answers == FLOOD_CONNECTIONS * FLOOD_REQUESTS


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(mounts=may_mount(tmp_path / "try")) as cluster:
        yield cluster


def test_tables_that_cannot_grow(cluster: SmallDisk) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for future in admin.create_topics([NewTopic("t", 2), NewTopic("flood", 1)]).values():
        future.result(10)
    with Load(cluster.bootstrap, "t", 2, pause=0.01) as load, Talker(cluster.bootstrap) as wire:
        load.grow(20)
        cluster.fill()
        before = cluster.memory
        flood = Flood(cluster.bootstrap)
        watch = Watch(cluster)
        while not _refused(wire):
            pass
        most = watch.stop() - before
        print(f"grew by {most >> 20} MiB")
        cluster.make_room()
        load.grow(20)
        flood.wait()
        load.stop()
        assert wire.produce("t", 0, batch_of([b"-1"])).error_code == 0
    assert most < GROWS_MOST, f"{most >> 20} MiB"
    assert flood.errors <= {0, *RETRIABLE}
    values = [int(each) for each in read(cluster.bootstrap, "t", load.acknowledged)[1]]
    assert values == list(range(load.sent)), "what was acknowledged is there once, and in order"


class Watch:
    """The most memory that the broker had."""

    def __init__(self, cluster: SmallDisk) -> None:
        self._cluster = cluster
        self._most = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.wait(0.02):
            self._most = max(self._most, self._cluster.memory)

    def stop(self) -> int:
        self._ends.set()
        self._thread.join(5)
        return self._most


def _refused(wire: Talker) -> bool:
    """Whether a record is refused. It may be taken as long as there is room in the pages that the tables have."""
    began = time.monotonic()
    code = wire.produce("t", 0, batch_of([b"-1"])).error_code
    assert time.monotonic() - began < RETRIES_SECONDS + 3
    assert code in (0, *RETRIABLE)
    return code != 0
