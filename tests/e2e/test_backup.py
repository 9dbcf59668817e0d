"""`moldau backup` and `moldau restore`: under load, of stopped and of killed brokers, interrupted anywhere, and of what is no backup."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, Producer, TopicPartition
from support import small_broker
from support.talker import Talker, batch_of
from support.workload import LARGE, SMALL, TOPIC, Workload, deep_look
from test_power_cuts import copy_killed, put_at_rest

from moldau import faults
from moldau.blobs import hold
from moldau.broker import upkeep
from moldau.cli.main import root
from moldau.log import journal
from moldau.server import backup
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_broker.shrink(monkeypatch.setattr)
    yield
    faults.watch(None)
    faults.arm("")


def moldau(*words: Any) -> Result:
    return CliRunner().invoke(root, [str(word) for word in words])


def done(*words: Any) -> dict[str, Any]:
    result = moldau(*words, "--format", "json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*words: Any) -> str:
    """The one line."""
    result = moldau(*words)
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


class Promises:
    """What had been acknowledged at one moment under load."""

    def __init__(self, load: Workload) -> None:
        self.load = load
        self.records = [dict(writer.acknowledged) for writer in load.writers]
        self.committed = load.committer.acknowledged
        self.topics = set(load.admin.there)

    def check(self, bootstrap: str) -> None:
        """Of a broker that went back to it, or to a moment soon after."""
        load = self.load
        with Talker(bootstrap) as wire:
            for writer, acknowledged in zip(load.writers, self.records, strict=True):
                found = wire.read_all(writer.topic, writer.partition)
                writer.acknowledged = acknowledged
                writer.check(found)
                if writer.idempotent:  # the producer goes on where the copy ends, with its id
                    writer._unanswered, writer._next = [], len(found)
                    writer.send(wire)
                    assert wire.read_all(writer.topic, writer.partition)[: len(found)] == found
            assert self.committed <= wire.committed_offset("g", TOPIC, 0) <= load.committer.sent
            assert self.topics - load.admin.gone <= set(wire.topics())


@pytest.mark.parametrize("seed", range(2))
def test_under_load(tmp_path: Path, seed: int) -> None:
    """Topics come and go, segments are built, blobs roll and are deleted meanwhile."""
    rng = random.Random(seed)
    load = Workload(acks=(-1, -1, 1))
    backups: list[tuple[Promises, Path]] = []
    enough = threading.Event()
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker:
        load.prepare(broker.bootstrap)
        worker = threading.Thread(target=load.work, args=(broker.bootstrap, 1 << 30, enough.is_set))
        worker.start()
        try:
            for number in range(3):
                time.sleep(rng.uniform(0.05, 0.6))
                promises = Promises(load)
                done("backup", tmp_path / f"backup{number}", "--data", tmp_path / "data")
                backups.append((promises, tmp_path / f"backup{number}"))
        finally:
            enough.set()
            worker.join()
        load.check(broker.bootstrap)
        with Talker(broker.bootstrap) as wire:
            epoch = wire.leader_epoch(TOPIC)
            newest_producer = wire.producer_id()[0]
    deep_look(tmp_path / "data")
    for promises, folder in backups:
        data = folder.with_suffix(".restored")
        done("restore", folder, "--data", data)
        deep_look(data)
        with BrokerThread(small_broker.options(), data) as broker:
            promises.check(broker.bootstrap)
            with Talker(broker.bootstrap) as wire:
                assert wire.leader_epoch(TOPIC) > epoch
                assert wire.fetch(TOPIC, 0, 0, leader_epoch=epoch).error_code == 74  # FENCED_LEADER_EPOCH
                assert wire.producer_id()[0] > newest_producer
        deep_look(data)


def test_a_group_is_never_past_the_end_of_the_log(tmp_path: Path) -> None:
    """It commits the offset behind each record as soon as that is acknowledged, with acks=1 too."""
    committed = 0
    enough = threading.Event()

    def work(bootstrap: str) -> None:
        nonlocal committed
        with Talker(bootstrap) as wire:
            producer, n = wire.producer_id()[:2], 0
            while not enough.is_set():
                answer = wire.produce(TOPIC, 0, batch_of([b"%d" % n + b"x" * 500], producer, n), (-1, 1)[n % 2])
                assert (answer.error_code, answer.base_offset) == (0, n)
                n += 1
                assert wire.commit_offset("g", TOPIC, 0, n) == 0
                committed = n

    folders = [tmp_path / f"backup{number}" for number in range(4)]
    promised = []
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker:
        with Talker(broker.bootstrap) as wire:
            wire.create_topic(TOPIC)
        worker = threading.Thread(target=work, args=(broker.bootstrap,))
        worker.start()
        try:
            for folder in folders:
                time.sleep(0.1)
                promised.append(committed)
                done("backup", folder, "--data", tmp_path / "data")
        finally:
            enough.set()
            worker.join()
    assert promised == sorted(set(promised)), "it went on meanwhile"
    for folder, at_least in zip(folders, promised, strict=True):
        data = folder.with_suffix(".restored")
        done("restore", folder, "--data", data)
        with BrokerThread(small_broker.options(), data) as broker, Talker(broker.bootstrap) as wire:
            found = wire.read_all(TOPIC, 0)
            assert [(offset, value.rstrip(b"x")) for offset, value in found] == [
                (n, b"%d" % n) for n in range(len(found))
            ]
            assert at_least <= wire.committed_offset("g", TOPIC, 0) <= len(found)


def test_an_ordinary_client_goes_on(tmp_path: Path) -> None:
    """An idempotent producer and a group of librdkafka's, before and after."""
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker:
        produce(broker.bootstrap, range(1000))
        assert consume(broker.bootstrap, 400) == list(range(400))
        created = done("backup", tmp_path / "backup", "--data", tmp_path / "data")
        produce(broker.bootstrap, range(1000, 1500))
        consume(broker.bootstrap, 600)
    restored = done("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert restored["cluster_id"] == created["cluster_id"]
    with BrokerThread(small_broker.options(), tmp_path / "new") as broker:
        produce(broker.bootstrap, range(1000, 1200))
        assert consume(broker.bootstrap, 800) == list(range(400, 1200))


def produce(bootstrap: str, numbers: range) -> None:
    failed: list[Any] = []
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 1})
    for number in numbers:
        producer.produce("t", b"%d" % number, partition=0, on_delivery=lambda error, _: error and failed.append(error))
    assert producer.flush(20) == 0
    assert not failed


