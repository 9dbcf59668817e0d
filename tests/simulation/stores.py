"""What stands between a broker and the stores: time on the way there and back, refusals, lost replies, and requests that arrive when nobody waits any more.

The stores behind are those in memory; an operation takes effect in one moment of the world, whatever its broker does then.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import BlobError
from moldau.metadata.errors import StoreError, StoreUnavailable
from moldau.metadata.memory.lease_store import MemoryLeaseStore
from moldau.metadata.memory.log_store import MemoryLogStore
from moldau.metadata.memory.maintenance_store import MemoryMaintenanceStore
from moldau.metadata.memory_groups import MemoryGroupStore
from moldau.metadata.ports import AppendDone
from moldau.metadata.rows import AppendCommit, AppendResult

from .world import Lane, World

T = TypeVar("T")


class Weather:
    """How bad it is: the share of requests that are refused, whose replies are lost, that arrive late; and how slow the way is."""

    __slots__ = ("late", "lost", "refused", "slow")

    def __init__(self, refused: float = 0.0, lost: float = 0.0, late: float = 0.0, slow: float = 0.0) -> None:
        self.refused = refused
        self.lost = lost
        self.late = late
        self.slow = slow

    def clear(self) -> None:
        self.refused = self.lost = self.late = self.slow = 0.0


class Way:
    """From one broker to its stores. `cut`: nothing comes through, and every request fails after a while."""

    def __init__(self, world: World, lane: Lane, weather: Weather) -> None:
        self.world = world
        self.lane = lane
        self.weather = weather
        self.cut = False
        self._last: dict[object, float] = {}

    def _seconds(self) -> float:
        rng = self.world.random
        if rng.random() < self.weather.slow:
            return rng.uniform(0.05, 1.5)
        return rng.uniform(0.0001, 0.003)

    def ask(
        self,
        effect: Callable[[], T],
        told: Callable[[T | None, Exception | None], None],
        order: Iterable[object] = (),
        error: type[Exception] = StoreUnavailable,
        *,
        may_be_late: bool = True,
    ) -> None:
        """Do `effect` in the store; then call `told` on the lane, with its result, or with what went wrong.

        Effects that share something in `order` keep the order in which they were asked.
        """
        world, weather, rng = self.world, self.weather, self.world.random
        if self.cut:
            world.after(rng.uniform(0.1, 2.0), self._tell, told, None, error("the way to the store is cut"))
            return
        when = world.now + self._seconds()
        for each in order:
            when = max(when, self._last.get(each, 0.0))
        dice = rng.random()
        if dice < weather.refused:
            world.at(when + self._seconds(), self._tell, told, None, error("refused"))
            return
        dice -= weather.refused
        if may_be_late and dice < weather.late:
            # given up by the broker before it arrives
            world.at(when, self._tell, told, None, error("in doubt: it may still arrive"))
            world.at(when + rng.uniform(0.001, 3.0), self._late, effect)
            return
        lost = dice - weather.late < weather.lost
        for each in order:
            self._last[each] = when
        world.at(when, self._arrive, effect, told, lost, error)

    def _late(self, effect: Callable[[], object]) -> None:
        try:
            effect()
        except (StoreError, BlobError):
            pass  # nobody is there to be told

    def _arrive(self, effect: Callable[[], T], told: Callable[..., None], lost: bool, error: type[Exception]) -> None:
        result, failed = None, None
        try:
            result = effect()
        except (StoreError, BlobError) as raised:
            failed = raised
        if lost or self.cut:
            result, failed = None, error("in doubt: the reply is lost")
        self.world.after(self._seconds(), self._tell, told, result, failed)

    def _tell(self, told: Callable[..., None], result: object, error: Exception | None) -> None:
        self.lane.call_soon(told, result, error)

    async def wait(self, effect: Callable[[], T], order: Iterable[object] = (), **how: Any) -> T:
        """`ask` for coroutines of the lane."""
        future = self.lane.create_future()

        def told(result: T | None, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.ask(effect, told, order, **how)
        return await future  # type: ignore[no-any-return]


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing, as those of the stores in memory."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
    raise AssertionError("a store in memory waited for something")


class Remote:
    """Any store in memory, asked over the way."""

    def __init__(self, way: Way, store: Any, order: Iterable[object] = (), **how: Any) -> None:
        self._way = way
        self._store = store
        self._order = tuple(order)
        self._how = how

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        method = getattr(self._store, name)
        way, order, how = self._way, self._order, self._how

        def ask(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            return way.wait(lambda: at_once(method(*args, **kwargs)), order, **how)

        return ask


class RemoteLog(Remote):
    """`LogStore` and `AppendStore`. Appends that share a partition keep their order."""

    def __init__(self, way: Way, store: MemoryLogStore) -> None:
        super().__init__(way, store)

    def append(self, commit: AppendCommit, done: AppendDone) -> None:
        partitions = [entry.partition_id for entry in commit.entries]
        self._way.ask(lambda: self.append_now(commit), done, partitions)

    def append_now(self, commit: AppendCommit) -> list[AppendResult]:
        told: list[Any] = []
        self._store.append(commit, lambda results, error: told.extend((results, error)))
        if told[1] is not None:
            raise told[1]
        return told[0]  # type: ignore[no-any-return]

    async def append_locked(
        self, known: dict[int, int], blob_id: int, decide: Any, guards: Any = ()
    ) -> list[AppendResult]:
        """The answer is about the last commit that was decided, so it does not arrive late."""

        def effect() -> list[AppendResult]:
            return at_once(self._store.append_locked(known, blob_id, decide, guards))  # type: ignore[no-any-return]

        return await self._way.wait(effect, list(known), may_be_late=False)


class Shelf:
    """The stores in memory that all brokers share."""

    def __init__(self, world: World) -> None:
        from moldau.metadata.memory.state import MemoryState

        self.state = MemoryState("simulated", 1, world.clock)
        self.log = MemoryLogStore(self.state)
        self.maintenance = MemoryMaintenanceStore(self.state)
        self.leases = MemoryLeaseStore(self.state)
        self.groups = MemoryGroupStore(self.state)
        self.blobs = MemoryBlobs()


def remote_blobs(way: Way, blobs: MemoryBlobs) -> Any:
    """Puts and reads over the way; `read_now` has nothing without waiting."""

    class RemoteBlobs(Remote):
        def read_now(self, blob_id: int, position: int, length: int) -> None:
            return None

        def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
            return False

    return RemoteBlobs(way, blobs, error=BlobError)
