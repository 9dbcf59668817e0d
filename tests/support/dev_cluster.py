"""`moldau dev` as a child process on free ports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from .ports import free_ports

_SECONDS = 60


class DevCluster:
    """Ready when `with` is entered; `out` is what it printed so far. Ends by Ctrl-C, unless it ended before."""

    def __init__(self, folder: Path, *arguments: str, brokers: int = 3, env: dict[str, str] | None = None) -> None:
        self.port, self.http_port = free_ports(brokers), free_ports(brokers)
        self.addresses = [f"127.0.0.1:{self.port + each}" for each in range(brokers)]
        self.bootstrap = ",".join(self.addresses)
        self._env = {**os.environ, **(env or {})}
        self._command = [sys.executable, "-m", "moldau", "dev", "--port", str(self.port)]
        self._arguments = ["--brokers", str(brokers), "--http-port", str(self.http_port), *arguments]
        self._out = folder / f"dev-{self.port}.log"
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> DevCluster:
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [*self._command, *self._arguments], stdout=out, stderr=out, env=self._env, cwd=self._out.parent
            )
        self.wait_for("serve Kafka clients on")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if error is not None:
            error.add_note(self.out)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(_SECONDS)

    @property
    def out(self) -> str:
        return self._out.read_text()

    def wait_for(self, text: str) -> None:
        """Until it was printed."""
        deadline = time.monotonic() + _SECONDS
        while text not in self.out:
            assert self.process.poll() is None, self.out
            assert time.monotonic() < deadline, f"{text!r} does not come:\n{self.out}"
            time.sleep(0.05)

    def say(self, *words: str) -> str:
        """What `moldau dev kill 2` and its like print."""
        done = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=_SECONDS, env=self._env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pids(self) -> dict[str, int]:
        """Node to process, of those that run."""
        rows = [line.split() for line in self.say("status").splitlines()[1:]]
        return {row[0]: int(row[2]) for row in rows if row[2] != "-"}

    @property
    def socket(self) -> Path:
        return Path(tempfile.gettempdir()) / f"moldau-dev-{os.getuid()}" / f"{self.port}.sock"
