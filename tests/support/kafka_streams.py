"""The application `tests/support/java/Counts.java`, a real Kafka Streams 4.3.1, as a process that can be killed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from pathlib import Path

from support.clients.java import Java
from support.clients.port import absent

SOURCE = Path(__file__).parent / "java" / "Counts.java"
_SERDE = "org.apache.kafka.common.serialization.Serdes$StringSerde"


def compiled(java: Java) -> Path:
    """The folder of the class, compiled once for each version of the source."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "moldau"
    folder = cache / f"streams-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}"
    if not (folder / "Counts.class").exists():
        done = subprocess.run(
            ["javac", "-cp", java.class_path, "-d", str(folder), str(SOURCE)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            absent(f"javac did not compile {SOURCE.name}: {done.stderr[-500:]}")
    return folder


class Counts:
    """One instance; `source` is counted by value into `sink`. Each has a state folder of its own, which a next instance may take over."""

    def __init__(self, java: Java, bootstrap: str, source: str, sink: str, state: Path, **settings: str) -> None:
        given = {
            "bootstrap.servers": bootstrap,
            "application.id": "counts",
            "state.dir": str(state),
            "commit.interval.ms": "100",
            "default.key.serde": _SERDE,
            "default.value.serde": _SERDE,
            "group.protocol": "streams",
            "consumer.reconnect.backoff.max.ms": "200",
        } | {name.replace("_", "."): value for name, value in settings.items()}
        words = [f"{name}={value}" for name, value in given.items()]
        command = [*java.command(compiled(java)), "Counts", source, sink, *words]
        state.mkdir(parents=True, exist_ok=True)
        self.log = state / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self.states: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.states.append(line.strip())

    def kill(self) -> None:
        """kill -9"""
        self.process.kill()
        self._end()

    def close(self) -> int:
        """Let it stop by itself; returns its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self._end()

    def _end(self) -> int:
        status = self.process.wait(20)
        self._reader.join(5)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return status
