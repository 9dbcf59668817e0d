"""The Kafka listeners: they accept connections, and close those that rest too long, are too many, or hold up others."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Any

from moldau.broker.assembly import Node
from moldau.broker.broker import Endpoint
from moldau.broker.config.effective import BrokerConfig
from moldau.broker.config.listeners import Listener, Listeners
from moldau.broker.dispatch import Dispatcher

from .admission import MAX, Admission, resolved
from .busy_poll import BusyPoll
from .connection import Connection
from .frame_budget import FrameBudget
from .listening import bind_all

log = logging.getLogger(__name__)

_STALLED_SECONDS = 30.0
"""A connection that does not move for so long is closed, if it holds what others wait for."""
_TICK_SECONDS = 5.0


class ListenError(Exception):
    """A listener cannot be opened; the text says which and why."""


class Server:
    """All listeners of one broker."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._options = node.options
        self._idle_max = node.options.idle_max_ms / 1000
        self._connections: set[Connection] = set()
        self._endpoints: list[tuple[Endpoint, list[socket.socket]]] = []
        self._listening: list[asyncio.Server] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._resolving: asyncio.Future[dict[str, int]] | None = None
        self._stalled: dict[Connection, tuple[object, float]] = {}
        self._numbers = 0
        self.frame_max = node.options.request_max_bytes
        self.budget = FrameBudget(node.options.pending_max_bytes)
        self.busy_poll: BusyPoll
        self.admission: Admission
        self.accepted = 0
        self.bound: list[Listener] = []

    async def bind(self, listeners: Listeners) -> None:
        """Take the ports; nobody is served yet. Raises ListenError."""
        for listener in listeners.bound:
            sockets = await self._bind(listener)
            port = sockets[0].getsockname()[1]
            self._endpoints.append((_endpoint(listener, listeners.advertised.get(listener.name), port), sockets))
            self.bound.append(Listener(listener.name, listener.host, port, listener.protocol))

    @property
    def endpoints(self) -> list[Endpoint]:
        """What clients of each listener are told."""
        return [endpoint for endpoint, _ in self._endpoints]

    def listen(self) -> None:
        """Take connections, which wait for `serve`. Another broker that was refused here would tell clients that this one is not there."""
        for _, sockets in self._endpoints:
            for link in sockets:
                link.listen(self._options.backlog)

    async def serve(self) -> list[Endpoint]:
        """Serve on the ports that `bind` took, now that the node is up; returns what clients of each listener are told."""
        broker = self._node.broker
        settings = self._options.settings
        limits = settings.of_listeners(MAX) if settings is not None else {}
        self.admission = Admission(self._setting, limits, self._overrides_changed)
        self.busy_poll = BusyPoll(asyncio.get_running_loop(), self._options.busy_poll_us / 1e6)
        dispatcher = Dispatcher(broker)
        for endpoint, sockets in self._endpoints:
            while sockets:
                await self._serve(dispatcher, endpoint, sockets.pop(0))
        self._tick()
        return broker.endpoints

    async def _bind(self, listener: Listener) -> list[socket.socket]:
        try:
            return await bind_all(listener.host, listener.port)
        except OSError as error:  # gaierror among them
            raise ListenError(
                f"cannot listen on {listener}: {error.strerror or error}."
                f" Choose another address with --set listeners={listener.name}://HOST:PORT."
            ) from error

    async def _serve(self, dispatcher: Dispatcher, endpoint: Endpoint, link: socket.socket) -> None:
        def connect() -> Connection:
            self._numbers += 1
            return Connection(dispatcher, self, endpoint, self._numbers)

        loop = asyncio.get_running_loop()
        self._listening.append(await loop.create_server(connect, sock=link, backlog=self._options.backlog))

    def _setting(self, key: str) -> Any:
        config: BrokerConfig = self._node.broker.configs.broker
        return config[key]

    @property
    def connections(self) -> int:
        """Open now."""
        return len(self._connections)

    # -- connections --------------------------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> bool:
        """Whether the connection may stay."""
        peer = connection.peer
        refused = self.admission.enter(peer.endpoint.listener, peer.host)
        if refused is not None:
            log.warning("event=too_many_connections peer=%s limit=%s action=close", peer, refused)
            return False
        self.accepted += 1
        self._connections.add(connection)
        connection.set_buffers(self._options.send_buffer_bytes, self._options.receive_buffer_bytes)
        log.debug("event=connected peer=%s listener=%s", peer, peer.endpoint.listener)
        return True

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        if connection in self._connections:
            self._connections.discard(connection)
            self.admission.leave(connection.peer.endpoint.listener, connection.peer.host)
            self._node.broker.shares.hung_up(connection.peer.number)
            log.debug("event=disconnected peer=%s", connection.peer)

    def _overrides_changed(self, text: str) -> None:
        """`max.connections.per.ip.overrides` is another: host names in it are looked up aside."""

        def done(future: asyncio.Future[dict[str, int]]) -> None:
            if not future.cancelled() and self._resolving is future:
                self.admission.overrides = future.result()

        self.admission.overrides = resolved(text, _literal)
        future = asyncio.get_running_loop().run_in_executor(None, resolved, text, _addresses)
        self._resolving = future
        future.add_done_callback(done)

    def _tick(self) -> None:
        """Close what was idle for too long, and what does not move while others wait for what it holds."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        limit = now - self._idle_max
        others_wait = self.budget.waiting > 0
        full = self._node.broker.outbox.full
        stalled: dict[Connection, tuple[object, float]] = {}
        for connection in list(self._connections):
            if connection.idle and connection.last_active < limit:
                log.debug("event=idle peer=%s action=close", connection.peer)
                if connection.writing_paused:  # nobody would ever take the rest
                    connection.abort()
                else:
                    connection.close()
            elif (others_wait and connection.half_read) or (full and connection.writing_paused):
                progress = connection.progress
                before, since = self._stalled.get(connection, (None, now))
                if before != progress:
                    since = now
                if now - since >= _STALLED_SECONDS:
                    what = "sends" if connection.half_read else "reads"
                    log.warning(
                        "event=stalled peer=%s seconds=%.0f reason='it no longer %s, and others wait for the memory'"
                        " action=close",
                        connection.peer,
                        now - since,
                        what,
                    )
                    connection.abort()
                else:
                    stalled[connection] = (progress, since)
        self._stalled = stalled
        self._ticker = loop.call_later(min(self._idle_max / 4, _TICK_SECONDS), self._tick)

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Take no more connections, let requests under way finish, close all."""
        if self._ticker is not None:
            self._ticker.cancel()
        for listening in self._listening:
            listening.close()
        for _, sockets in self._endpoints:
            while sockets:
                sockets.pop().close()
        deadline = asyncio.get_running_loop().time() + grace_seconds
        self._close_resting()
        while self._connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.005)
            self._close_resting()
        for connection in list(self._connections):
            connection.abort()

    def _close_resting(self) -> None:
        for connection in list(self._connections):
            if connection.idle or connection.only_waits:
                connection.close()


def _endpoint(bound: Listener, told: Listener | None, port: int) -> Endpoint:
    """What clients are told: `advertised.listeners`, else the address that is bound, else the machine's name."""
    if told is None:
        return Endpoint(bound.name, bound.host or socket.gethostname(), port)
    return Endpoint(bound.name, told.host or socket.gethostname(), told.port or port)


def _literal(host: str) -> list[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return []


def _addresses(host: str) -> list[str]:
    return _literal(host) or [str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
