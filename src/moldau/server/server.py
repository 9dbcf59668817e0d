"""The Kafka listener: accepts connections and closes them when they rest too long or are too many."""

from __future__ import annotations

import asyncio
import logging

from moldau.broker.assembly import Node
from moldau.broker.dispatch import Dispatcher

from .connection import Connection

log = logging.getLogger(__name__)

_BACKLOG = 1024


class Server:
    """One listener of one broker."""

    def __init__(self, node: Node, idle_max_seconds: float = 600.0, connections_max: int = 2**31 - 1) -> None:
        self._node = node
        self._idle_max = idle_max_seconds
        self._connections_max = connections_max
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._reaper: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Bind and serve; returns the bound address. Raises OSError (EADDRINUSE...)."""
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher(self._node.broker)
        frame_max = self._node.options.request_max_bytes

        def connect() -> Connection:
            connection = Connection(dispatcher, frame_max, self._closed)
            self._connections.add(connection)
            if len(self._connections) > self._connections_max:
                log.warning("event=too_many_connections max=%d action=close", self._connections_max)
                loop.call_soon(connection.close)
            return connection

        self._server = await loop.create_server(connect, host, port, backlog=_BACKLOG)
        self._reap()
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)

    def _reap(self) -> None:
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._idle_max
        for connection in list(self._connections):
            if connection.idle and connection.last_active and connection.last_active < limit:
                connection.close()
        self._reaper = loop.call_later(min(self._idle_max / 4, 30.0), self._reap)

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Take no more connections, let requests under way finish, close all."""
        if self._reaper is not None:
            self._reaper.cancel()
        if self._server is not None:
            self._server.close()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        for connection in list(self._connections):
            if connection.idle or connection.only_waits:
                connection.close()
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
            for connection in list(self._connections):
                if connection.idle or connection.only_waits:
                    connection.close()
        for connection in list(self._connections):
            connection.close()
