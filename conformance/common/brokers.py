"""Start and stop the two brokers that suites, benchmarks and differential tests talk to.

Both are subprocesses on 127.0.0.1 with data of their own in a fresh folder:

- ``Moldau``: ``moldau serve`` of this checkout (or the program named by ``MOLDAU_BIN``);
- ``Kafka``: one Apache Kafka node, by ``kafka-peer/up`` and ``kafka-peer/down`` (Java and Maven).

``start`` returns once the broker has answered a Metadata request, so that "started" means the same for both; the
seconds that took, from the start of the process, are in ``start_seconds``. ``stop`` always ends the process: SIGTERM,
and SIGKILL after a grace period.
Only the standard library is used, because the suites run without an environment.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

CONFORMANCE = Path(__file__).resolve().parent.parent
CHECKOUT = CONFORMANCE.parent
_TICKS = os.sysconf("SC_CLK_TCK")


class BrokerError(Exception):
    """The broker did not start, or died; the text ends with the last lines of its log."""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 nobody listens on now; held open together, so that they differ."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in held:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in held]


def metadata_answered(port: int, timeout: float = 1.0) -> bool:
    """True when the broker answers Metadata 1 (for no topic) with at least one broker in it."""
    request = struct.pack(">hhih", 3, 1, 1, 5) + b"ready" + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout) as s:
            s.settimeout(timeout)
            s.sendall(struct.pack(">i", len(request)) + request)
            answer = b""
            while len(answer) < 12:
                chunk = s.recv(65536)
                if not chunk:
                    return False
                answer += chunk
            return int.from_bytes(answer[8:12], "big", signed=True) > 0
    except OSError:
        return False


def process_tree(pid: int) -> list[int]:
    """The process and all its living descendants (a broker may run workers)."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()
                children.setdefault(int(stat[1]), []).append(int(entry))
    tree, todo = [], [pid]
    while todo:
        p = todo.pop()
        tree.append(p)
        todo += children.get(p, [])
    return tree


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, its dead and its living descendants."""
    total = 0
    for p in process_tree(pid):
        with contextlib.suppress(OSError):
            f = Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(x) for x in (f[11:15] if p == pid else f[11:13]))
    return total / _TICKS


def resident_bytes(pid: int, *, peak: bool = False) -> int:
    """Memory of the process and its living descendants: now, or each one's peak so far."""
    field, total = ("VmHWM:" if peak else "VmRSS:"), 0
    for p in process_tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{p}/status").read_text().splitlines():
                if line.startswith(field):
                    total += int(line.split()[1]) * 1024
    return total


def tail(path: Path, lines: int = 20) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


class Broker:
    """One broker process. ``settings`` are Kafka's property names; ``folder`` is made fresh when not given."""

    name = ""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        folder: Path | None = None,
        keep: bool = False,
    ) -> None:
        self.settings = dict(settings or {})
        self.port = port
        self.keep = keep
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.pid = 0
        self.start_seconds = 0.0

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self, timeout: float = 60.0) -> Self:
        raise NotImplementedError

    def stop(self, grace: float = 20.0) -> None:
        raise NotImplementedError

    def alive(self) -> bool:
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def resident_bytes(self, *, peak: bool = False) -> int:
        return resident_bytes(self.pid, peak=peak)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop(1.0)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Moldau(Broker):
    name = "moldau"

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        folder: Path | None = None,
        keep: bool = False,
        arguments: tuple[str, ...] = (),
    ) -> None:
        super().__init__(settings, port=port, folder=folder, keep=keep)
        self.arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def stores(self) -> list[str]:
        """The arguments that say where it keeps what it is told."""
        return ["--data", str(self.folder / "data")]

    @staticmethod
    def program() -> list[str]:
        if named := os.environ.get("MOLDAU_BIN"):
            return named.split()
        for candidate in (CHECKOUT / ".venv/bin/moldau", Path(sys.executable).parent / "moldau"):
            if candidate.exists():
                return [str(candidate)]
        raise BrokerError("no moldau program: run any make target once, or set MOLDAU_BIN")

    def start(self, timeout: float = 60.0) -> Self:
        port, http = free_ports(2)
        self.port = self.port or port
        settings = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "moldau.http.listener": f"127.0.0.1:{http}",
            **self.settings,
        }
        command = [*self.program(), "serve", *self.stores(), *self.arguments]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        self.folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self._process.pid
        while not metadata_answered(self.port):
            if self._process.poll() is not None:
                raise BrokerError(f"moldau ended with exit code {self._process.returncode}:\n{tail(self.log)}")
            if time.perf_counter() - began > timeout:
                raise BrokerError(f"moldau gave no metadata within {timeout:.0f} s:\n{tail(self.log)}")
            time.sleep(0.005)
        self.start_seconds = time.perf_counter() - began
        return self

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, grace: float = 20.0) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(grace)
                except subprocess.TimeoutExpired:
                    pass
            with contextlib.suppress(ProcessLookupError):  # what it may have left: workers, or itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


class Kafka(Broker):
    """An Apache Kafka node; the controller listens on the port after the broker's."""

    name = "kafka"

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        port: int = 0,
        folder: Path | None = None,
        keep: bool = False,
        heap: str = "1g",
    ) -> None:
        super().__init__(settings, port=port, folder=folder, keep=keep)
        self.heap = heap

    def start(self, timeout: float = 180.0) -> Self:
        if not self.port:
            self.port = _free_pair()
        command = [str(CONFORMANCE / "kafka-peer/up"), "-p", str(self.port), "-d", str(self.folder), "-H", self.heap]
        for key, value in self.settings.items():
            command += ["-c", f"{key}={value}"]
        deadline = time.monotonic() + timeout
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as up:
            while not (answered := metadata_answered(self.port)) and up.poll() in (None, 0):
                if time.monotonic() > deadline:
                    up.terminate()
                    break
                time.sleep(0.02)
            answered_at = time.clock_gettime(time.CLOCK_BOOTTIME)
            _, errors = up.communicate()
        pid_file = self.folder / "pid"
        if not answered or up.returncode or not pid_file.exists():
            raise BrokerError(f"Apache Kafka did not start:\n{errors}\n{tail(self.log)}")
        self.pid = int(pid_file.read_text())
        self.start_seconds = answered_at - _started_at(self.pid)
        return self

    def alive(self) -> bool:
        return self.pid > 0 and Path(f"/proc/{self.pid}").exists()

    def stop(self, grace: float = 40.0) -> None:
        if not (self.folder / "pid").exists():
            return
        command = [str(CONFORMANCE / "kafka-peer/down"), "-p", str(self.port), "-d", str(self.folder)]
        if not self.keep:
            command.append("-w")
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=grace + 10, check=False)
        self.pid = 0


def _started_at(pid: int) -> float:
    """Seconds after boot at which the process began."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]) / _TICKS


def _free_pair() -> int:
    """A free port whose successor is free too, below those that the system hands out to clients."""
    for port in random.sample(range(20_000, 32_000, 2), 200):
        with socket.socket() as a, socket.socket() as b, contextlib.suppress(OSError):
            a.bind(("127.0.0.1", port))
            b.bind(("127.0.0.1", port + 1))
            return port
    raise BrokerError("no two free ports next to each other between 20000 and 32000")


@contextlib.contextmanager
def terminated_as_exit() -> Iterator[None]:
    """SIGTERM ends the program by an exception, so that every ``with`` above stops its broker."""

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
