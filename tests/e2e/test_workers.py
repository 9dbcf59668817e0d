"""`moldau serve --workers`: several brokers on one data directory, which die, stop, and leave it to one broker alone."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from support.ports import free_ports
from support.postgres import Servers
from test_round_trip import consume, create, produce
from test_serve import FREE, QUIET, address, command, refused, serving, settled

from moldau.testing import BrokerProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
PARTITIONS = 6

T = TypeVar("T")


def children(pid: int) -> dict[int, int]:
    """Of a parent: number of a worker to its process id."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            argv = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"--worker" in argv:
            found[int(json.loads(argv[argv.index(b"--worker") + 1])["number"])] = int(child)
    return found


def worker(pid: int, number: int) -> int:
    """Its process id, once it runs."""
    deadline = time.monotonic() + 20
    while number not in (found := children(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found[number]


def ports(broker: BrokerProcess, count: int = 3) -> list[str]:
    host, _, first = broker.bootstrap.rpartition(":")
    return [f"{host}:{int(first) + n}" for n in range(count)]


class Load:
    """Keyed records by an idempotent producer in a thread, until `end`; `acknowledged` has each key's values in order."""

    def __init__(self, bootstrap: str, size: int = 100) -> None:
        self.acknowledged: dict[bytes, list[bytes]] = defaultdict(list)
        self.errors: list[KafkaError] = []
        self._over = False
        self._size = size
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 2, "log_level": 0}
        )
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.errors.append(error)
        else:
            self.acknowledged[message.key()].append(message.value())

    def _run(self) -> None:
        n = 0
        while not self._over:
            value = b"%08d" % n + b"v" * (200_000 if n % 1000 == 999 else self._size)
            try:
                self._producer.produce("t", key=b"k%d" % (n % 40), value=value, on_delivery=self._delivered)
                n += 1
            except BufferError:
                pass
            self._producer.poll(0.02 if n % 50 == 0 else 0)

    def end(self, seconds: float = 60) -> None:
        self._over = True
        self._thread.join()
        assert self._producer.flush(seconds) == 0
        assert not self.errors

    @property
    def count(self) -> int:
        return sum(map(len, list(self.acknowledged.values())))


def asked(question: Callable[[], T]) -> T:
    """Asked again while brokers come and go: these calls of the client do not do so themselves."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return question()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def end_offset(consumer: Consumer, partition: int) -> int:
    return int(asked(lambda: consumer.get_watermark_offsets(TopicPartition("t", partition), timeout=20))[1])


def read_all(bootstrap: str) -> dict[bytes, list[bytes]]:
    """Everything, by key, in the order of the partitions."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "x", "enable.auto.commit": False})
    found: dict[bytes, list[bytes]] = defaultdict(list)
    ends = {p: end_offset(consumer, p) for p in range(PARTITIONS)}
    consumer.assign([TopicPartition("t", p, 0) for p in range(PARTITIONS)])
    at = dict.fromkeys(range(PARTITIONS), 0)
    deadline = time.monotonic() + 40
    while at != ends:
        assert time.monotonic() < deadline, (at, ends)
        for message in consumer.consume(2000, 0.2):
            assert message.error() is None, message.error()
            assert message.offset() == at[message.partition()]
            at[message.partition()] += 1
            found[message.key()].append(message.value())
    consumer.close()
    return found


def await_count(load: Load, more: int) -> None:
    goal, deadline = load.count + more, time.monotonic() + 40
    while load.count < goal:
        assert time.monotonic() < deadline, f"{load.count} of {goal}"
        time.sleep(0.02)


class Group:
    """Three members, each of which begins at another port."""

    def __init__(self, bootstraps: list[str]) -> None:
        self.seen: set[tuple[int, int]] = set()
        self.members_seen: set[int] = set()
        self._joined: set[int] = set()
        self._over = False
        self._threads = [
            threading.Thread(target=self._run, args=(n, bootstrap), daemon=True)
            for n, bootstrap in enumerate(bootstraps)
        ]
        for thread in self._threads:
            thread.start()
        deadline = time.monotonic() + 30
        while len(self._joined) < len(bootstraps):
            assert time.monotonic() < deadline, self._joined
            time.sleep(0.02)

    def _run(self, number: int, bootstrap: str) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "readers",
                "auto.offset.reset": "earliest",
                "session.timeout.ms": 6000,
                "log_level": 0,
            }
        )
        consumer.subscribe(["t"], on_assign=lambda _, partitions: self._joined.add(number) if partitions else None)
        while not self._over:
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    self.seen.add((message.partition(), message.offset()))
                    self.members_seen.add(number)
        consumer.close()

    def end(self) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()


