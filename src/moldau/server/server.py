"""The Kafka listener: accepts connections and closes them when they rest too long or are too many."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter

from moldau.broker.assembly import Node
from moldau.broker.dispatch import Dispatcher

from .connection import Connection

log = logging.getLogger(__name__)


class Server:
    """One listener of one broker."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._options = node.options
        self._idle_max = node.options.idle_max_ms / 1000
        self._by_host: Counter[str] = Counter()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._reaper: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Bind and serve; returns the bound address. Raises OSError (EADDRINUSE...)."""
        loop = asyncio.get_running_loop()
        dispatcher = Dispatcher(self._node.broker)
        frame_max = self._node.options.request_max_bytes

        def connect() -> Connection:
            return Connection(dispatcher, frame_max, self._opened, self._closed)

        self._server = await loop.create_server(connect, host, port, backlog=self._options.backlog)
        self._reap()
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    def _opened(self, connection: Connection) -> bool:
        """Whether the connection may stay."""
        options, host = self._options, connection.peer.host
        if len(self._connections) >= options.connections_max or self._by_host[host] >= options.connections_per_ip_max:
            log.warning("event=too_many_connections peer=%s open=%d action=close", host, len(self._connections))
            return False
        self._connections.add(connection)
        self._by_host[host] += 1
        connection.set_buffers(options.send_buffer_bytes, options.receive_buffer_bytes)
        return True

    def _closed(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.discard(connection)
            self._by_host[connection.peer.host] -= 1

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
