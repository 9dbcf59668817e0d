"""One broker process from start to stop: data directory, node, listener, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from moldau.broker.assembly import Node
from moldau.broker.broker import Endpoint
from moldau.broker.config.listeners import Listeners
from moldau.broker.options import Options

from . import ephemeral
from .data_dir import DataDir
from .server import ListenError, Server
from .systemd import notify

if TYPE_CHECKING:
    from .http import HttpServer

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0001
"""Python's default of 5 ms lets a busy loop keep a finished commit waiting for that long."""


GC_THRESHOLDS = (50_000, 20, 50)
"""The hot paths leave no cycles behind, so looking for them after every 700 objects (Python's default) found nothing and took a
sixth of the CPU of small requests. What does make cycles (tasks that fail, sessions) is found a little later."""


class Lifecycle:
    """`start`, `stop`; `run` does both around the signals."""

    def __init__(self, options: Options, data: Path | None, listeners: Listeners) -> None:
        self.options = options
        self.listeners = listeners
        self.endpoints: list[Endpoint] = []
        self._stopping = False
        self.ephemeral = data is None
        """Whether the data go with the broker."""
        self.data = DataDir(data if data is not None else ephemeral.make())
        self.node = Node(options)
        self.http: HttpServer | None = None
        self.http_address: tuple[str, int] | None = None
        self.server = Server(self.node)

    async def start(self) -> None:
        """Ready when it returns; `endpoints` are then what clients are told.

        Raises DataDirError, ListenError, StoreError, BlobError, OSError.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self.data.open()
        try:
            await self.node.start(self.data.path, syncs=not self.ephemeral)
            self.endpoints = await self.server.listen(self.listeners)
            if self.options.http_host:
                await self._listen_http()
        except BaseException:
            await self.server.close(0)
            await self.node.abort()
            self._close_data()
            raise

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
        host, port = self.options.http_host, self.options.http_port
        try:
            self.http_address = await self.http.listen(host, port)
        except OSError as error:
            raise ListenError(
                f"cannot serve /metrics on {host}:{port}: {error.strerror or error}."
                " Choose another address with --set moldau.http.listener=HOST:PORT, or none with --set moldau.http.listener=."
            ) from error

    async def stop(self) -> None:
        """Take no more requests, finish what is under way, commit, close."""
        self._stopping = True
        if self.http is not None:
            await self.http.close()
        await self.server.close()
        await self.node.stop()
        self._close_data()

    def _close_data(self) -> None:
        if self.ephemeral:
            ephemeral.remove(self.data.path)
        self.data.close()

    async def run(self, ready: Callable[[Lifecycle], None]) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
        await self.start()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        ready(self)
        notify("READY=1")
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
        notify("STOPPING=1")
        log.info("event=stopping")
        await self.stop()