def test_workers_die_and_nothing_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    broker = BrokerProcess(data, workers=3).start()
    try:
        first, second, third = ports(broker)
        create(broker.bootstrap, "t", PARTITIONS)
        group = Group([first, second, third])
        load = Load(first)
        await_count(load, 3000)
        for number in (2, 3, 1):
            pid = worker(broker.pid, number)
            os.kill(pid, signal.SIGKILL)
            await_count(load, 3000)
            assert worker(broker.pid, number) != pid, "it was started again"
        load.end()
        deadline = time.monotonic() + 40
        while len(group.seen) < load.count:
            assert time.monotonic() < deadline, f"{len(group.seen)} of {load.count}"
            time.sleep(0.05)
        group.end()
        assert group.members_seen == {0, 1, 2}
        assert read_all(third) == load.acknowledged
    finally:
        broker.stop()
    log = data.with_suffix(".log").read_text()
    assert len(re.findall(r"event=worker_ended worker=\d pid=\d+ how='killed by SIGKILL'", log)) == 3
    assert not (data / "metadata.sqlite-wal").exists()
    assert (data / "metadata.sum").exists()
    assert not list(data.glob("turn.*"))
    said = subprocess.run(
        [sys.executable, "-m", "moldau", "inspect", "--data", str(data)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr

    alone = BrokerProcess(data).start()
    try:
        assert read_all(alone.bootstrap) == load.acknowledged
        consumer = Consumer({"bootstrap.servers": alone.bootstrap, "group.id": "readers"})
        partitions = [TopicPartition("t", p) for p in range(PARTITIONS)]
        committed = asked(lambda: consumer.committed(partitions, timeout=20))
        assert sum(each.offset for each in committed) == load.count
        consumer.close()
        more = Load(alone.bootstrap)
        await_count(more, 1000)
        alone.kill()
        alone.start()
        more.end()
    finally:
        alone.stop()

    again = BrokerProcess(data, workers=2).start()
    try:
        found = read_all(ports(again)[1])
        assert found == {key: load.acknowledged[key] + more.acknowledged[key] for key in found}
        assert sum(map(len, found.values())) == load.count + more.count
    finally:
        again.stop()


def test_all_are_killed_at_once_again_and_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    broker = BrokerProcess(data, workers=3).start()
    create(broker.bootstrap, "t", PARTITIONS)
    load = Load(broker.bootstrap)
    try:
        for _ in range(4):
            await_count(load, 1500)
            workers = children(broker.pid)
            broker.kill()
            deadline = time.monotonic() + 5
            while any(Path(f"/proc/{pid}").exists() for pid in workers.values()):
                assert time.monotonic() < deadline, "workers outlive their parent"
                time.sleep(0.005)
            broker.start()
        await_count(load, 1500)
        os.kill(worker(broker.pid, 2), signal.SIGKILL)  # one, and then all, before anybody can put anything in order
        broker.kill()
        alone = BrokerProcess(data, f"listeners=PLAINTEXT://{broker.bootstrap}").start()
        load.end()
        assert read_all(alone.bootstrap) == load.acknowledged
        alone.stop()
    finally:
        broker.stop()


def test_ports_ids_metrics_and_logs(tmp_path: Path) -> None:
    http = free_ports(2)
    args = ["--data", str(tmp_path), "--workers", "2", "--set", "moldau.log.format=json", "--set", "node.id=7"]
    with serving(*args, "--set", f"moldau.http.listener=127.0.0.1:{http}") as (process, banner):
        first = address(banner)
        host, _, port = first.rpartition(":")
        assert f"  workers:  2, on the ports {port}, {int(port) + 1}" in banner
        assert f"  metrics:  http://127.0.0.1:{http}/metrics http://127.0.0.1:{http + 1}/metrics" in banner
        for number in (1, 2):
            page = urllib.request.urlopen(f"http://127.0.0.1:{http + number - 1}/metrics", timeout=10).read().decode()
            assert f'node_id="{6 + number}"' in page
            assert "moldau_wal_pages" in page
        pids = children(process.pid)
        assert sorted(pids) == [1, 2]
        os.kill(pids[2], signal.SIGTERM)
        deadline = time.monotonic() + 20
        while children(process.pid).get(2, pids[2]) == pids[2]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        create(first, "t", 4)
        produce(f"{host}:{int(port) + 1}", "t", [b"x%d" % n for n in range(100)])
        assert len(consume(first, "t", 4, 100)) == 100
        process.terminate()
        code, err = settled(process)
    assert code == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["worker"] for line in lines if line.get("event") == "stopping" and "workers" not in line} == {1, 2}
    assert [line["how"] for line in lines if line.get("event") == "worker_ended"] == ["exit status 0"]


def test_temporary_data_go_with_the_workers(tmp_path: Path) -> None:
    with serving("--ephemeral", "--workers", "2", *QUIET, env={"TMPDIR": str(tmp_path)}) as (_, banner):
        assert "durable:  nothing: this broker is --ephemeral" in "\n".join(banner)
        create(address(banner), "t", 2)
        produce(address(banner), "t", [b"y" * 100_000] * 20)
        assert len(consume(address(banner), "t", 2, 20)) == 20
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be(tmp_path: Path) -> None:
    data = ["--data", str(tmp_path / "data"), *QUIET]
    for count in ("0", "65", "x"):
        done = subprocess.run(
            command(*data, "--workers", count), capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 2
        assert "--workers" in done.stderr
    two = "listeners=PLAINTEXT://127.0.0.1:9192,INNER://127.0.0.1:9193"
    names = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,INNER:PLAINTEXT"
    said = refused(*data, "--workers", "3", "--set", two, "--set", names)
    assert (
        "INNER://127.0.0.1:9193: --workers gives it the ports 9193 to 9195, and PLAINTEXT://127.0.0.1:9192 those from"
        in said
    )
    said = refused(*data, "--workers", "3", "--set", "listeners=PLAINTEXT://127.0.0.1:65534")
    assert "there are none above 65535" in said
    first = free_ports(3)
    with socket.create_server(("127.0.0.1", first + 2)):
        said = refused(*data, "--workers", "3", "--set", f"listeners=PLAINTEXT://127.0.0.1:{first}")
        assert f"cannot listen on PLAINTEXT://127.0.0.1:{first + 2}: Address already in use. Worker 3 needs it" in said
    assert not (tmp_path / "data" / "metadata.sqlite").exists(), "the ports come before the data"
    http = free_ports(2)
    with socket.create_server(("127.0.0.1", http + 1)):
        said = refused(
            "--data", str(tmp_path / "data"), *FREE, "--workers", "2", "--set", f"moldau.http.listener=127.0.0.1:{http}"
        )
        assert said.startswith(
            f"error: worker 2: cannot serve /metrics on 127.0.0.1:{http + 1}: Address already in use"
        )


def test_a_directory_in_use(tmp_path: Path) -> None:
    with serving("--data", str(tmp_path), "--workers", "2", *QUIET) as (process, _):
        for more in ([], ["--workers", "2"]):
            said = refused("--data", str(tmp_path), *QUIET, *FREE, *more)
            assert f"the data directory {tmp_path} is in use by process {process.pid}." in said


def test_a_backup_beside_workers(tmp_path: Path) -> None:
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    with serving("--data", str(data), "--workers", "2", *QUIET) as (_, banner):
        create(address(banner), "t", PARTITIONS)
        load = Load(address(banner))
        await_count(load, 2000)
        before = {key: list(values) for key, values in load.acknowledged.items()}
        moldau = [sys.executable, "-m", "moldau"]
        done = subprocess.run(
            [*moldau, "backup", str(copy), "--data", str(data)], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        load.end()
    subprocess.run(
        [*moldau, "restore", str(copy), "--data", str(restored)], check=True, timeout=60, capture_output=True
    )
    alone = BrokerProcess(restored).start()
    found = read_all(alone.bootstrap)
    alone.stop()
    assert all(found[key][: len(values)] == values for key, values in before.items())


def test_workers_on_shared_stores(postgres_servers: Servers, tmp_path: Path) -> None:
    server = postgres_servers[16]
    stores = ["--metadata", server.url(server.database()), "--blobs", (tmp_path / "blobs").as_uri()]
    with serving(*stores, "--workers", "2", *QUIET) as (process, banner):
        assert not any(line.startswith("  data:") for line in banner)
        create(address(banner), "t", PARTITIONS)
        load = Load(address(banner))
        await_count(load, 1000)
        os.kill(worker(process.pid, 2), signal.SIGKILL)
        await_count(load, 1000)
        load.end()
        assert read_all(address(banner)) == load.acknowledged