def consume(bootstrap: str, count: int) -> list[int]:
    """Assigned, not subscribed, so that a member which is gone holds nobody up; offsets are the group's all the same."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition("t", 0)])
    found: list[int] = []
    deadline = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count}"
        for message in consumer.consume(count - len(found), 1):
            assert message.error() is None, message.error()
            found.append(int(message.value()))
    consumer.commit(offsets=[TopicPartition("t", 0, found[-1] + 1)], asynchronous=False)
    consumer.close()
    return found


def test_what_was_sent_again_is_told_its_old_place(tmp_path: Path) -> None:
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker, Talker(broker.bootstrap) as wire:
        wire.create_topic(TOPIC)
        producer = wire.producer_id()[:2]
        for sequence in range(8):
            wire.produce(TOPIC, 0, batch_of([b"%d" % sequence], producer, sequence))
        done("backup", tmp_path / "backup", "--data", tmp_path / "data")
    done("restore", tmp_path / "backup", "--data", tmp_path / "new")
    with BrokerThread(small_broker.options(), tmp_path / "new") as broker, Talker(broker.bootstrap) as wire:
        again = wire.produce(TOPIC, 0, batch_of([b"7"], producer, 7))
        assert (again.error_code, again.base_offset) == (0, 7)
        assert wire.produce(TOPIC, 0, batch_of([b"8"], producer, 8)).base_offset == 8
        assert wire.produce(TOPIC, 0, batch_of([b"11"], producer, 11)).error_code == 45  # OUT_OF_ORDER_SEQUENCE_NUMBER


@pytest.mark.parametrize("applied", [False, True])
def test_of_a_stopped_and_of_a_killed_broker(tmp_path: Path, applied: bool) -> None:
    """The copy is in order, the directory as it was."""
    put_at_rest(tmp_path, -1, 1, -1, applied=applied)
    for name in ("before", "after"):  # stopped, killed
        was = files(tmp_path / name)
        done("backup", tmp_path / f"{name}.backup", "--data", tmp_path / name)
        assert files(tmp_path / name) == was
        done("restore", tmp_path / f"{name}.backup", "--data", tmp_path / f"{name}.new")
        assert {file.name for file in (tmp_path / f"{name}.new").iterdir()} == {
            "blobs",
            "format",
            "lock",
            "metadata.sqlite",
            "metadata.sum",
        }
        with BrokerThread(small_broker.options(), tmp_path / f"{name}.new") as broker, Talker(broker.bootstrap) as wire:
            assert [value[:1] for _, value in wire.read_all(TOPIC, 0)] == [b"0", b"1", b"2"]


def files(folder: Path) -> dict[str, bytes]:
    """Without what says who had it open."""
    beside = ("lock", "hold", "metadata.sqlite-shm")
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name not in beside}


# -- meanwhile --------------------------------------------------------------------------------------------------------


def test_what_the_broker_does_between_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs that the copied rows name are sealed, and everything in them is deleted, before they are copied."""
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker, Talker(broker.bootstrap) as wire:
        wire.create_topic(TOPIC)
        for n in range(20):
            assert wire.produce(TOPIC, 0, batch_of([b"%d" % n + b"x" * LARGE])).error_code == 0
        there = wire.read_all(TOPIC, 0)

        def delete_all(blobs: Any) -> Any:
            assert wire.delete_topic(TOPIC) == 0
            wire.create_topic("other")
            for n in range(20):
                assert wire.produce("other", 0, batch_of([b"%d" % n + b"x" * LARGE])).error_code == 0
            time.sleep(0.5)  # sweeps of 0.05 s
            return named(blobs)

        named = backup.named_blobs
        monkeypatch.setattr(backup, "named_blobs", delete_all)
        before = set((tmp_path / "data" / "blobs").glob("*.blob"))
        done("backup", tmp_path / "backup", "--data", tmp_path / "data")
        deadline = time.monotonic() + 10
        while before & set((tmp_path / "data" / "blobs").glob("*.blob")):
            assert time.monotonic() < deadline, "collection does not go on"
            time.sleep(0.05)
    done("restore", tmp_path / "backup", "--data", tmp_path / "new")
    with BrokerThread(small_broker.options(), tmp_path / "new") as broker, Talker(broker.bootstrap) as wire:
        assert wire.read_all(TOPIC, 0) == there
        assert wire.topics() == [TOPIC]


