"""The processes of a cluster, each with the same verbs: `start`, `kill`, `stop`; and what is said when one ends that nobody stopped."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Final

from .errors import DevError
from .guardian import Guardian
from .plan import HOST, Plan
from .postgres import PostgresFailed, PostgresServer

STOPPED: Final = "stopped"
STARTING: Final = "starting"
READY: Final = "ready"
STOPPING: Final = "stopping"
DIED: Final = "died"

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 20.0
_LOOK_SECONDS: Final = 0.2
_LINE_BYTES_MAX: Final = 1 << 20

Tell = Callable[[str, str], None]


class Part:
    """One process. `key` is what a person types (`2`, `postgres`), `name` what stands before its lines."""

    def __init__(self, key: str, name: str, address: str, tell: Tell, start_again: str) -> None:
        """`start_again` is the command that does."""
        self.key = key
        self.name = name
        self.address = address
        self.metrics = ""
        self.state = STOPPED
        self.pid = 0
        self._tell = tell
        self.start_again = start_again

    async def start(self) -> None:
        """Ready when it returns. Raises DevError."""
        raise NotImplementedError

    def kill(self) -> None:
        """kill -9. Raises DevError when it does not run."""
        raise NotImplementedError

    async def stop(self) -> None:
        """In order; at once when it does not run."""
        raise NotImplementedError

    @property
    def runs(self) -> bool:
        return self.state in (STARTING, READY, STOPPING)

    def _check_stopped(self) -> None:
        if self.runs:
            raise DevError(f"{self.name} is {self.state} already, pid {self.pid}")

    def _check_runs(self) -> None:
        if not self.runs:
            raise DevError(f"{self.name} does not run: {self.start_again}")

    def _ended(self, status: int) -> None:
        """Say it when nobody stopped it."""
        asked, failed = self.state == STOPPING, self.state == STARTING
        self.state = STOPPED if asked else DIED
        if asked:
            self._tell(self.name, "stopped")
        elif not failed:
            self._tell(self.name, f"DIED ({how_it_ended(status)}); start it again: {self.start_again}")


class BrokerPart(Part):
    """`moldau serve` as a child."""

    def __init__(
        self, plan: Plan, node_id: int, env: Callable[[], dict[str, str]], guardian: Guardian, tell: Tell
    ) -> None:
        """`env` is asked at each start."""
        key = str(node_id)
        address = f"{HOST}:{plan.ports[node_id - 1]}"
        super().__init__(key, f"broker {key}", address, tell, plan.hint("start", key))
        self.metrics = f"http://{HOST}:{plan.http_ports[node_id - 1]}/metrics"
        self._command = plan.command(node_id)
        self._env = env
        self._guardian = guardian
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._check_stopped()
        self.state = STARTING
        self._ready.clear()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._env(),
                process_group=self._guardian.group,
                pass_fds=(self._guardian.token,),
                limit=_LINE_BYTES_MAX,
            )
        except OSError as error:
            self.state = DIED
            raise DevError(f"{self.name} cannot be started: {error.strerror}") from error
        self.pid = self._process.pid
        watching = self._watching = asyncio.create_task(self._watch(self._process))
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, watching), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self.state == STARTING:
            await self.stop()
            raise DevError(f"{self.name} was not ready within {START_SECONDS:.0f} s")
        if self.state != READY:
            raise DevError(f"{self.name} did not start; its lines say why")
        self._tell(self.name, f"ready on {self.address}, pid {self.pid}")

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.gather(self._banner(process.stdout), self._lines(process.stderr))
        self._ended(await process.wait())

    async def _banner(self, stream: asyncio.StreamReader) -> None:
        """The first line says that it serves; what is in the others is told for all brokers at once."""
        if await stream.readline() and self.state == STARTING:
            self.state = READY
            self._ready.set()
        while await stream.read(65536):
            pass

    async def _lines(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await stream.readline()
            except ValueError:  # longer than any line that we write
                continue
            if not line:
                return
            self._tell(self.name, line.decode("utf-8", "replace").rstrip())

    def kill(self) -> None:
        self._check_runs()
        assert self._process is not None
        self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        if not self.runs:
            return
        assert self._watching is not None
        self.state = STOPPING
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait((self._watching,), timeout=STOP_SECONDS)
        if not done:
            self._tell(self.name, f"did not stop within {STOP_SECONDS:.0f} s and is killed")
            self._signal(signal.SIGKILL)
            await self._watching

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        try:
            self._process.send_signal(number)
        except ProcessLookupError:
            pass  # its end is about to be noticed


class PostgresPart(Part):
    """The PostgreSQL of the wheel."""

    def __init__(self, plan: Plan, server: PostgresServer, tell: Tell) -> None:
        super().__init__("postgres", "postgres", f"{HOST}:{server.port}", tell, plan.hint("start", "postgres"))
        self.server = server
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._check_stopped()
        self.state = STARTING
        try:
            await asyncio.to_thread(self.server.start)
        except PostgresFailed as error:
            self.state = DIED
            raise DevError(str(error)) from error
        assert self.server.process is not None
        self.state, self.pid = READY, self.server.process.pid
        self._watching = asyncio.create_task(self._watch())
        self._tell(self.name, f"PostgreSQL {self.server.version} is ready on {self.address}, pid {self.pid}")

    async def _watch(self) -> None:
        while (process := self.server.process) is not None and self.state == READY:
            status = process.poll()
            if status is not None:
                self.server.process = None
                self._tell(self.name, f"its log is {self.server.log_path}")
                self._ended(status)
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        self._check_runs()
        if self.server.process is not None:
            self.server.process.kill()

    async def stop(self) -> None:
        if not self.runs:
            return
        self.state = STOPPING
        await asyncio.to_thread(self.server.stop)
        self._ended(0)


def how_it_ended(status: int) -> str:
    """In words."""
    if status >= 0:
        return f"exit code {status}"
    try:
        return f"kill -{-status} {signal.Signals(-status).name}" if status != -signal.SIGKILL else "kill -9"
    except ValueError:
        return f"signal {-status}"
