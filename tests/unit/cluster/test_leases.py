from __future__ import annotations

from support.aio import run
from support.stores import ManualClock

from moldau.cluster.leases import TTL_MS, Leases
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.memory.lease_store import MemoryLeaseStore
from moldau.metadata.memory.state import MemoryState


class Broker:
    """Leases of one broker and what was told about them."""

    def __init__(self, world: World, owner: str) -> None:
        self.wanted: set[str] = set()
        self.told: list[str] = []
        self.leases = Leases(
            world,
            owner,
            lambda: world.clock.now,
            lambda: self.wanted,
            self._gained,
            self._lost,
            world.dead.__contains__,
        )  # type: ignore[arg-type]

    async def _gained(self, name: str, epoch: int) -> None:
        self.told.append(f"+{name}@{epoch}")

    async def _lost(self, name: str) -> None:
        self.told.append(f"-{name}")


class World:
    """One store, which may be away."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryLeaseStore(MemoryState("c", 1, self.clock))
        self.away = False
        self.dead: set[str] = set()

    def __getattr__(self, name: str) -> object:
        if self.away:
            raise StoreUnavailable("away")
        return getattr(self.store, name)


def test_leases_go_where_they_are_wanted() -> None:
    async def main() -> None:
        world = World()
        one, two = Broker(world, "1:1"), Broker(world, "2:1")
        one.wanted = {"a", "b"}
        await one.leases.step()
        assert one.told == ["+a@1", "+b@1"]
        one.wanted, two.wanted = {"a"}, {"b"}
        await two.leases.step()
        assert two.told == []  # not yet given back
        await one.leases.step()
        await two.leases.step()
        assert (one.told[2:], two.told) == (["-b"], ["+b@2"])
        await one.leases.close()
        assert (one.told[3:], one.leases.held) == (["-a"], [])

    run(main())


def test_a_renewed_lease_lasts_and_one_that_is_not_moves() -> None:
    async def main() -> None:
        world = World()
        one, two = Broker(world, "1:1"), Broker(world, "2:1")
        one.wanted = two.wanted = {"a"}
        for _ in range(5):
            await one.leases.step()
            await two.leases.step()
            world.clock.now += TTL_MS - 1
        assert (one.told, two.told) == (["+a@1"], [])
        world.clock.now += 1
        assert one.leases.held == []  # it stops acting by its own clock
        await two.leases.step()
        assert two.told == ["+a@2"]
        await one.leases.step()
        assert one.told == ["+a@1", "-a"]
        two.leases.forget("a")
        assert two.leases.held == []

    run(main())


def test_without_a_store_leases_end() -> None:
    async def main() -> None:
        world = World()
        one = Broker(world, "1:1")
        one.wanted = {"a"}
        await one.leases.step()
        world.away = True
        world.clock.now += TTL_MS - 1
        await one.leases.step()
        assert one.told == ["+a@1"]
        world.clock.now += 1
        await one.leases.step()
        assert one.told == ["+a@1", "-a"]
        world.away = False
        await one.leases.step()
        assert one.told[2:] == ["+a@1"]  # nobody else had it
        world.away = True
        await one.leases.close()

    run(main())


def test_leases_of_the_dead_are_taken_at_once() -> None:
    async def main() -> None:
        world = World()
        one, two = Broker(world, "1:1"), Broker(world, "2:1")
        one.wanted = two.wanted = {"a"}
        await one.leases.step()
        await two.leases.step()
        assert two.told == []
        world.dead.add("1:1")
        await two.leases.step()
        assert two.told == ["+a@2"]
        world.clock.now += 1001
        await one.leases.step()  # it lives after all, and learns that it has nothing more
        assert one.told[:2] == ["+a@1", "-a"]

    run(main())


def test_a_lease_that_is_forgotten_while_others_go() -> None:
    """A write that the store refuses may say that the second lease is lost while the broker still ends its work under the first."""

    async def main() -> None:
        world = World()
        one, two = Broker(world, "1:1"), Broker(world, "2:1")
        one.wanted = {"a", "b"}
        for how in ("renewed", "given back"):
            await one.leases.step()
            assert set(one.leases.held) == {"a", "b"}

            async def lost(name: str) -> None:
                one.told.append(f"-{name}")
                one.leases.forget("a")
                one.leases.forget("b")

            one.leases._lost = lost
            if how == "renewed":
                world.clock.now += TTL_MS + 1
                two.wanted = {"a", "b"}
                await two.leases.step()
                await one.leases.step()
                two.wanted = set()
                await two.leases.step()
                world.clock.now += TTL_MS + 1
            else:
                one.wanted = set()
                await one.leases.step()
            assert one.leases.held == []
            assert "-a" in one.told

    run(main())
