"""What object stores of tests have in common: a child process with a folder and a log of its own, on a free loopback port."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlencode

from support.ports import free_port


class ObjectServer:
    """`kill` and `start` it again: what it keeps in its folder stays."""

    scheme: ClassVar[str]
    bucket = "moldau"

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix=f"moldau-{name}-"))
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers."""
        raise NotImplementedError

    def kept(self) -> Self:
        """Started, until the tests end."""
        atexit.register(self.close)
        self.start()
        return self

    def _launch(self, command: list[str], env: dict[str, str], answers: Callable[[], bool]) -> None:
        """`answers` is asked until it says so; an OSError is a no."""
        log = self.folder.with_suffix(".log")
        with log.open("ab") as out:
            env = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), "GOMAXPROCS": "2", **env}
            self._process = subprocess.Popen(command, env=env, stdout=out, stderr=out)
        for _ in range(400):
            assert self._process.poll() is None, f"{self.name} ended: {log.read_text()[-2000:]}"
            try:
                if answers():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.name} does not answer: {log.read_text()[-2000:]}")

    def kill(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def url(self, endpoint: str | None = None, **options: str) -> str:
        """For `moldau.blobs.url`, with a prefix that nobody else has."""
        query = urlencode({"endpoint": self._place(endpoint or self.endpoint), **options})
        return f"{self.scheme}://{self.bucket}/{uuid.uuid4().hex[:12]}?{query}"

    def _place(self, endpoint: str) -> str:
        """Of the endpoint, what stands in the URL."""
        return endpoint

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.with_suffix(".log").unlink(missing_ok=True)
