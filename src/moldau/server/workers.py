"""`moldau serve --workers N`: a parent with N brokers as its processes, on consecutive ports.

The parent takes the data directory and puts it in order, starts the workers, starts again one that dies, and on SIGTERM or SIGINT stops them all and
leaves the directory as one broker would. It serves nothing itself. Workers end with it, however it ends (`lifeline`); they are no part of the terminal's
foreground group, so Ctrl-C is the parent's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from typing import Any, Final

from moldau.broker.config.listeners import Listener
from moldau.broker.options import ANY_NODE_ID

from .lifeline import LINE_BYTES_MAX
from .listening import bind_all
from .premises import Premises
from .server import ListenError
from .systemd import notify
from .worker_plan import WorkerPlan

log = logging.getLogger(__name__)

AGAIN_SECONDS_MIN: Final = 0.1
AGAIN_SECONDS_MAX: Final = 10.0
"""Before a worker that died is started again: the pause doubles each time, and is short again after `_WELL_SECONDS` of life."""
_WELL_SECONDS: Final = 30.0
STOP_SECONDS: Final = 30.0
"""A worker that has not stopped by then is killed."""
_PORT_TRIES: Final = 16
_FOUND_PORTS: Final = range(20_000, 30_000)
"""Where a run of free ports is looked for: below those that systems give to connections, one of which could take the port of a worker that is just started
again.
"""


class WorkersFailed(Exception):
    """They did not start; the text is what the first of them said."""


class Worker:
    """One of them. `told` is what it last said of itself, once it was ready: `listeners`, `metrics`, `node_id`."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.told: dict[str, Any] = {}
        self.process: Process | None = None
        self.link: socket.socket | None = None
        """Its end is the worker's."""
        self.node_id = ANY_NODE_ID

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0

    def signal(self, number: signal.Signals) -> None:
        """If it lives."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Workers:
    """`run` is the parent's life."""

    def __init__(self, plan: WorkerPlan, premises: Premises, command: Sequence[str]) -> None:
        """`command` is that of one broker, to which `--worker` with its part is added."""
        self.premises = premises
        self.workers = [Worker(number) for number in range(1, plan.count + 1)]
        self._plan = plan
        self._command = command
        self._firsts: dict[str, int] = {}
        self._stopping = asyncio.Event()

    async def run(self, ready: Callable[[Workers], None]) -> None:
        """Serve until SIGTERM or SIGINT; a second signal kills all. Raises WorkersFailed, ListenError, DataDirError, StoreError, BlobError, OSError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        self.premises.open()
        served = False
        try:
            await self._look_at_ports()
            await self.premises.prepare()
            served = True
            await self._serve(ready)
        finally:
            await self.premises.close(served=served)

    def _signalled(self) -> None:
        if self._stopping.is_set():
            for worker in self.workers:
                worker.signal(signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        self._stopping.set()

    async def _look_at_ports(self) -> None:
        """All are free, and ports that were to be found are; before any data are touched. Raises ListenError."""
        for first in self._plan.listeners(1, {}):
            if first.port:
                await self._bind_run(first, first.port)
                continue
            for left in reversed(range(_PORT_TRIES)):
                try:
                    self._firsts[first.name] = await self._bind_run(first, random.choice(_FOUND_PORTS))
                    break
                except ListenError:
                    if not left:
                        raise

    async def _bind_run(self, first: Listener, port: int) -> int:
        """The first port."""
        held: list[socket.socket] = []
        try:
            for number in range(self._plan.count):
                try:
                    held += await bind_all(first.host, port + number)
                except OSError as error:
                    at = Listener(first.name, first.host, port + number, first.protocol)
                    raise ListenError(
                        f"cannot listen on {at}: {error.strerror or error}. Worker {number + 1} needs it;"
                        f" choose another first port with --set listeners={first.name}://HOST:PORT."
                    ) from error
            return port
        finally:
            for link in held:
                link.close()

    # -- life -----------------------------------------------------------------------------------------------------------

    async def _serve(self, ready: Callable[[Workers], None]) -> None:
        lives: list[asyncio.Task[None]] = []
        try:
            errors = await asyncio.gather(*(self._start(worker) for worker in self.workers))
            failed = [(worker, why) for worker, why in zip(self.workers, errors, strict=True) if why]
            if failed and not self._stopping.is_set():
                raise WorkersFailed(f"worker {failed[0][0].number}: {failed[0][1]}")
            lives = [asyncio.create_task(self._keep(worker)) for worker in self.workers]
            if not self._stopping.is_set():
                ready(self)
                notify("READY=1")
            await self._stopping.wait()
            notify("STOPPING=1")
            log.info("event=stopping workers=%d", len(self.workers))
        finally:
            for life in lives:
                life.cancel()
            await asyncio.gather(*(self._end(worker) for worker in self.workers))

    async def _keep(self, worker: Worker) -> None:
        """Start it again whenever it ends."""
        loop = asyncio.get_running_loop()
        pause = AGAIN_SECONDS_MIN
        while True:
            process, began = worker.process, loop.time()
            assert process is not None
            status = await process.wait()
            if self._stopping.is_set():
                return
            if loop.time() - began > _WELL_SECONDS:
                pause = AGAIN_SECONDS_MIN
            log.error(
                "event=worker_ended worker=%d pid=%d how='%s' again_in=%.1f",
                worker.number,
                process.pid,
                how(status),
                pause,
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, AGAIN_SECONDS_MAX)
            why = await self._start(worker)
            if why:
                log.error("event=worker_not_started worker=%d why='%s'", worker.number, why)
            else:
                log.info("event=worker_started worker=%d pid=%d", worker.number, worker.pid)

    async def _start(self, worker: Worker) -> str:
        """Start it, and wait until it serves; else what it said."""
        if worker.link is not None:
            worker.link.close()
        worker.link, its = socket.socketpair()
        with its:
            worker.link.setblocking(False)
            its.set_inheritable(True)
            number = worker.number
            node_id = worker.node_id if worker.node_id != ANY_NODE_ID else self._plan.node_id(number)
            part = {
                "number": number,
                "link": its.fileno(),
                "data": str(self.premises.data) if self.premises.data is not None else None,
                "syncs": self.premises.syncs,
                "flags": self._plan.flags(number, self._firsts, node_id),
            }
            environment = {key: value for key, value in os.environ.items() if key != "NOTIFY_SOCKET"}
            try:
                worker.process = await asyncio.create_subprocess_exec(
                    *self._command,
                    "--worker",
                    json.dumps(part),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=environment,
                    pass_fds=(its.fileno(), *self.premises.inherited),
                    process_group=0,
                )
            except OSError as error:
                return f"cannot be started: {error.strerror or error}"
        return await self._hear(worker)

    async def _hear(self, worker: Worker) -> str:
        process, link = worker.process, worker.link
        assert process is not None
        assert link is not None
        loop = asyncio.get_running_loop()
        line = b""
        while not line.endswith(b"\n"):
            part = await loop.sock_recv(link, LINE_BYTES_MAX)
            if not part:
                return how(await process.wait())
            line += part
        said = json.loads(line)
        if "error" in said:
            await process.wait()
            return str(said["error"])
        worker.told = said["ready"]
        worker.node_id = int(worker.told["node_id"])
        return ""

    async def _end(self, worker: Worker) -> None:
        process = worker.process
        if process is None:
            return
        worker.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.error(
                "event=worker_killed worker=%d reason='it did not stop within %.0f s'", worker.number, STOP_SECONDS
            )
            worker.signal(signal.SIGKILL)
            await process.wait()
        if worker.link is not None:
            worker.link.close()


def how(status: int) -> str:
    """An exit status in words."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