def test_rows_that_wait_are_copied_as_sections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is beyond the rows, in several blobs; more comes between the copies of two of them."""
    monkeypatch.setattr(journal, "APPLY_SECONDS", 3600)
    monkeypatch.setattr(upkeep, "_TICK_SECONDS", 3600)
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker, Talker(broker.bootstrap) as wire:
        wire.create_topic(TOPIC)
        sent = [b"%d" % n for n in range(30)]

        def send(value: bytes) -> None:
            assert wire.produce(TOPIC, 0, batch_of([value + b" x" + b"x" * LARGE]), 1).error_code == 0

        for value in sent:
            send(value)

        def copy(*args: Any) -> int:
            send(b"later")
            return copy_file(*args)

        copy_file = backup.copy_file
        monkeypatch.setattr(backup, "copy_file", copy)
        done("backup", tmp_path / "backup", "--data", tmp_path / "data")
    done("restore", tmp_path / "backup", "--data", tmp_path / "new")
    with BrokerThread(small_broker.options(), tmp_path / "new") as broker, Talker(broker.bootstrap) as wire:
        values = [value.split()[0] for _, value in wire.read_all(TOPIC, 0)]
        assert values[: len(sent)] == sent
        assert set(values[len(sent) :]) <= {b"later"}


# -- interrupted ------------------------------------------------------------------------------------------------------

IN_BACKUP = {
    "metadata.sqlite.copy",
    "server.backup.blob",
    "server.backup.replay",
    "server.backup.manifest",
    "server.backup.named",
    "server.data_dir.lock",
    "metadata.sqlite.begin",
    "metadata.sqlite.commit",
    "metadata.sqlite.committed",
    "metadata.sqlite.prime",
    "metadata.sqlite.close",
    "blobs.local.seal",
    "blobs.local.synced",
}
IN_RESTORE = {
    "server.at_rest.write",
    "server.restore.file",
    "server.restore.forward",
    "server.data_dir.lock",
    "server.data_dir.format",
    "server.data_dir.formatted",
    "metadata.sqlite.begin",
    "metadata.sqlite.commit",
    "metadata.sqlite.committed",
    "metadata.sqlite.prime",
    "metadata.sqlite.close",
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose broker was killed, with a backup of it."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        small_broker.shrink(patch.setattr)
        put_at_rest(folder, -1, -1)
    done("backup", folder / "backup", "--data", folder / "after")
    return folder


def as_program(fault: str, *words: Any) -> int:
    command = [sys.executable, "-m", "moldau", *map(str, words)]
    return subprocess.run(
        command, env={**os.environ, "MOLDAU_FAULTS": fault}, capture_output=True, check=False
    ).returncode


def test_every_point_of_both_is_here(tmp_path: Path, killed: Path) -> None:
    seen: set[str] = set()
    faults.record(seen)
    done("backup", tmp_path / "backup", "--data", killed / "after")
    assert seen == IN_BACKUP
    seen.clear()
    done("restore", tmp_path / "backup", "--data", tmp_path / "new")
    assert seen == IN_RESTORE


@pytest.mark.parametrize("point", sorted(IN_BACKUP))
def test_a_backup_that_is_killed_is_none(tmp_path: Path, killed: Path, point: str) -> None:
    assert as_program(f"{point}=kill", "backup", tmp_path / "backup", "--data", killed / "after") == -9
    if point == "server.backup.named":
        done("restore", tmp_path / "backup", "--check")  # all of it was there
    elif (tmp_path / "backup").exists():
        assert "is no backup" in refused("restore", tmp_path / "backup", "--data", tmp_path / "new")
        assert "no whole data directory" in refused("serve", "--data", tmp_path / "backup")
        assert "interrupted backup" in refused("backup", tmp_path / "backup", "--data", killed / "after")
    done("backup", tmp_path / "again", "--data", killed / "after")
    done("restore", tmp_path / "again", "--data", tmp_path / "new")


@pytest.mark.parametrize("point", sorted(IN_RESTORE))
def test_a_restore_that_is_killed_is_no_data_directory(tmp_path: Path, killed: Path, point: str) -> None:
    new = tmp_path / "new"
    assert as_program(f"{point}=kill", "restore", killed / "backup", "--data", new) == -9
    if point == "server.data_dir.formatted":
        deep_look(new)
    elif (new / "metadata.sqlite").exists():
        assert "no whole data directory" in refused("serve", "--data", new)
        assert "interrupted" in refused("restore", killed / "backup", "--data", new)
    done("restore", killed / "backup", "--data", tmp_path / "again")


@pytest.mark.parametrize("action", ["fail", "full"])
@pytest.mark.parametrize("point", sorted((IN_BACKUP | IN_RESTORE) - {"metadata.sqlite.prime", "metadata.sqlite.close"}))
def test_what_fails_leaves_nothing_behind(tmp_path: Path, killed: Path, point: str, action: str) -> None:
    (tmp_path / "empty").mkdir()
    for target in (tmp_path / "new", tmp_path / "empty"):
        for points, words in (
            (IN_BACKUP, ("backup", target, "--data", killed / "after")),
            (IN_RESTORE, ("restore", killed / "backup", "--data", target)),
        ):
            if point in points:
                faults.arm(f"{point}={action}")
                line = refused(*words)
                faults.arm("")
                assert "fault point" in line
                assert not target.exists() or (target.name == "empty" and not list(target.iterdir()))


# -- wrong inputs -----------------------------------------------------------------------------------------------------


def test_wrong_places(tmp_path: Path, killed: Path) -> None:
    data = killed / "after"
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("of somebody's")
    for words, told in (
        (("backup", full, "--data", data), "is not empty"),
        (("backup", killed / "backup", "--data", data), "holds a backup"),
        (("backup", killed / "before", "--data", data), "is a data directory"),
        (("backup", full / "something", "--data", data), "is no directory"),
        (("backup", data / "blobs" / "x", "--data", data), "is in the data directory"),
        (("backup", data, "--data", data), "is in the data directory"),
        (("backup", tmp_path / "x", "--data", tmp_path / "nowhere"), "is no data directory"),
        (("backup", tmp_path / "x", "--data", killed / "backup"), "is a backup"),
        (("backup", full / "something" / "x", "--data", data), "Not a directory"),
        (("restore", killed / "backup", "--data", full), "is not empty"),
        (("restore", killed / "backup", "--data", killed / "before"), "is a data directory"),
        (("restore", killed / "backup", "--data", killed / "backup" / "x"), "is in the backup"),
        (("restore", data, "--data", tmp_path / "x"), "it is a data directory"),
        (("restore", full, "--data", tmp_path / "x"), "is no backup"),
        (("serve", "--data", killed / "backup"), "moldau restore"),
        (("inspect", "--data", killed / "backup"), "moldau restore"),
    ):
        assert told in refused(*words), words
        assert not (tmp_path / "x").exists()
    assert [file.name for file in full.iterdir()] == ["something"]
    assert moldau("restore", tmp_path / "nowhere").exit_code == 2
    assert moldau("restore", killed / "backup", "--check", "--data", full).exit_code == 2
    with BrokerThread(small_broker.options(), tmp_path / "served"):
        assert "is a data directory" in refused("restore", killed / "backup", "--data", tmp_path / "served")


def changed(killed: Path, tmp_path: Path, change: Callable[[Path], None]) -> str:
    """What both ways to look at a changed backup say: the same."""
    copy_killed(killed / "backup", tmp_path / "changed", same_boot=True)
    change(tmp_path / "changed")
    line = refused("restore", tmp_path / "changed", "--check")
    assert refused("restore", tmp_path / "changed", "--data", tmp_path / "new") == line
    assert not (tmp_path / "new").exists()
    return line


@pytest.mark.parametrize("key", ["backup", "format"])
def test_a_newer_format_is_refused(tmp_path: Path, killed: Path, key: str) -> None:
    def newer(folder: Path) -> None:
        document = json.loads((folder / "backup.json").read_text())
        document[key], document["release"] = 77, "9.9"
        (folder / "backup.json").write_text(json.dumps(document))

    line = changed(killed, tmp_path, newer)
    assert "77" in line
    assert "release 9.9" in line


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["metadata.sqlite", "blob", "backup.json"])
def test_a_flipped_bit_in_a_backup_is_found(tmp_path: Path, killed: Path, name: str, seed: int) -> None:
    rng = random.Random(seed)

    def flip(folder: Path) -> None:
        file = (
            next(each for each in (folder / "blobs").iterdir() if each.stat().st_size)
            if name == "blob"
            else folder / name
        )
        content = bytearray(file.read_bytes())
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)

    line = changed(killed, tmp_path, flip)
    assert "damaged" in line or "newer release" in line


@pytest.mark.parametrize("change", ["gone", "short", "long"])
def test_a_file_of_another_size_is_found(tmp_path: Path, killed: Path, change: str) -> None:
    def spoil(folder: Path) -> None:
        file = next(each for each in (folder / "blobs").iterdir() if each.stat().st_size)
        if change == "gone":
            file.unlink()
        else:
            content = file.read_bytes()
            file.write_bytes(content[:-1] if change == "short" else content + b"x")

    copy_killed(killed / "backup", tmp_path / "changed", same_boot=True)
    spoil(tmp_path / "changed")
    assert "damaged" in refused("restore", tmp_path / "changed", "--check")
    assert "damaged" in refused("restore", tmp_path / "changed", "--data", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_damaged_data_make_no_backup(tmp_path: Path) -> None:
    blob = put_at_rest(tmp_path, -1, -1, applied=True)
    content = bytearray(blob.read_bytes())
    content[1000] ^= 1
    blob.write_bytes(content)
    assert "the data are damaged" in refused("backup", tmp_path / "backup", "--data", tmp_path / "after")
    assert not (tmp_path / "backup").exists()
    blob.unlink()
    assert "is missing" in refused("backup", tmp_path / "backup", "--data", tmp_path / "after")


def test_a_hole_in_the_journal_makes_no_backup(tmp_path: Path) -> None:
    blob = put_at_rest(tmp_path, -1, -1, -1)
    content = bytearray(blob.read_bytes())
    content[LARGE + LARGE // 2] ^= 1  # in the second section's bytes
    blob.write_bytes(content)
    assert "damaged" in refused("backup", tmp_path / "backup", "--data", tmp_path / "after")
    content[LARGE + LARGE // 2] ^= 1
    content[3] ^= 1  # the first header
    blob.write_bytes(content)
    assert "is damaged: no section at 0" in refused("backup", tmp_path / "backup", "--data", tmp_path / "after")
    assert not (tmp_path / "backup").exists()


def test_no_room(tmp_path: Path, killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    assert "has room for 1000 bytes" in refused("backup", tmp_path / "new", "--data", killed / "after")
    assert "has room for 1000 bytes" in refused("restore", killed / "backup", "--data", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_two_at_a_time(tmp_path: Path) -> None:
    """And a hold ends with who has it."""
    load = Workload(sizes=(SMALL,), acks=(-1,))
    with BrokerThread(small_broker.options(), tmp_path / "data") as broker:
        load.prepare(broker.bootstrap)
        load.work(broker.bootstrap, 20)
        words = [sys.executable, "-m", "moldau", "backup", "--data", str(tmp_path / "data")]
        both = [subprocess.Popen([*words, str(tmp_path / f"b{n}")], stdout=subprocess.DEVNULL) for n in range(2)]
        assert [each.wait(60) for each in both] == [0, 0]
        with hold.Deletions(tmp_path / "data" / "blobs").allowed():
            pass
    for n in range(2):
        done("restore", tmp_path / f"b{n}", "--check")
