"""Random lives of streams groups: members come, go, fall silent and miss answers, topics grow, the broker dies, the store fails.

After each step: no two members of the group run the same active task, and no process has two tasks with the same state directory. After a
while of peace every task is run by somebody, and the group is stable.
"""

from __future__ import annotations

import random

import pytest
from streams_play import STATEFUL, StreamsPlay, Topics

from moldau.coordination.streams.tasks import Assignment

SEEDS = 40
STEPS = 120


class World:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.play = StreamsPlay(
            STATEFUL,
            Topics(**{"in": 4, "log": 4}),
            num_standby_replicas=self.random.choice((0, 0, 1, 2)),
            initial_rebalance_delay_ms=self.random.choice((0, 3_000)),
            assignment_interval_ms=self.random.choice((0, 1_000)),
        )
        self.alive: dict[str, str | None] = {}
        """Member id to its instance id."""
        self.missed: set[str] = set()
        """Who had no answer to the last heartbeat. As Kafka Streams does, they send everything anew with the next one."""
        self.made = 0
        self.partitions = 4
        self.story: list[str] = []

    def step(self) -> None:
        actions = (
            [self.beat] * 12 + [self.join] * 2 + [self.leave, self.die, self.bounce, self.wait, self.lose] + [self.wait]
        )
        actions += [self.grow, self.restart, self.fail]
        action = self.random.choice(actions)
        if action is not self.join and not self.alive:
            action = self.join
        self.story.append(action.__name__)
        action()
        self.check()

    def pick(self) -> str:
        return self.random.choice(sorted(self.alive))

    def beat(self, name: str | None = None) -> None:
        name = name or self.pick()
        instance_id = self.alive[name]
        anew = {"rebalance_timeout_ms": 60_000} if name in self.missed else {}
        self.play.beat(name, instance_id=instance_id, **anew)
        assert self.play.last is not None
        self.missed.discard(name)
        if self.play.last.error_code in (25, 110, 82):  # UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH, FENCED_INSTANCE_ID
            self.play.runs[name] = Assignment()
            if self.play.last.error_code == 82:
                del self.alive[name]
            else:
                self.play.join(name, instance_id=instance_id)

    def join(self, instance_id: str | None = None) -> None:
        if len(self.alive) >= 5:
            return
        self.made += 1
        name = f"{self.random.choice('abc')}{self.made}"
        if instance_id is None and self.random.random() < 0.3:
            instance_id = f"i{self.made}"
        self.play.join(name, instance_id=instance_id)
        if self.play.last is not None and not self.play.last.error_code:
            self.alive[name] = instance_id

    def leave(self) -> None:
        name = self.pick()
        self.play.runs[name] = Assignment()
        self.play.leave(name, instance_id=self.alive.pop(name))

    def bounce(self) -> None:
        """A static member goes for a while, and another member id takes its place."""
        name = self.pick()
        instance_id = self.alive[name]
        if instance_id is None:
            return
        self.play.runs[name] = Assignment()
        self.play.leave(name, -2, instance_id=instance_id)
        del self.alive[name]
        for _ in range(self.random.randrange(4)):
            if self.alive:
                self.beat()
                self.check()
        self.join(instance_id)

    def die(self) -> None:
        name = self.pick()
        self.play.runs[name] = Assignment()
        del self.alive[name]

    def wait(self) -> None:
        self.play.after(self.random.choice((500, 1_000, 5_000, 20_000, 46_000)))

    def lose(self) -> None:
        """The answer to a heartbeat is lost: the member goes on with what it knew."""
        name = self.pick()
        epoch, runs = self.play.epochs[name], self.play.runs[name]
        self.play.beat(name, instance_id=self.alive[name])
        self.play.epochs[name], self.play.runs[name] = epoch, runs
        self.missed.add(name)

    def grow(self) -> None:
        if self.partitions < 8:
            self.partitions += 1
            for topic in ("in", "log"):
                self.play.topics.put(topic, self.partitions)

    def restart(self) -> None:
        self.play.restart()

    def fail(self) -> None:
        self.play.store_fails = True
        self.beat()
        self.play.store_fails = False

    def check(self) -> None:
        group = self.play.group
        running: dict[tuple[str, int], str] = {}
        held: set[tuple[str, tuple[str, int]]] = set()
        for name in self.alive:
            if group is None or name not in group.members:
                continue  # it is out, and what it commits is refused
            mine = self.play.runs[name]
            for task in mine.active:
                assert task not in running, (task, running[task], name, self.story)
                running[task] = name
            for task in mine.active | mine.standby:
                place = (group.members[name].process_id, task)
                assert place not in held, (place, name, self.story)
                held.add(place)

    def peace(self) -> None:
        if not self.alive:
            self.join()
        for _ in range(30):
            self.play.after(5_000)
            for name in sorted(self.alive):
                self.beat(name)
                self.check()
        running = [task for name in self.alive for task in self.play.runs[name].active]
        assert sorted(running) == [("0", partition) for partition in range(self.partitions)], self.story
        assert self.play.group.state == "Stable", self.story
        before = dict(self.play.records)
        self.play.restart()
        assert self.play.group.state == "Stable"
        for name in sorted(self.alive):
            self.beat(name)
        assert self.play.records == before


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_life(seed: int) -> None:
    world = World(seed)
    for _ in range(STEPS):
        world.step()
    world.peace()
