"""Power cuts of the whole broker: only what was synced is carried into a new directory, and a broker starts on it.

Every record of acks=all that was acknowledged before the cut is there. Records of acks=1 may be gone from the end of their partitions, but no
row is without its bytes: where the system had written rows back and not their bytes, the start finds that out and cuts the tail off.
"""

from __future__ import annotations

import logging
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import small_broker
from support.powerloss import PowerCut
from support.wire import Wire, batch_of
from support.workload import LARGE, MIXED, SMALL, TOPIC, Workload, deep_look

from moldau import faults
from moldau.broker import upkeep
from moldau.broker.options import Options
from moldau.log import maintenance, wal
from moldau.metadata.errors import StoreCorrupt
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for module, name in (
        (wal, "ROLL_BYTES"),
        (maintenance, "GARBAGE_AGE_MS"),
        (maintenance, "GRACE_MS"),
        (upkeep, "_TICK_SECONDS"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))
    small_broker.shrink()
    yield
    faults.watch(None)


def options() -> Options:
    made = Options()
    made.tail_cache_bytes = 100_000
    return made


class Life:
    """A broker under load whose power is cut at the `at`-th pass of a fault point; `after` is what it left."""

    def __init__(self, folder: Path, load: Workload, at: int, rng: random.Random, *, written_back: bool) -> None:
        self.after = folder / "after"
        self.load = load
        before = folder / "before"
        with BrokerThread(options(), before) as broker:
            load.prepare(broker.bootstrap)
            node = broker.lifecycle.node
            self.cut = PowerCut(
                node.engine, node.blobs, at, self.after, rng, written_back=written_back, on_cut=self._promise
            )
            load.work(broker.bootstrap, 1 << 30, lambda: self.cut.happened)
            faults.watch(None)
        shutil.copy(before / "format", self.after / "format")
        for writer, acknowledged in zip(load.writers, self._acknowledged, strict=True):
            writer.acknowledged = acknowledged
        load.committer.acknowledged = self._committed
        load.admin.there, load.admin.gone = self._topics

    def _promise(self) -> None:
        load = self.load
        self._acknowledged = [dict(writer.acknowledged) for writer in load.writers]
        self._committed = load.committer.acknowledged
        self._topics = (set(load.admin.there), set(load.admin.gone))

    def look(self) -> tuple[int, int]:
        """Start on what is left, check, go on; (records acknowledged before the cut, records there)."""
        with BrokerThread(options(), self.after) as broker:
            there = self.load.check(broker.bootstrap, fast_may_be_lost=True)
            with Wire(broker.bootstrap) as wire:
                for writer in self.load.writers:
                    answer = wire.produce(writer.topic, writer.partition, batch_of([b"zzz"]))
                    assert answer.error_code == 0
                    assert wire.read_all(writer.topic, writer.partition)[-1] == (answer.base_offset, b"zzz")
        deep_look(self.after)
        return sum(len(each) for each in self._acknowledged), there


