"""One broker process from start to stop: data directory, node, listener, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from moldau.broker.assembly import Node
from moldau.broker.options import Options

from .data_dir import DataDir
from .server import Server

if TYPE_CHECKING:
    from .http import HttpServer

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0001
"""Python's default of 5 ms lets a busy loop keep a finished commit waiting for that long."""


class Lifecycle:
    """`start`, `stop`; `run` does both around the signals."""

    def __init__(
        self, options: Options, data: Path | None, host: str, port: int, advertised: tuple[str, int] | None
    ) -> None:
        self.options = options
        self.host = host
        self.port = port
        self.advertised = advertised
        self._stopping = False
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if data is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="moldau-")
            data = Path(self._temporary.name)
        self.data = DataDir(data)
        self.node = Node(options)
        self.http: HttpServer | None = None
        self.http_address: tuple[str, int] | None = None
        self.server = Server(self.node)

    @property
    def ephemeral(self) -> bool:
        """Whether the data go with the broker."""
        return self._temporary is not None

    async def start(self) -> None:
        """Ready when it returns; `host` and `port` are then the bound ones. Raises DataDirError, StoreError, BlobError, OSError."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self.data.open()
        try:
            await self.node.start(self.data.path, power_kept=self.data.power_kept)
            self.data.recovered()
            self.host, self.port = await self.server.listen(self.host, self.port)
            if self.options.http_host:
                await self._listen_http()
        except BaseException:
            await self.server.close(0)
            await self.node.abort()
            self.data.close()
            raise
        endpoint = self.node.broker.endpoint
        endpoint.host, endpoint.port = self.advertised or (self.host, self.port)
        if endpoint.port == 0:
            endpoint.port = self.port

    async def _listen_http(self) -> None:
        from .exposition import CONTENT_TYPE, BrokerCollector, render
        from .http import HttpServer

        collector = BrokerCollector(self.node, self.server)
        self.http = HttpServer(
            {
                "/metrics": lambda: (200, CONTENT_TYPE, render([collector])),
                "/healthz": lambda: (200, "text/plain", b"ok\n"),
                "/readyz": lambda: (
                    (503, "text/plain", b"stopping\n") if self._stopping else (200, "text/plain", b"ok\n")
                ),
            }
        )
        self.http_address = await self.http.listen(self.options.http_host, self.options.http_port)

    async def stop(self) -> None:
        """Take no more requests, finish what is under way, commit, close."""
        self._stopping = True
        if self.http is not None:
            await self.http.close()
        await self.server.close()
        await self.node.stop()
        self.data.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def run(self, ready: Callable[[Lifecycle], None]) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
        await self.start()
        ready(self)
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def signalled() -> None:
            if stopping.is_set():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.raise_signal(signal.SIGKILL)
            stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        await stopping.wait()
        log.info("event=stopping")
        await self.stop()
