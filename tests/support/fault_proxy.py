"""A small HTTP proxy between a client and its server that does what networks and servers do on bad days.

`with FaultProxy(port) as proxy:` runs in a thread of its own. Each request takes the next action of `proxy.next(...)`, if there are any, else
`proxy.always`. Requests are forwarded whole, with their Host header, so signatures stay good.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Self

_CHUNK = 64 << 10


class Action:
    """What happens to one request.

    After `delay` seconds it is forwarded, if `forward`; then the answer is the server's, or `status` with an S3 error `code`. The connection is
    cut without an answer if `cut_at` is 0, after that many bytes of it if it is more. `hang`: there is no answer and no cut for that long.
    """

    def __init__(
        self,
        *,
        delay: float = 0.0,
        forward: bool = True,
        status: int = 0,
        code: str = "SlowDown",
        cut_at: int = -1,
        hang: float = 0.0,
    ) -> None:
        self.delay = delay
        self.forward = forward
        self.status = status
        self.code = code
        self.cut_at = cut_at
        self.hang = hang


PASS = Action()
UNAVAILABLE = Action(forward=False, status=503)
"""503 Slow Down, and nothing is done."""
BROKEN = Action(forward=False, status=500, code="InternalError")
CONFLICT = Action(forward=False, status=409, code="OperationAborted")
"""409: another request is in the way, and nothing is done."""
REFUSED_BEFORE = Action(forward=False, cut_at=0)
"""The connection breaks before the server sees the request."""
LOST_REPLY = Action(cut_at=0)
"""The server did it, and nobody is told."""
FAILED_AFTER = Action(status=500, code="InternalError")
"""The server did it, and says it failed."""


def slow(seconds: float) -> Action:
    """It takes that much longer."""
    return Action(delay=seconds)


def silent(seconds: float) -> Action:
    """No answer for that long, then a cut."""
    return Action(forward=False, hang=seconds, cut_at=0)


def cut_reply(after_bytes: int) -> Action:
    """The answer breaks off."""
    return Action(cut_at=after_bytes)


class FaultProxy:
    """`endpoint` is where clients go, `seen` the (method, path) of each request in order, `heads` its first lines."""

    def __init__(self, upstream_port: int) -> None:
        self._upstream = upstream_port
        self.always = PASS
        self.seen: list[tuple[str, str]] = []
        self.heads: list[bytes] = []
        self._next: deque[tuple[str, Action]] = deque()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)
        self.port = 0

    def next(self, *actions: Action, method: str = "") -> None:
        """The next requests (of that method) take these, one each."""
        self._next.extend((method, action) for action in actions)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self, method: str) -> int:
        """How many requests of that method came."""
        return sum(1 for each, _ in self.seen if each == method)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _action(self, method: str) -> Action:
        for at, (wanted, action) in enumerate(self._next):
            if wanted in ("", method):
                del self._next[at]
                return action
        return self.always

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = await reader.readuntil(b"\r\n\r\n")
        method, path = head.split(b"\r\n")[0].decode().split(" ")[:2]
        body = await reader.readexactly(_length(head))
        self.seen.append((method, path))
        self.heads.append(head)
        action = self._action(method)
        await asyncio.sleep(action.delay)
        answer = await self._forward(method, head + body) if action.forward else b""
        await asyncio.sleep(action.hang)
        if action.status:
            text = f"<Error><Code>{action.code}</Code><Message>a bad day</Message></Error>".encode()
            answer = b"HTTP/1.1 %d Bad\r\nContent-Length: %d\r\n\r\n%s" % (action.status, len(text), text)
        if action.cut_at >= 0:
            writer.write(answer[: action.cut_at])
            await writer.drain()
            writer.close()
            return False
        writer.write(answer)
        await writer.drain()
        return True

    async def _forward(self, method: str, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream, limit=1 << 20)
        try:
            writer.write(request)
            await writer.drain()
            head = await reader.readuntil(b"\r\n\r\n")
            while head.startswith(b"HTTP/1.1 100"):
                head = await reader.readuntil(b"\r\n\r\n")
            if method == "HEAD" or b" 204 " in head.split(b"\r\n")[0] or b" 304 " in head.split(b"\r\n")[0]:
                return head
            if b"transfer-encoding: chunked" not in head.lower():
                return head + await reader.readexactly(_length(head))
            whole = head
            while True:
                size = await reader.readuntil(b"\r\n")
                part = await reader.readexactly(int(size, 16) + 2)
                whole += size + part
                if not int(size, 16):
                    return whole
        finally:
            writer.transport.abort()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0
