"""Virtual time, and an event loop for each broker that runs only when the world lets it.

The world is one heap of things to come. Each broker has a `Lane`: an asyncio event loop without sockets and threads, which runs its ready callbacks
turn by turn. A paused lane runs nothing while time goes on; a dead one never runs again. Everything is a function of the seed.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any


class Broken(AssertionError):
    """A promise was not kept."""


class Lane(asyncio.AbstractEventLoop):
    """The loop of one broker. Only what tasks, futures, locks and timers need."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.paused = False
        self.dead = False
        self._tasks: list[asyncio.Task[Any]] = []

    def __repr__(self) -> str:
        return f"<lane {self.name}>"

    # -- what asyncio asks of a loop ------------------------------------------------------------------------------------

    def time(self) -> float:
        return self.world.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._add(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.world.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self.world.at(when, self._add, handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Coroutine[Any, Any, Any], *, name: Any = None, context: Any = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead and not isinstance(context.get("exception"), Broken):
            self.world.broken(f"{self.name}: {context.get('message')}: {context.get('exception')!r}")

    # -- the world's part -----------------------------------------------------------------------------------------------

    def _add(self, handle: asyncio.Handle) -> None:
        if self.dead or handle._cancelled:
            return
        if not self.ready and not self.paused:
            self.world.active.append(self)
        self.ready.append(handle)

    def turn(self) -> None:
        """What is ready now; what becomes ready meanwhile waits for the next turn."""
        ready = self.ready
        events._set_running_loop(self)
        try:
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)

    def pause(self) -> None:
        """As SIGSTOP."""
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            if self.ready and not self.dead:
                self.world.active.append(self)

    def kill(self) -> None:
        """As SIGKILL: what was under way in stores and networks goes on, what is in memory is gone."""
        self.dead = True
        self.ready.clear()

    def close(self) -> None:
        """After the run: coroutines that never ended are closed, so that the collector need not."""
        self.dead = True
        events._set_running_loop(self)
        try:
            for task in self._tasks:
                if not task.done():
                    try:
                        task.get_coro().close()  # type: ignore[union-attr]
                    except Exception:
                        pass  # it waited for something in a `finally`
        finally:
            events._set_running_loop(None)
        self._tasks.clear()


class World:
    """`now` is in seconds. `story` is what happened, for who reads a failure; it is kept only if `tells`."""

    def __init__(self, seed: int, *, tells: bool = False) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 1000.0
        self.active: deque[Lane] = deque()
        self.lanes: list[Lane] = []
        self.story: list[str] = []
        self._tells = tells
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0
        self._failure: Broken | None = None

    def clock(self) -> int:
        """The time of the stores, and every broker's clock, in ms."""
        return int(self.now * 1000)

    def lane(self, name: str) -> Lane:
        lane = Lane(self, name)
        self.lanes.append(lane)
        return lane

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> None:
        """Call it then."""
        self._count += 1
        heappush(self._heap, (when, self._count, callback, args))

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        self.at(self.now + seconds, callback, *args)

    def tell(self, text: str, *args: object) -> None:
        """`text` is a format of `%`."""
        if self._tells:
            self.story.append(f"{self.now - 1000:9.4f} {text % args if args else text}")

    def broken(self, text: str) -> None:
        """Raises Broken; where a loop or a task would swallow it, the world raises it once more."""
        if self._failure is None:
            self._failure = Broken(f"seed {self.seed}, at {self.now - 1000:.4f} s: {text}")
        raise self._failure

    def run(self, until: float, enough: Callable[[], bool] = lambda: False) -> None:
        """Until that time, or until it is enough, or nothing is to come."""
        heap, active = self._heap, self.active
        while True:
            while active:
                lane = active.popleft()
                if lane.paused or lane.dead or not lane.ready:
                    continue
                lane.turn()
                if self._failure is not None:
                    raise self._failure
                if lane.ready:
                    active.append(lane)
            if not heap or heap[0][0] > until or enough():
                return
            when, _, callback, args = heappop(heap)
            if when > self.now:
                self.now = when
            callback(*args)

    def close(self) -> None:
        self._heap.clear()
        for lane in self.lanes:
            lane.close()
