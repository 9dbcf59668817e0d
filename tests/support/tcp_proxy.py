"""A TCP proxy that loses what it is told to lose, between a store and those who use it. Runs on the test's loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FaultProxy:
    """Faults are for the next bytes of any connection, and then over; `stalled`, `refusing` and `delay` last."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self.port = 0
        self.requests = 0
        """Pieces that came from clients."""
        self.connections = 0
        self.refusing = False
        """New connections are cut at once."""
        self.stalled = False
        """Nothing passes, and nothing is cut."""
        self.delay = 0.0
        """Each piece takes that many seconds longer."""
        self._lose_request = False
        self._lose_reply = False
        self._skip = 0
        self.lost = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def lose_request(self, skip: int = 0) -> None:
        """Cut a connection instead of passing on what its client says next (after `skip` more requests)."""
        self.lost.clear()
        self._lose_request, self._skip = True, skip

    def lose_reply(self, skip: int = 0) -> None:
        """Pass the next request on, but cut the connection when the server answers it."""
        self.lost.clear()
        self._lose_reply, self._skip = True, skip

    def cut_all(self) -> None:
        """Every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.refusing:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        losing = asyncio.Event()

        async def requests() -> None:
            while data := await reader.read(1 << 20):
                self.requests += 1
                await self._pass()
                if self._skip:
                    self._skip -= 1
                elif self._lose_request:
                    self._lose_request = False
                    return
                elif self._lose_reply:
                    self._lose_reply = False
                    losing.set()
                up_writer.write(data)

        async def replies() -> None:
            while data := await up_reader.read(1 << 20):
                await self._pass()
                if losing.is_set():
                    return
                writer.write(data)

        tasks = [asyncio.ensure_future(requests()), asyncio.ensure_future(replies())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._writers -= {writer, up_writer}
            writer.transport.abort()
            up_writer.transport.abort()
            self.lost.set()

    async def _pass(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        while self.stalled:
            await asyncio.sleep(0.005)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def fault_proxy(port: int) -> AsyncIterator[FaultProxy]:
    """In front of that loopback port."""
    proxy = FaultProxy(port)
    server = await asyncio.start_server(proxy._accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in list(proxy._tasks):
            task.cancel()
        await asyncio.gather(*proxy._tasks, return_exceptions=True)
        await server.wait_closed()
