"""Some hundred schedules of the simulation, the same ones each time; and that it finds what is wrong, and says the same of a seed twice."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from simulation import group_run, log_run
from simulation.appending import Log
from simulation.cli import main
from simulation.stores import RemoteLog
from simulation.world import Broken, World

from moldau.coordination.shard_store import ShardStore
from moldau.log.producer_state import ProducerStates
from moldau.metadata.rows import MOVED

FIRST = 5_000_000


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    gc.collect()


@pytest.mark.slow
def test_schedules_of_appends() -> None:
    for seed in range(FIRST, FIRST + 300):
        log_run.run(seed)


@pytest.mark.slow
def test_schedules_of_leases_and_groups() -> None:
    for seed in range(FIRST, FIRST + 200):
        group_run.run(seed)


def test_the_same_seed_is_the_same_story() -> None:
    assert log_run.run(7, tells=True).world.story == log_run.run(7, tells=True).world.story != []
    assert group_run.run(7, tells=True).world.story == group_run.run(7, tells=True).world.story != []


def test_schedules_are_about_something() -> None:
    """All that may happen does."""
    said: set[str] = set()
    batches = 0
    for seed in range(FIRST, FIRST + 60):
        run = log_run.run(seed, tells=True)
        batches += sum(len(producer.batches) for producer in run.producers)
        for line in run.world.story:
            said |= set(line.split())
    assert {"kill", "pause", "cut", "snapshot", "56,", "-1,"} <= said
    assert batches > 500


# -- what is wrong is found ---------------------------------------------------------------------------------------------


def _found(run: Any) -> str:
    for seed in range(FIRST, FIRST + 400):
        try:
            run(seed)
        except Broken as broken:
            return str(broken)
    return ""


def test_a_store_that_loses_the_last_extent_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    append = RemoteLog.append_now

    def losing(self: RemoteLog, commit: Any) -> Any:
        results = append(self, commit)
        state = self._store._state
        if self._way.world.random.random() < 0.02:
            for entry, result in zip(commit.entries, results, strict=True):
                if result.status != MOVED:
                    del state.extents[entry.partition_id][-1]
                    state.partitions[entry.partition_id].end_offset -= entry.records
        return results

    monkeypatch.setattr(RemoteLog, "append_now", losing)
    assert _found(lambda seed: log_run.run(seed))


def test_duplicates_that_are_not_recognized_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    check = ProducerStates.check

    def forgetful(self: ProducerStates, header: Any, from_zero: bool = False) -> None:
        try:
            check(self, header, from_zero)
        except Exception:
            pass

    monkeypatch.setattr(ProducerStates, "check", forgetful)
    assert "and at" in _found(lambda seed: log_run.run(seed))


def test_writes_without_a_guard_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that slept overwrites what its successor stored."""
    init = ShardStore.__init__

    def careless(self: ShardStore, store: Any, shard: int, epoch: int, lost: Any) -> None:
        init(self, store, shard, epoch, lost)
        store.careless = True

    monkeypatch.setattr(ShardStore, "__init__", careless)
    assert _found(group_run.run)


def test_a_failure_in_a_task_is_not_swallowed() -> None:
    world = World(1)
    lane = world.lane("one")

    async def fails() -> None:
        world.broken("inside")

    lane.call_soon(lambda: lane.create_task(fails()))
    with pytest.raises(Broken, match=r"seed 1, at 0\.0000 s: inside"):
        world.run(world.now + 1)
    world.close()


def test_paused_and_dead_lanes_do_nothing() -> None:
    world = World(1)
    lanes = [world.lane(name) for name in ("runs", "sleeps", "dies")]
    ran: list[tuple[str, float]] = []
    for lane in lanes:
        lane.call_later(1.0, lambda name=lane.name: ran.append((name, world.now - 1000)))
    lanes[1].pause()
    lanes[2].kill()
    world.after(5.0, lanes[1].resume)
    world.run(world.now + 10)
    assert ran == [("runs", 1.0), ("sleeps", 5.0)]
    world.close()


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--of", "log", "--seconds", "0.1", "--from", "1"]) == 0
    assert "schedules from seed 1, 0 broken" in capsys.readouterr().out
    assert main(["--of", "groups", "--seed", "3"]) == 0
    assert "seed 3 kept all promises" in capsys.readouterr().out


def test_a_factory_gets_all_that_an_appender_needs() -> None:
    """A wrong one is found: it acknowledges what it stored nowhere."""

    class Liar:
        def __init__(self, log: Log) -> None:
            self.next = 0

        def submit(self, append: Any) -> None:
            append.base_offset = self.next
            self.next += append.header.last_offset_delta + 1
            append.done(append)

    assert "was acknowledged" in _found(lambda seed: log_run.run(seed, Liar))
