"""TCP links that can be cut, stalled and slowed, each in front of a port; all on one thread of their own, so that blocking tests can use them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Self

from .tcp_proxy import FaultProxy, fault_proxy


class Link:
    """`port` is where those who use it connect."""

    def __init__(self, name: str, proxy: FaultProxy, do: Callable[[Callable[[], None]], None]) -> None:
        self.name = name
        self.port = proxy.port
        self._proxy = proxy
        self._do = do

    def cut(self) -> None:
        """Connections break, and new ones are refused, until `mend`."""

        def cut() -> None:
            self._proxy.refusing = True
            self._proxy.cut_all()

        self._do(cut)

    def stall(self) -> None:
        """Nothing passes and nothing breaks, as when a cable is out, until `mend`."""
        self._do(lambda: setattr(self._proxy, "stalled", True))

    def slow(self, seconds: float) -> None:
        """Each piece takes that much longer, in both directions, until `mend`."""
        self._do(lambda: setattr(self._proxy, "delay", seconds))

    def lose_reply(self) -> None:
        """The next request passes, its answer does not, and the connection breaks."""
        self._do(self._proxy.lose_reply)

    def mend(self) -> None:
        def mend() -> None:
            self._proxy.refusing = self._proxy.stalled = False
            self._proxy.delay = 0.0

        self._do(mend)


class Links:
    """`with Links() as links: link = links.to(port)`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)
        self.all: list[Link] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        assert not self._thread.is_alive()
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()

    def to(self, port: int, name: str = "") -> Link:
        """A new link to that loopback port."""

        async def make() -> FaultProxy:
            return await self._stack.enter_async_context(fault_proxy(port))

        proxy = asyncio.run_coroutine_threadsafe(make(), self._loop).result(10)
        link = Link(name, proxy, self._now)
        self.all.append(link)
        return link

    def mend(self) -> None:
        """All of them."""
        for link in self.all:
            link.mend()

    def _now(self, action: Callable[[], None]) -> None:
        """Do it on the links' thread, and return when it is done."""

        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)
