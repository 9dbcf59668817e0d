"""One broker process: started, stopped, killed, paused; ready when it answers, whatever it prints."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

START_SECONDS = 30.0
STOP_SECONDS = 30.0
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Node:
    """`arguments` are those of `moldau serve`; the port is among them. Output and log go to one file, `log`."""

    def __init__(
        self, node_id: int, port: int, arguments: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.node_id = node_id
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self.log = log
        self._command = [sys.executable, "-m", "moldau", "serve", *arguments]
        self._env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self.paused = False
        self.starts = 0

    @property
    def running(self) -> bool:
        """There is a process, paused or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"broker {self.node_id} is not running"
        return self._process.pid

    def launch(self) -> None:
        """Begin to start; `wait_ready` waits for it."""
        assert not self.running, f"broker {self.node_id} is running"
        self.starts += 1
        with self.log.open("ab") as out:
            out.write(f"-- start {self.starts} of broker {self.node_id}\n".encode())
            out.flush()
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._env
            )

    def wait_ready(self, seconds: float = START_SECONDS) -> None:
        """Returns when it answers ApiVersions. Raises RuntimeError with the end of its log when it ends or does not."""
        deadline = time.monotonic() + seconds
        while not self.answers():
            if not self.running:
                raise RuntimeError(f"broker {self.node_id} ended while it started:\n{self.said()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"broker {self.node_id} does not answer after {seconds} s:\n{self.said()}")
            time.sleep(0.02)

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def answers(self, seconds: float = 1.0) -> bool:
        """Whether it answers a request within that time."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), seconds) as connection:
                connection.sendall(_API_VERSIONS)
                ready, _, _ = select.select([connection], [], [], seconds)
                return bool(ready) and len(connection.recv(8)) > 0
        except OSError:
            return False

    def kill(self) -> None:
        """kill -9, now; a paused one too."""
        self._signal(signal.SIGKILL)
        self._ended(STOP_SECONDS)

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM, and wait; the exit status. A paused one is woken first. Raises RuntimeError when it does not end."""
        self.resume()
        self._signal(signal.SIGTERM)
        return self._ended(seconds)

    def pause(self) -> None:
        """SIGSTOP: it does nothing, and its sockets stay open."""
        self._signal(signal.SIGSTOP)
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self._signal(signal.SIGCONT)
            self.paused = False

    def said(self, characters: int = 3000) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8", "replace")[-characters:] if self.log.exists() else ""

    def _signal(self, number: signal.Signals) -> None:
        if self.running:
            assert self._process is not None
            self._process.send_signal(number)

    def _ended(self, seconds: float) -> int:
        process, self._process, self.paused = self._process, None, False
        if process is None:
            return 0
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(
                f"broker {self.node_id} did not end within {seconds} s of being told:\n{self.said()}"
            ) from None
