"""One broker process from start to stop: home, node, listener, signals."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from moldau.broker.broker import Endpoint
from moldau.broker.config.listeners import Listeners
from moldau.broker.options import Options
from moldau.host_port import host_port
from moldau.metadata.errors import StoreError

from . import preload
from .homes import Home, home_of
from .loop_lag import LoopLag
from .server import ListenError, Server
from .systemd import notify

if TYPE_CHECKING:
    from .http import HttpServer
    from .scrape import Scrape

log = logging.getLogger(__name__)

SWITCH_INTERVAL_SECONDS = 0.0001
"""Python's default of 5 ms lets a busy loop keep a finished commit waiting for that long."""


GC_THRESHOLDS = (5_000, 200, 50)
"""The hot paths leave no cycles behind, so looking for them after every 700 objects (Python's default) found nothing and took a
sixth of the CPU of small requests. What does make cycles (tasks that fail, sessions) is found a little later. What stays (extents, cached batches) is looked at
once while it is young, 0.1 us each, with the loop standing still: so not too many at once."""

_READY_SECONDS = 2.0
"""How long the metadata store may take to answer."""


class Lifecycle:
    """`start`, `stop`; `run` does both around the signals."""

    def __init__(self, options: Options, data: Path | None, listeners: Listeners, *, home: Home | None = None) -> None:
        """`home` instead of that which the options ask for."""
        self.options = options
        self.listeners = listeners
        self.endpoints: list[Endpoint] = []
        self._ready = False
        self.home = home if home is not None else home_of(options, data)
        self.node = self.home.node
        self.http: HttpServer | None = None
        self.http_address: tuple[str, int] | None = None
        self.server = Server(self.node)
        self.loop_lag = LoopLag()
        self._scrape: Scrape | None = None

    async def start(self) -> None:
        """Ready when it returns; `endpoints` are then what clients are told.

        Raises DataDirError, ListenError, StoreError, BlobError, OSError.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        self.home.open()
        try:
            await self.server.bind(self.listeners)
            if self.options.http_host:
                await self._listen_http()
            if self.home.joins:
                preload.load()
            self.node.before_known = self.server.listen
            await self.home.start(self.server.endpoints)
            if self.http_address is not None and not self.options.http_port:
                self.node.broker.configs.bound["moldau.http.listener"] = host_port(*self.http_address)
            self.endpoints = await self.server.serve()
            await self.node.introduce()
            self.loop_lag.start()
            self._ready = True
        except BaseException:
            if self.http is not None:
                await self.http.close()
            await self.server.close(0)
            await self.home.abort()
            raise

    async def _listen_http(self) -> None:
        from .http import HttpServer

        self.http = HttpServer(
            {"/metrics": self._metrics, "/healthz": self._healthy, "/readyz": self._is_ready},
            {"/share-groups": self._share_group},
        )
        host, port = self.options.http_host, self.options.http_port
        try:
            self.http_address = await self.http.listen(host, port)
        except OSError as error:
            raise ListenError(
                f"cannot serve /metrics on {host}:{port}: {os.strerror(error.errno) if error.errno else error}."
                " Choose another address with --set moldau.http.listener=HOST:PORT, or none with --set moldau.http.listener=."
            ) from error

    async def _metrics(self) -> tuple[int, str, bytes]:
        if not self._ready:
            return 503, "text/plain", b"not ready\n"
        from .exposition import CONTENT_TYPE
        from .scrape import Scrape

        if self._scrape is None:
            self._scrape = Scrape(self.node, self.server, self.loop_lag)
        return 200, CONTENT_TYPE, await self._scrape.page()

    async def _share_group(self, name: str) -> tuple[int, str, bytes]:
        if not self._ready:
            return 503, "text/plain", b"not ready\n"
        from .share_page import share_page

        return await share_page(self.node.broker, name)

    async def _healthy(self) -> tuple[int, str, bytes]:
        return 200, "text/plain", b"ok\n"

    async def _is_ready(self) -> tuple[int, str, bytes]:
        """Ready: it serves, the metadata store answers, and and takes commits."""
        if not self._ready:
            return 503, "text/plain", b"not ready: starting or stopping\n"
        try:
            store = self.node.broker.cluster_store
            await asyncio.wait_for(store.load_cluster(), _READY_SECONDS)
            if self.node.engine.last_refusal is not None:  # try a small write: nobody may be there to do so
                await asyncio.wait_for(store.reserve_producer_ids(1), _READY_SECONDS)
        except StoreError as error:
            return 503, "text/plain", f"not ready: {error}\n".encode()
        except TimeoutError:
            return 503, "text/plain", b"not ready: the metadata store does not answer\n"
        return 200, "text/plain", b"ok\n"

    async def stop(self) -> None:
        """Take no more requests, finish what is under way, commit, close."""
        self._ready = False
        self.loop_lag.stop()
        if self.http is not None:
            await self.http.close()
        await self.node.leave()
        await self.server.close()
        await self.home.stop()

    async def run(self, ready: Callable[[Lifecycle], None]) -> None:
        """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()

        def signalled() -> None:
            if stopping.is_set():
                os.kill(os.getpid(), signal.SIGKILL)
            stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, signalled)
        self.home.on_fenced(stopping.set)
        await self.start()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        if not stopping.is_set():
            ready(self)
            notify("READY=1")
            if not self.home.joins:
                preload.begin(loop)
        await stopping.wait()
        notify("STOPPING=1")
        log.info("event=stopping")
        await self.stop()
