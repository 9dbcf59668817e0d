"""One schedule of leases, shards and groups: brokers that disagree about who lives, clients that commit offsets; then everything heals.

Promises: an epoch of a lease has one owner, whose writes alone are taken; an offset whose commit was acknowledged is never lower again, and whoever asks
later is told it; where clocks are true and nobody is taken for dead, two brokers never hold a lease at once; in the end each shard has one home, and a
client that goes on trying gets through.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any

from moldau.cluster.leases import Leases
from moldau.cluster.placement import order
from moldau.coordination.config import GroupConfig
from moldau.coordination.events import OffsetCommit
from moldau.coordination.shard_store import lease_of, shard_of
from moldau.coordination.shards import GroupShards
from moldau.metadata.errors import StoreError
from moldau.metadata.rows import Guard
from moldau.protocol import error_codes

from .stores import Remote, Shelf, Way, Weather, at_once
from .world import Broken, World

TOPIC = bytes(16)
CHAOS_SECONDS = 20.0
HEALED_SECONDS = 60.0
TIMEOUT_SECONDS = 2.0
STEP_SECONDS = 0.25
_AGAIN = (
    -1,
    error_codes.COORDINATOR_LOAD_IN_PROGRESS,
    error_codes.COORDINATOR_NOT_AVAILABLE,
    error_codes.NOT_COORDINATOR,
    error_codes.REQUEST_TIMED_OUT,
)


class GuardedGroups(Remote):
    """`GroupStore`: it writes down under which lease and epoch whose writes were taken. Writes of a broker keep their order."""

    def __init__(self, run: Run, way: Way, owner: str) -> None:
        super().__init__(way, run.shelf.groups, ["groups"], may_be_late=False)
        self._run = run
        self._owner = owner
        self.careless = False
        """It does not look at guards: for the test of the simulation."""

    async def write(
        self, records: list[Any], offsets: list[Any], deleted: list[Any], guard: Guard | None = None
    ) -> None:
        assert guard is not None, "a write of a shard goes under its lease"

        def effect() -> None:
            at_once(self._run.shelf.groups.write(records, offsets, deleted, None if self.careless else guard))
            self._run.took(guard, self._owner)

        await self._way.wait(effect, self._order, may_be_late=False)


class Broker:
    """One life of a broker: its leases, and the groups of the shards it holds."""

    def __init__(self, run: Run, number: int, life: int) -> None:
        world = self.world = run.world
        self.run = run
        self.number = number
        self.owner = f"{number}:{life}"
        self.lane = world.lane(f"broker {number}.{life}")
        self.way = Way(world, self.lane, run.weather)
        self.believes = {number}
        """Who lives, as far as it knows."""
        self.suspects: set[str] = set()
        self.leases = Leases(
            Remote(self.way, run.shelf.leases, may_be_late=not run.honest),  # type: ignore[arg-type]
            self.owner,
            world.clock,
            lambda: [lease_of(shard) for shard in run.shards if self.leads(shard)],
            self._gained,
            self._lost,
            lambda owner: owner in self.suspects,
        )
        self.groups = GroupShards(
            GuardedGroups(run, self.way, self.owner),  # type: ignore[arg-type]
            GroupConfig(group_initial_rebalance_delay_ms=0),
            world.clock,
            lambda topic_id: "t",
            self.leads,
            lambda shard: self.leases.forget(lease_of(shard)),
        )
        self.lane.call_soon(lambda: self.lane.create_task(self._step()))

    @property
    def alive(self) -> bool:
        return not self.lane.dead

    def leads(self, shard: int) -> bool:
        return order(shard, self.believes)[0] == self.number

    async def _step(self) -> None:
        while True:
            try:
                await self.leases.step()
            except Exception as error:
                self.world.broken(f"broker {self.owner} steps no more: {type(error).__name__}: {error}")
            await asyncio.sleep(STEP_SECONDS)

    async def _gained(self, name: str, epoch: int) -> None:
        self.world.tell("broker %s gains %s of epoch %d", self.owner, name, epoch)
        await self.groups.gain(int(name.rpartition("/")[2]), epoch)

    async def _lost(self, name: str) -> None:
        self.world.tell("broker %s loses %s", self.owner, name)
        await self.groups.lose(int(name.rpartition("/")[2]))

    def commit(self, group: str, offset: int, told: Any) -> None:
        """A request arrives."""

        async def commit() -> None:
            event = OffsetCommit(group, "", -1, [(TOPIC, 0, offset, -1, None)], commit_timestamp=self.world.clock())
            told((await self.groups.commit_offsets(event))[0])

        self.lane.call_soon(lambda: self.lane.create_task(commit()))

    def fetch(self, group: str, told: Any) -> None:
        """A request arrives. An error is not told."""

        async def fetch() -> None:
            try:
                rows = await self.groups.fetch_offsets(group, [(TOPIC, 0)])
            except StoreError:
                return
            told(rows[0].offset if rows else -1)

        self.lane.call_soon(lambda: self.lane.create_task(fetch()))


class Client:
    """Commits 1, 2, 3... for its group, each until it is acknowledged."""

    def __init__(self, run: Run, group: str, count: int) -> None:
        self.run = run
        self.world = run.world
        self.group = group
        self.count = count
        self.acknowledged = 0
        self.sent = 0
        self._asked = 0
        self._broker: Broker | None = None

    @property
    def done(self) -> bool:
        return self.acknowledged == self.count

    def send(self) -> None:
        if self.done:
            return
        if self._broker is None or not self._broker.alive:
            self._broker = self.world.random.choice(list(self.run.brokers.values()))
        self._asked += 1
        self.sent = self.acknowledged + 1
        asked, offset, broker = self._asked, self.sent, self._broker
        self.world.tell("%s commits %d at broker %s", self.group, offset, broker.owner)

        def told(error: int) -> None:
            if broker.alive:
                self.world.after(0.001, self._told, asked, offset, error)

        self.world.after(0.001, broker.commit, self.group, offset, told)
        self.world.after(TIMEOUT_SECONDS, self._told, asked, offset, -1)

    def _told(self, asked: int, offset: int, error: int) -> None:
        if asked != self._asked:
            return
        self._asked += 1  # what comes later is not listened to
        self.world.tell("%s is told of %d: %d", self.group, offset, error)
        if error == 0:
            self.acknowledged = offset
            there = self.run.stored(self.group)
            if there < offset:
                self.world.broken(f"{self.group}: {offset} is acknowledged, {there} is stored")
        elif error in _AGAIN:
            self._broker = None
        else:
            self.world.broken(f"{self.group}: the commit of {offset} was refused with error {error}")
        self.world.after(self.world.random.uniform(0.01, 0.8), self.send)


class Run:
    """`go` raises Broken with the seed."""

    def __init__(self, seed: int, *, tells: bool = False) -> None:
        self.world = world = World(seed, tells=tells)
        rng = world.random
        self.shelf = Shelf(world)
        self.honest = rng.random() < 0.5
        """Nobody is taken for dead who lives, and what a broker gave up does not arrive."""
        bad = rng.choice((0.0, 0.05, 0.2))
        self.weather = Weather(bad * rng.random(), bad * rng.random(), 0.0 if self.honest else bad * rng.random())
        self.weather.slow = rng.choice((0.0, 0.05, 0.3))
        self.taken: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.clients = [Client(self, f"g{n}", rng.randint(3, 25)) for n in range(rng.choice((1, 2, 3, 8)))]
        self.shards = sorted({shard_of(client.group) for client in self.clients})
        self.lives: Counter[int] = Counter()
        self.brokers: dict[int, Broker] = {}
        for number in range(1, rng.choice((2, 2, 3)) + 1):
            self._start(number)
        for broker in self.brokers.values():
            broker.believes = set(self.brokers)

    def go(self) -> None:
        world = self.world
        rng = world.random
        try:
            for client in self.clients:
                world.after(rng.uniform(0, 1), client.send)
            for _ in range(rng.choice((0, 2, 4, 8))):
                world.after(rng.uniform(0, CHAOS_SECONDS), self._harm)
            for number in range(40):
                world.after(number * CHAOS_SECONDS / 40, self._look)
            world.run(world.now + CHAOS_SECONDS)
            self._heal()
            world.run(world.now + HEALED_SECONDS, lambda: all(client.done for client in self.clients))
            for client in self.clients:
                if not client.done:
                    world.broken(f"{client.group} does not get through, and stays at {client.acknowledged}")
            world.run(world.now + 12)
            self._check()
        except Broken:
            raise
        except Exception as error:
            raise Broken(f"seed {world.seed}: {type(error).__name__}: {error}") from error
        finally:
            world.close()

    def stored(self, group: str) -> int:
        rows = at_once(self.shelf.groups.fetch_offsets(group, [(TOPIC, 0)]))
        return rows[0].offset if rows else -1

    def took(self, guard: Guard, owner: str) -> None:
        """The store took a write under that guard."""
        owners = self.taken[guard.name, guard.epoch]
        owners.add(owner)
        if len(owners) > 1:
            self.world.broken(f"{guard} is of {owners}")
        for client in self.clients:
            if max(self.stored(client.group), 0) < client.acknowledged:
                self.world.broken(f"{client.group} went back from {client.acknowledged} to {self.stored(client.group)}")

    # -- what happens -----------------------------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        self.lives[number] += 1
        broker = self.brokers[number] = Broker(self, number, self.lives[number])
        broker.believes = {number} | {n for n, other in self.brokers.items() if other.alive}
        self._heard(number, True)

    def _heard(self, number: int, alive: bool, owner: str = "") -> None:
        """The others hear of it sooner or later."""
        for other in list(self.brokers.values()):
            if other.number != number:
                self.world.after(self.world.random.uniform(0.01, 1.5), self._hears, other, number, alive, owner)

    def _hears(self, broker: Broker, number: int, alive: bool, owner: str) -> None:
        (broker.believes.add if alive else broker.believes.discard)(number)
        if owner:
            broker.suspects.add(owner)

    def _harm(self) -> None:
        world, rng = self.world, self.world.random
        number = rng.choice(list(self.brokers))
        broker = self.brokers[number]
        what = rng.choice(("kill", "pause", "cut", "doubt"))
        seconds = rng.choice((0.1, 2.0, 9.0)) * rng.random()
        world.tell("%s broker %s for %.3f s", what, broker.owner, seconds)
        if what == "kill":
            broker.lane.kill()
            self._heard(number, False, broker.owner)
            world.after(seconds, lambda: self.brokers[number].alive or self._start(number))
        elif what == "pause":
            broker.lane.pause()
            self._heard(number, False, "" if self.honest else broker.owner)
            world.after(seconds, self._resume, broker)
        elif what == "cut":
            broker.way.cut = True
            world.after(seconds, setattr, broker.way, "cut", False)
        else:
            # the others do not see it for a while
            self._heard(number, False, "" if self.honest else broker.owner)
            world.after(seconds, self._resume, broker)

    def _resume(self, broker: Broker) -> None:
        broker.lane.resume()
        if broker.alive:
            self._heard(broker.number, True)

    def _look(self) -> None:
        rng = self.world.random
        client = rng.choice(self.clients)
        floor = client.acknowledged
        broker = rng.choice(list(self.brokers.values()))

        def told(offset: int) -> None:
            if not floor <= max(offset, 0) <= client.sent:
                self.world.broken(f"broker {broker.owner} says {offset}; {floor} was acknowledged, {client.sent} sent")

        broker.fetch(client.group, told)
        if self.honest:
            for shard in self.shards:
                holders = [b.owner for b in self.brokers.values() if b.alive and lease_of(shard) in b.leases.held]
                if len(holders) > 1:
                    self.world.broken(f"{lease_of(shard)} is held by {holders}")

    def _heal(self) -> None:
        self.world.tell("all is mended")
        self.weather.clear()
        for number, broker in list(self.brokers.items()):
            broker.way.cut = False
            broker.lane.resume()
            if not broker.alive:
                self._start(number)
        self.world.after(2.0, self._know)

    def _know(self) -> None:
        """In the end everybody knows who lives."""
        for broker in self.brokers.values():
            broker.believes = set(self.brokers)
            broker.suspects.clear()

    # -- what must be true ------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        for client in self.clients:
            if self.stored(client.group) != client.count:
                self.world.broken(f"{client.group} ends at {self.stored(client.group)}, {client.count} was committed")
        for shard in self.shards:
            homes = [broker.owner for broker in self.brokers.values() if shard in broker.groups.held]
            if len(homes) != 1:
                self.world.broken(f"shard {shard} has the homes {homes}; believed alive: {self._beliefs()}")

    def _beliefs(self) -> dict[str, list[int]]:
        return {broker.owner: sorted(broker.believes) for broker in self.brokers.values()}


def run(seed: int, *, tells: bool = False) -> Run:
    """The run, which kept all promises. Raises Broken."""
    it = Run(seed, tells=tells)
    try:
        it.go()
    except Broken as broken:
        for line in it.world.story[-60:]:
            broken.add_note(line)
        raise
    return it
