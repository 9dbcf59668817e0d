"""From a frame to a handler and back: request header, version check, decode, handle, encode.

Handlers live in `moldau.broker.api`, one module for each API, imported when first asked for. Each module has `API_KEY`, `VERSIONS`
(what ApiVersions advertises) and either

- `async def handle(broker, request) -> Message`: the ordinary kind, run as a task. It runs to its end although the connection goes, so
  that what it has stored and what is in memory stay the same; `WAITS = True` says that it only waits and may be cancelled. With
  `def at_once(broker, request, reply) -> bool` beside it, which completes `reply` without a task, or has done nothing when it says False; or
- `def begin(broker, request, reply)`: the hot kind, which completes `reply` itself, at once or later. It may give it a `repeat`: then the same
  request of that connection is not even decoded again (`moldau.broker.routine`).

`at_once` and `begin` may give the reply a `learn`, which is then called with the frame: whatever it puts into `Peer.again` under the key of the API sees the
connection's next frames of that API first, and may handle them without decoding (`moldau.broker.recurring`, `moldau.broker.produce_shape`).

Bytes that do not decode, and keys or versions that are not advertised, close the connection, as in Kafka; ApiVersions above its
maximum is answered in version 0 form.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from struct import Struct
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from moldau.cluster.notes import PEER_API, unpack
from moldau.host_port import host_port
from moldau.protocol import api_keys, error_codes
from moldau.protocol.errors import ProtocolError
from moldau.protocol.primitives import tag_head, uvarint
from moldau.protocol.registry import request_class

from . import served
from .routine import Routine

if TYPE_CHECKING:
    from .broker import Broker, Endpoint

log = logging.getLogger(__name__)

_HEADER = Struct(">hhih")
_INT32 = Struct(">i")
_LENGTH_AND_ID = Struct(">ii")
_LENGTH_ID_TAGS = Struct(">iiB")

Buffer = bytes | bytearray | memoryview


class Again(Protocol):
    """Knows requests of one connection by their bytes."""

    def begin(self, frame: bytearray, reply: Reply) -> bool:
        """Handle the request if it is known, and say True; else do nothing."""
        ...


class Peer:
    """Who is at the other end of a connection, and by which way: `endpoint` is what clients of that listener are told.

    As text it is HOST:PORT#NUMBER; the number is the connection's and stands in each of its log lines.
    """

    __slots__ = ("again", "endpoint", "host", "number", "port", "routine", "software_name", "software_version")

    def __init__(self, host: str, port: int, number: int, endpoint: Endpoint) -> None:
        self.host = host
        self.port = port
        self.number = number
        self.endpoint = endpoint
        self.software_name = ""
        self.software_version = ""
        self.routine: Routine | None = None
        """The request that it makes again and again, if its last one may be answered as before."""
        self.again: dict[int, Again] = {}
        """By API key: what knows some of its requests without decoding them."""

    def __str__(self) -> str:
        return f"{host_port(self.host, self.port)}#{self.number}"


class Request:
    """One decoded request."""

    __slots__ = ("api_key", "client_id", "correlation_id", "message", "peer", "started", "version")

    def __init__(self, peer: Peer, api_key: int, version: int, correlation_id: int, client_id: str | None) -> None:
        self.peer = peer
        self.api_key = api_key
        self.version = version
        self.correlation_id = correlation_id
        self.client_id = client_id
        self.message: Any = None
        self.started = 0


class Reply:
    """The place of one reply in its connection's order."""

    __slots__ = ("_ready", "buffers", "close", "complete", "held_bytes", "learn", "on_abandon", "overlaps", "repeat")

    def __init__(self, ready: Callable[[Reply], None]) -> None:
        self._ready = ready
        self.buffers: Sequence[Buffer] = ()
        self.complete = False
        self.close = False
        self.held_bytes = 0
        """Of the budget for large requests; given back with the reply."""
        self.overlaps = False
        """Whether a Produce behind this one may begin."""
        self.on_abandon: Callable[[], None] | None = None
        self.repeat: Callable[[], bool] | None = None
        """Set by a handler that has completed this at once (`moldau.broker.routine`)."""
        self.learn: Callable[[bytearray], None] | None = None
        """Set by a handler that would know the next request like this one by its bytes."""

    def send(self, buffers: Sequence[Buffer]) -> None:
        """Complete with these bytes (none: a request without reply)."""
        self.buffers = buffers
        self.complete = True
        self._ready(self)

    def hang_up(self) -> None:
        """Complete by closing the connection."""
        self.close = True
        self.complete = True
        self._ready(self)

    def cancels(self, task: asyncio.Task[Any]) -> None:
        """Cancel the task when the connection goes before the reply; if the task fails, hang up: nobody else would answer."""

        def cancel() -> None:
            task.cancel()

        self.on_abandon = cancel
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.failed(error)

    def failed(self, error: BaseException) -> None:
        """A fault of ours kept it from being given: say so in the log, and leave nobody waiting for it."""
        log.error("event=reply_failed action=close", exc_info=error)
        if not self.complete:
            self.hang_up()

    def abandon(self) -> None:
        """The connection is gone: stop what can be stopped."""
        if self.on_abandon is not None and not self.complete:
            self.on_abandon()


