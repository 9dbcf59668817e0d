"""The HTTP port for machines that watch: `/metrics` (Prometheus), `/healthz` (the process lives), `/readyz` (it serves), and pages about things with a
name, such as `/share-groups/NAME`, where what is not a plain character of a name is written as %XX of its UTF-8.

h11 parses, imported for the first request (7 ms that no start waits for); one request at a time on a connection; nothing but GET and HEAD. Bodies of requests are not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h11

log = logging.getLogger(__name__)

_IDLE_SECONDS = 30.0
_CONNECTIONS_MAX = 64

Page = Callable[[], Awaitable[tuple[int, str, bytes]]]
"""Gives (status, content type, body)."""
NamedPage = Callable[[str], Awaitable[tuple[int, str, bytes]]]
"""The same, of the thing with that name."""


class HttpServer:
    """Serves a few pages, and `named` ones by the path before the name."""

    def __init__(self, pages: dict[str, Page], named: dict[str, NamedPage] | None = None) -> None:
        self._pages = pages
        self._named = named or {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Bind and serve; returns the bound address. Raises OSError."""
        self._server = await asyncio.start_server(self._connected, host, port)
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def close(self) -> None:
        """Close the port and its connections."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) <= _CONNECTIONS_MAX:
                await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, h11.RemoteProtocolError) as error:
            log.debug("event=http_closed error=%s", error)
        except asyncio.CancelledError:
            pass
        finally:
            self._open.discard(task)
            with contextlib.suppress(OSError):
                writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = h11.Connection(h11.SERVER)
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(16384), _IDLE_SECONDS))
            elif isinstance(event, h11.Request):
                await self._answer(connection, writer, event)
                await writer.drain()
            elif isinstance(event, h11.EndOfMessage):
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()
            elif not isinstance(event, h11.Data):
                return  # closed, or paused for good

    async def _answer(self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request) -> None:
        import h11

        if request.method not in (b"GET", b"HEAD"):
            status, kind, body = 405, "text/plain", b"only GET and HEAD are served here\n"
        else:
            status, kind, body = await self._page(request.target.partition(b"?")[0].decode("ascii", "replace"))
        headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
        writer.write(connection.send(h11.Response(status_code=status, headers=headers)) or b"")
        if request.method != b"HEAD":
            writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")

    async def _page(self, path: str) -> tuple[int, str, bytes]:
        page = self._pages.get(path)
        if page is not None:
            return await page()
        above, _, name = path.rpartition("/")
        named = self._named.get(above)
        if named is None or not name:
            listed = ", ".join(sorted([*self._pages, *(f"{each}/NAME" for each in self._named)]))
            return 404, "text/plain", f"there is no {path}; there are {listed}\n".encode()
        from urllib.parse import unquote

        try:
            return await named(unquote(name, errors="strict"))
        except UnicodeDecodeError:
            return 400, "text/plain", f"{name} is not UTF-8 with %XX in it\n".encode()
