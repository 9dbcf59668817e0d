"""One broker process from start to stop: data directory, node, listener, signals."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from moldau.broker.assembly import Node
from moldau.broker.options import Options

from .data_dir import DataDir
from .server import Server

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
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if data is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="moldau-")
            data = Path(self._temporary.name)
        self.data = DataDir(data)
        self.node = Node(options)
        self.server = Server(self.node, options.idle_max_ms / 1000, options.connections_max)

    @property
    def ephemeral(self) -> bool:
        """Whether the data go with the broker."""
        return self._temporary is not None

    async def start(self) -> None:
        """Ready when it returns; `host` and `port` are then the bound ones. Raises DataDirError, StoreError, BlobError, OSError."""
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self.data.open()
        try:
            await self.node.start(self.data.path)
            self.host, self.port = await self.server.listen(self.host, self.port)
        except BaseException:
            await self.node.abort()
            self.data.close()
            raise
        endpoint = self.node.broker.endpoint
        endpoint.host, endpoint.port = self.advertised or (self.host, self.port)
        if endpoint.port == 0:
            endpoint.port = self.port

    async def stop(self) -> None:
        """Take no more requests, finish what is under way, commit, close."""
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