class Dispatcher:
    """Shared by all connections of a broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.loop = asyncio.get_running_loop()
        self._modules: dict[int, ModuleType] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def overloaded(self) -> bool:
        """Whether connections should stop reading for now (invariant 9)."""
        return self.broker.appender.pending_bytes > self.broker.pending_max_bytes

    def begin(self, peer: Peer, frame: bytearray, reply: Reply) -> None:
        """Handle one frame."""
        again = peer.again.get(frame[1])  # the low byte of the key; the whole of it is looked at there
        if again is not None and again.begin(frame, reply):
            return
        started = time.perf_counter_ns()
        api_key, version, correlation_id, client_length = _HEADER.unpack_from(frame, 0)
        advertised = served.VERSIONS.get(api_key)
        try:
            if advertised is None:
                if api_key == PEER_API and self.broker.peers is not None:
                    self._note(frame, correlation_id, client_length, reply)
                    return
                raise ProtocolError(f"api key {api_key} ({api_keys.name(api_key)}) is not served")
            if not advertised[0] <= version <= advertised[1]:
                if api_key == api_keys.API_VERSIONS:
                    self._refuse_api_versions(correlation_id, reply)
                    return
                raise ProtocolError(f"version {version}, served are {advertised[0]} to {advertised[1]}")
            client_id, at = None, 10
            if client_length >= 0:
                at += client_length
                client_id = frame[10:at].decode()
            if version >= api_keys.FLEXIBLE_FROM[api_key]:
                at = _skip_tags(frame, at)
            request = Request(peer, api_key, version, correlation_id, client_id)
            request.started = started
            request.message = request_class(api_key).decode(frame, version, at)
        except (ProtocolError, UnicodeDecodeError, IndexError) as error:
            log.warning(
                "event=bad_request peer=%s api=%s version=%d error=%s action=close",
                peer,
                api_keys.name(api_key),
                version,
                error,
            )
            reply.hang_up()
            return
        module = self._modules.get(api_key)
        if module is None:
            module = self._modules[api_key] = import_module(served.MODULES[api_key])
        begin = getattr(module, "begin", None)
        if begin is not None:
            begin(self.broker, request, reply)
            if reply.learn is not None:
                reply.learn(frame)
            if reply.repeat is not None:
                peer.routine = Routine.of(frame, reply.buffers, reply.repeat, api_key, self.broker.metrics)
            return
        at_once = getattr(module, "at_once", None)
        if at_once is not None and at_once(self.broker, request, reply):
            if reply.learn is not None:
                reply.learn(frame)
            return
        task = self.loop.create_task(self._run(module, request, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if getattr(module, "WAITS", False):
            reply.cancels(task)

    async def _run(self, module: ModuleType, request: Request, reply: Reply) -> None:
        try:
            complete(self.broker, request, reply, await module.handle(self.broker, request))
        except asyncio.CancelledError:
            reply.hang_up()
            raise
        except Exception:
            log.exception(
                "event=handler_failed peer=%s api=%s version=%d action=close",
                request.peer,
                api_keys.name(request.api_key),
                request.version,
            )
            reply.hang_up()

    def _note(self, frame: bytearray, correlation_id: int, client_length: int, reply: Reply) -> None:
        """What another broker tells (`moldau.cluster.notes`). Raises ProtocolError."""
        assert self.broker.peers is not None
        try:
            note = unpack(memoryview(frame)[10 + max(client_length, 0) :])
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        self.broker.peers.take(note, frame[10 : 10 + max(client_length, 0)].decode(errors="replace"))
        reply.send([_LENGTH_AND_ID.pack(4, correlation_id)])

    def _refuse_api_versions(self, correlation_id: int, reply: Reply) -> None:
        from moldau.protocol.messages.api_versions import ApiVersion, ApiVersionsResponse

        low, high = served.VERSIONS[api_keys.API_VERSIONS]
        response = ApiVersionsResponse(
            error_code=error_codes.UNSUPPORTED_VERSION,
            api_keys=[ApiVersion(api_key=api_keys.API_VERSIONS, min_version=low, max_version=high)],
        )
        body = response.encode(0)
        reply.send([_LENGTH_AND_ID.pack(4 + len(body), correlation_id) + body])


def complete(broker: Broker, request: Request, reply: Reply, response: Any, *, clean: bool = False) -> None:
    """Answer with that message; `clean`: there is no error code in it that would have to be counted."""
    buffers = frame_reply(request, response.encode(request.version))
    broker.metrics.request(request.api_key, request.started)
    if not clean:
        broker.metrics.response(request.api_key, response)
    reply.send(buffers)


def frame_reply(request: Request, body: Buffer) -> list[Buffer]:
    """Length and response header before the body."""
    if request.version >= api_keys.FLEXIBLE_FROM[request.api_key] and request.api_key != api_keys.API_VERSIONS:
        return [_LENGTH_ID_TAGS.pack(5 + len(body), request.correlation_id, 0) + body]
    return [_LENGTH_AND_ID.pack(4 + len(body), request.correlation_id) + body]


def frame_parts(request: Request, parts: list[Buffer]) -> list[Buffer]:
    """As `frame_reply`, for a body in parts that are not to be joined."""
    length = sum(map(len, parts))
    if request.version >= api_keys.FLEXIBLE_FROM[request.api_key]:
        head = _LENGTH_ID_TAGS.pack(5 + length, request.correlation_id, 0)
    else:
        head = _LENGTH_AND_ID.pack(4 + length, request.correlation_id)
    return [head + parts[0], *parts[1:]]


def _skip_tags(frame: bytearray, at: int) -> int:
    """The position after the tagged fields of a request header. Raises IndexError past the end, DecodeError."""
    count, at = uvarint(frame, at + 1, frame[at])
    for _ in range(count):
        _, size, at = tag_head(frame, at)
        at += size
        if at > len(frame):
            raise IndexError("tagged fields of the request header end after the frame")
    return at