@pytest.mark.parametrize("written_back", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_the_power_fails_at_some_point(tmp_path: Path, seed: int, written_back: bool) -> None:
    rng = random.Random(seed)
    load = Workload(sizes=rng.choice([(SMALL, LARGE), (LARGE, LARGE), (SMALL, LARGE, LARGE)]))
    Life(tmp_path, load, rng.randrange(100, 1500), rng, written_back=written_back).look()


@pytest.mark.parametrize("seed", range(4))
def test_a_durable_commit_after_fast_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """It is in the metadata store, its predecessors' bytes in a blob that nothing else syncs."""
    monkeypatch.setattr(upkeep, "_TICK_SECONDS", 3600)
    monkeypatch.setattr(wal, "ROLL_BYTES", 1 << 30)
    load = Workload(sizes=(LARGE,), acks=(MIXED,), others=False)
    Life(tmp_path, load, 50 + 3 * seed, random.Random(seed), written_back=seed % 2 == 0).look()


def test_rows_without_bytes_are_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """acks=1 alone, large, and nothing that syncs: rows were written back, and none of their bytes."""
    monkeypatch.setattr(upkeep, "_TICK_SECONDS", 3600)
    monkeypatch.setattr(wal, "ROLL_BYTES", 1 << 30)
    load = Workload(sizes=(LARGE,), acks=(1, 1, 1), others=False)
    life = Life(tmp_path, load, 40, random.Random(1), written_back=True)
    with caplog.at_level(logging.INFO):
        acknowledged, there = life.look()
    dropped = re.search(r"dropped_records=(\d+)", caplog.text)
    assert dropped is not None
    assert int(dropped[1]) > 0, caplog.text
    assert there < acknowledged
    assert "event=tail_dropped" in caplog.text


def put_at_rest(folder: Path, *acks: int) -> Path:
    """A killed broker's directory with one large batch for each of `acks`, all in one write-ahead blob; returns the blob."""
    with BrokerThread(options(), folder / "before") as broker:
        with Wire(broker.bootstrap) as wire:
            wire.create_topic(TOPIC)
            for n, each in enumerate(acks):
                assert wire.produce(TOPIC, 0, batch_of([b"%d" % n + b"x" * LARGE]), each).error_code == 0
        copy_killed(folder / "before", folder / "after")
    (blob,) = [file for file in (folder / "after" / "blobs").glob("*.blob") if file.stat().st_size]
    return blob


def copy_killed(source: Path, target: Path, *, same_boot: bool = False) -> None:
    """As kill -9 would leave it: nothing of a process is in it but what it wrote."""
    shutil.copytree(source, target)
    (target / "metadata.sqlite-shm").unlink(missing_ok=True)
    if not same_boot:
        (target / "lock").unlink()


def damage(blob: Path, batch: int) -> None:
    """Zeros in the middle of the n-th large batch."""
    with open(blob, "r+b") as file:
        file.seek(batch * LARGE + LARGE // 2)
        file.write(bytes(10))


def read(data: Path) -> list[bytes]:
    with BrokerThread(options(), data) as broker, Wire(broker.bootstrap) as wire:
        return [value[:1] for _, value in wire.read_all(TOPIC, 0)]


def test_what_follows_the_hole_goes_too(tmp_path: Path) -> None:
    damage(put_at_rest(tmp_path, -1, 1, 1, 1), 2)
    assert read(tmp_path / "after") == [b"0", b"1"]
    assert read(tmp_path / "after") == [b"0", b"1"]
    deep_look(tmp_path / "after")


def test_a_hole_before_something_durable_is_damage(tmp_path: Path) -> None:
    """A durable commit syncs what was written before it, so these bytes were lost otherwise; and nothing is changed."""
    blob = put_at_rest(tmp_path, 1, 1, -1, 1)
    damage(blob, 3)
    assert read(tmp_path / "after") == [b"0", b"1", b"2"]


@pytest.mark.parametrize("length", [2 * LARGE, 0])
def test_a_file_that_lost_durable_bytes_stops_the_start(tmp_path: Path, length: int) -> None:
    blob = put_at_rest(tmp_path, -1, -1, -1)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:length])
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=r"record bytes are missing.*acknowledged as durable.*moldau restore"):
            read(tmp_path / "after")
    blob.write_bytes(whole)
    assert read(tmp_path / "after") == [b"0", b"1", b"2"]


def test_a_hole_under_a_later_durable_commit_in_another_place_stops_the_start(tmp_path: Path) -> None:
    """The durable commit is inline, so the blob itself does not tell how far it was synced: the partition does."""
    with BrokerThread(options(), tmp_path / "before") as broker:
        with Wire(broker.bootstrap) as wire:
            wire.create_topic(TOPIC)
            assert wire.produce(TOPIC, 0, batch_of([b"0" + b"x" * LARGE]), 1).error_code == 0
            assert wire.produce(TOPIC, 0, batch_of([b"1"]), -1).error_code == 0
        copy_killed(tmp_path / "before", tmp_path / "after")
    (blob,) = (tmp_path / "after" / "blobs").glob("*.blob")
    damage(blob, 0)
    with pytest.raises(StoreCorrupt, match=r"record bytes are damaged.*acknowledged as durable after that"):
        read(tmp_path / "after")


def test_clients_find_out_that_the_log_went_back(tmp_path: Path) -> None:
    """A fetch with the old epoch is fenced; OffsetForLeaderEpoch says where the old epoch ends (KIP-320)."""
    damage(put_at_rest(tmp_path, -1, 1), 1)
    with BrokerThread(options(), tmp_path / "after") as broker, Wire(broker.bootstrap) as wire:
        assert wire.leader_epoch(TOPIC) == 1  # before anything of it was touched
        assert wire.fetch(TOPIC, 0, 0, leader_epoch=0).error_code == 74  # FENCED_LEADER_EPOCH
        wire.produce(TOPIC, 0, batch_of([b"new"]))
        wire.produce(TOPIC, 0, batch_of([b"newer"]))
        assert wire.epoch_end(TOPIC, 0, 0) == (0, 1)
        assert wire.epoch_end(TOPIC, 0, 1) == (1, 3)
        assert wire.fetch(TOPIC, 0, 0, leader_epoch=1).error_code == 0
    # a stop in peace changes no epoch
    with BrokerThread(options(), tmp_path / "after") as broker, Wire(broker.bootstrap) as wire:
        assert wire.leader_epoch(TOPIC) == 1
        assert wire.epoch_end(TOPIC, 0, 0) == (0, 1)


def test_after_a_kill_only_lengths_are_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with BrokerThread(options(), tmp_path / "before") as broker:
        with Wire(broker.bootstrap) as wire:
            wire.create_topic(TOPIC)
            for n in range(3):
                assert wire.produce(TOPIC, 0, batch_of([b"%d" % n + b"x" * LARGE]), 1).error_code == 0
        copy_killed(tmp_path / "before", tmp_path / "after", same_boot=True)
    with caplog.at_level(logging.INFO):
        assert read(tmp_path / "after") == [b"0", b"1", b"2"]
    assert "power_kept=True checked_bytes=0 dropped_records=0" in caplog.text
