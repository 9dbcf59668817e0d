"""Power cuts of the whole broker: only what was synced is carried into a new directory, and a broker starts on it.

Every record of acks=all that was acknowledged before the cut is there. Records of acks=1 may be gone from the end of their partitions, but no
row is without its bytes, not even where the system has written rows back by itself.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import small_broker
from support.powerloss import PowerCut
from support.talker import Talker, batch_of
from support.workload import LARGE, MIXED, SMALL, TOPIC, Workload, deep_look

from moldau import faults
from moldau.broker import upkeep
from moldau.broker.options import Options
from moldau.log import journal, wal
from moldau.metadata.errors import StoreCorrupt
from moldau.testing import BrokerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    small_broker.shrink(monkeypatch.setattr)
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
            with Talker(broker.bootstrap) as wire:
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


def put_at_rest(folder: Path, *acks: int, applied: bool = False, same_boot: bool = False) -> Path:
    """A killed broker's directory with one large batch for each of `acks`, a section each; returns the blob.

    `applied`: the rows are in the metadata store already.
    """
    journal.APPLY_SECONDS = upkeep._TICK_SECONDS = 3600  # the fixture puts them back
    with BrokerThread(options(), folder / "before") as broker:
        with Talker(broker.bootstrap) as wire:
            wire.create_topic(TOPIC)
            for n, each in enumerate(acks):
                assert wire.produce(TOPIC, 0, batch_of([b"%d" % n + b"x" * LARGE]), each).error_code == 0
            if applied:
                server = broker.lifecycle.node.broker  # whoever asks for rows waits for them
                asyncio.run_coroutine_threadsafe(server.log_store.load_partition(1), server.loop).result(10)
        copy_killed(folder / "before", folder / "after", same_boot=same_boot)
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
    with BrokerThread(options(), data) as broker, Talker(broker.bootstrap) as wire:
        return [value[:1] for _, value in wire.read_all(TOPIC, 0)]


def test_what_follows_the_hole_goes_too(tmp_path: Path) -> None:
    damage(put_at_rest(tmp_path, -1, 1, 1, 1), 2)
    assert read(tmp_path / "after") == [b"0", b"1"]
    assert read(tmp_path / "after") == [b"0", b"1"]
    deep_look(tmp_path / "after")


def test_a_hole_at_the_end_was_not_durable(tmp_path: Path) -> None:
    damage(put_at_rest(tmp_path, 1, 1, -1, 1), 3)
    assert read(tmp_path / "after") == [b"0", b"1", b"2"]


@pytest.mark.parametrize("hole", [0, 1, 2])
def test_a_hole_below_what_was_synced_is_damage(tmp_path: Path, hole: int) -> None:
    """A later section says how far the blob was synced, so these bytes were lost otherwise; and nothing is changed."""
    blob = put_at_rest(tmp_path, 1, 1, -1, 1)
    whole = blob.read_bytes()
    damage(blob, hole)
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=r"record bytes are damaged.*acknowledged as durable"):
            read(tmp_path / "after")
    blob.write_bytes(whole)
    assert read(tmp_path / "after") == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("hole", [0, 1])
def test_a_hole_is_damage_where_only_the_process_died(tmp_path: Path, hole: int) -> None:
    """Nothing was ever synced; but each section was written after the one before."""
    blob = put_at_rest(tmp_path, 1, 1, 1, same_boot=True)
    damage(blob, hole)
    with pytest.raises(StoreCorrupt, match=r"record bytes are damaged.*they were acknowledged\."):
        read(tmp_path / "after")
    (tmp_path / "after" / "lock").unlink()  # after a power cut they may be gone
    assert read(tmp_path / "after") == [b"0", b"1", b"2"][:hole]


@pytest.mark.parametrize("length", [2 * LARGE, 0])
def test_a_file_that_lost_bytes_with_rows_stops_the_start(tmp_path: Path, length: int) -> None:
    blob = put_at_rest(tmp_path, -1, -1, -1, applied=True)
    whole = blob.read_bytes()
    blob.write_bytes(whole[:length])
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=r"record bytes are missing.*acknowledged"):
            read(tmp_path / "after")
    blob.write_bytes(whole)
    assert read(tmp_path / "after") == [b"0", b"1", b"2"]


def test_clients_find_out_that_the_log_went_back(tmp_path: Path) -> None:
    """A fetch with the old epoch is fenced; OffsetForLeaderEpoch says where the old epoch ends (KIP-320)."""
    damage(put_at_rest(tmp_path, -1, 1), 1)
    with BrokerThread(options(), tmp_path / "after") as broker, Talker(broker.bootstrap) as wire:
        assert wire.leader_epoch(TOPIC) == 1  # before anything of it was touched
        assert wire.fetch(TOPIC, 0, 0, leader_epoch=0).error_code == 74  # FENCED_LEADER_EPOCH
        wire.produce(TOPIC, 0, batch_of([b"new"]))
        wire.produce(TOPIC, 0, batch_of([b"newer"]))
        assert wire.epoch_end(TOPIC, 0, 0) == (0, 1)
        assert wire.epoch_end(TOPIC, 0, 1) == (1, 3)
        assert wire.fetch(TOPIC, 0, 0, leader_epoch=1).error_code == 0
    # a stop in peace changes no epoch
    with BrokerThread(options(), tmp_path / "after") as broker, Talker(broker.bootstrap) as wire:
        assert wire.leader_epoch(TOPIC) == 1
        assert wire.epoch_end(TOPIC, 0, 0) == (0, 1)


def test_after_a_kill_nothing_is_lost_and_no_epoch_rises(tmp_path: Path) -> None:
    put_at_rest(tmp_path, 1, 1, 1, same_boot=True)
    with BrokerThread(options(), tmp_path / "after") as broker, Talker(broker.bootstrap) as wire:
        assert wire.leader_epoch(TOPIC) == 0
        assert [value[:1] for _, value in wire.read_all(TOPIC, 0)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("seed", range(4))
def test_the_power_fails_over_old_bytes(tmp_path: Path, seed: int) -> None:
    """The write-ahead files were those of the run before, with the same load."""
    rng = random.Random(seed)
    load = Workload(sizes=rng.choice([(SMALL, LARGE), (LARGE, LARGE)]))
    blobs = tmp_path / "before" / "blobs"
    with BrokerThread(options(), tmp_path / "before") as broker:
        load.prepare(broker.bootstrap)
        load.work(broker.bootstrap, 40)
        for file in [file for file in blobs.glob("*.blob") if file.stat().st_size]:
            shutil.copy(file, blobs / f"{file.stem}.spare")
    assert list(blobs.glob("*.spare"))
    for writer in load.writers:
        writer.give_up()
    life = Life(tmp_path, load, rng.randrange(100, 600), rng, written_back=seed % 2 == 1)
    assert life.cut.written_over
    life.look()
