"""A real broker for tests: the pytest fixture `moldau_broker`, and the classes behind it.

    def test_orders(moldau_broker):
        producer = Producer({"bootstrap.servers": moldau_broker.bootstrap})

The fixture gives each test a broker of its own, on a free port of 127.0.0.1, in a thread of the test's process, with its data in a
temporary directory; it starts in some 10 ms (the first one in 30). Load it with `pytest_plugins = ["moldau.testing"]` in `conftest.py`, and override the
fixture `moldau_settings` to give settings. For a broker in a process of its own, which can be killed (some 120 ms), there is the
fixture `moldau_broker_process`. Both are classes too: `with BrokerThread(settings={...}) as broker`, `BrokerProcess(folder).start()`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moldau.broker.config.acting import options_of
from moldau.broker.config.listeners import Listeners
from moldau.broker.config.settings import Settings
from moldau.broker.options import Options
from moldau.server.lifecycle import Lifecycle
from moldau.server.loops import run

if TYPE_CHECKING:
    from types import TracebackType

_START_SECONDS = 20.0


class BrokerThread:
    """A broker in a thread of this process. `bootstrap` is HOST:PORT once started.

    Data go with it unless `data` is given. `settings` are keys of a server.properties file. Raises ConfigError.
    """

    def __init__(
        self,
        options: Options | None = None,
        data: Path | None = None,
        port: int = 0,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._data = data
        if settings is None:
            self._options = options or Options()
            self._listeners = Listeners.on("127.0.0.1", port)
        else:
            given = {"listeners": f"PLAINTEXT://127.0.0.1:{port}", "moldau.http.listener": "", **settings}
            loaded = Settings.load(sets=[f"{key}={value}" for key, value in given.items()], env={})
            self._options = options_of(loaded)
            self._listeners = loaded.listeners
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.lifecycle: Lifecycle
        self.bootstrap = ""

    def start(self) -> BrokerThread:
        """Ready when it returns. Raises what the start raised."""
        self._thread = threading.Thread(target=self._run, name="moldau-broker", daemon=True)
        self._thread.start()
        if not self._started.wait(_START_SECONDS):
            raise TimeoutError(f"the broker did not start within {_START_SECONDS} s")
        if self._error is not None:
            raise self._error
        return self

    def _run(self) -> None:
        try:
            run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.lifecycle = Lifecycle(self._options, self._data, self._listeners)
        await self.lifecycle.start()
        self.bootstrap = str(self.lifecycle.endpoints[0])
        self._started.set()
        await self._stop.wait()
        await self.lifecycle.stop()

    def stop(self) -> None:
        """Graceful; raises what the broker's thread died of."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        thread.join(_START_SECONDS)
        if thread.is_alive():
            raise TimeoutError(f"the broker did not stop within {_START_SECONDS} s")
        if self._error is not None:
            raise self._error

    def __enter__(self) -> BrokerThread:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class BrokerProcess:
    """`moldau serve` as a child process; `kill` is kill -9, `start` again serves the same data on the same port."""

    def __init__(
        self,
        data: Path | None = None,
        *sets: str,
        env: dict[str, str] | None = None,
        program: Sequence[str] = ("-m", "moldau"),
        workers: int | None = None,
    ) -> None:
        """`workers`: that many, on the ports from that of `bootstrap` on; `kill` is the end of all of them."""
        self._program = program
        self._workers = workers
        self._temporary = tempfile.TemporaryDirectory(prefix="moldau-") if data is None else None
        self.data = data if data is not None else Path(self._temporary.name)  # type: ignore[union-attr]
        self._sets = sets
        self._env = env or {}
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.bootstrap = ""

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> BrokerProcess:
        """Ready when it returns. Raises RuntimeError with what the broker said when it did not start."""
        command = [sys.executable, *self._program, "serve", "--data", str(self.data)]
        command += ["--set", "moldau.http.listener="]
        if self._workers is not None:
            command += ["--workers", str(self._workers)]
        for each in (f"listeners=PLAINTEXT://127.0.0.1:{self._port}", *self._sets):
            command += ["--set", each]
        with open(self.data.with_suffix(".log"), "a") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **self._env}
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._process.stdout.close()
            raise RuntimeError(f"the broker did not start: {self.data.with_suffix('.log').read_text()[-2000:]}")
        self.bootstrap = line.split()[-1]
        self._port = int(self.bootstrap.rsplit(":", 1)[1])
        return self

    def kill(self) -> None:
        """kill -9, now."""
        self._end(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self._end(signal.SIGTERM)
        if self._temporary is not None:
            self._temporary.cleanup()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(_START_SECONDS)
            if process.stdout is not None:
                process.stdout.close()

    def wait(self, seconds: float = _START_SECONDS) -> int:
        """Wait until it ends by itself (a fault point killed it); its exit status. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        status = self._process.wait(seconds)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        return status


@pytest.fixture
def moldau_settings() -> dict[str, str]:
    """Keys of a server.properties file for the brokers of the other fixtures; override it to set some."""
    return {}


@pytest.fixture
def moldau_broker(moldau_settings: dict[str, str]) -> Iterator[BrokerThread]:
    """A fresh broker in a thread."""
    with BrokerThread(settings=moldau_settings) as broker:
        yield broker


@pytest.fixture
def moldau_broker_process(moldau_settings: dict[str, str]) -> Iterator[BrokerProcess]:
    """A fresh broker in a process of its own."""
    broker = BrokerProcess(None, *(f"{key}={value}" for key, value in moldau_settings.items())).start()
    try:
        yield broker
    finally:
        broker.stop()
