"""The programs that make load, each with a time limit: rawload, and Kafka's own performance programs."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from conformance.common.brokers import CHECKOUT, CONFORMANCE, Broker

JAVA = str(CONFORMANCE / "kafka-peer/run")
_PAYLOADS = 5_000
_LETTERS = bytes(ord("A") + byte % 26 for byte in range(256))


class LoadError(Exception):
    """A load program failed or ran out of time."""


def run(command: Sequence[str], timeout: float) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise LoadError(f"more than {timeout:.0f} s: {' '.join(command)}") from e
    if done.returncode:
        raise LoadError(f"exit code {done.returncode}: {' '.join(command)}\n{done.stdout[-500:]}{done.stderr[-1500:]}")
    return done.stdout


def rawload(mode: str, bootstrap: str, topic: str, options: Sequence[str], timeout: float) -> dict[str, Any]:
    out = run([sys.executable, "-m", "bench.rawload", mode, bootstrap, topic, *options], timeout)
    result: dict[str, Any] = json.loads(out.splitlines()[-1])
    if result.get("errors"):
        raise LoadError(f"{result['errors']} requests were refused on {topic}")
    return result


def counted(broker: Broker, command: Sequence[str], seconds: float) -> tuple[dict[str, Any], float]:
    """What a program prints last, and the broker's CPU seconds between its lines ``ready`` and ``over``. Raises LoadError."""
    with subprocess.Popen(
        command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.daemon = True
        watchdog.start()
        assert process.stdout is not None
        readings = []
        for expected in ("ready", "over"):
            if process.stdout.readline().strip() != expected:
                raise LoadError(f"{' '.join(command)}: not {expected}: {process.communicate()[1][-1500:]}")
            readings.append(broker.cpu_seconds())
        out, errors = process.stdout.read(), process.stderr.read() if process.stderr is not None else ""
        process.wait()
        watchdog.cancel()
    if process.returncode:
        raise LoadError(f"{' '.join(command)} exited with {process.returncode}: {errors[-1500:]}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found, readings[1] - readings[0]


class IdleConsumers:
    """Consumers that wait for records that never come; inside the ``with`` all their sessions stand."""

    def __init__(self, bootstrap: str, topic: str, *, connections: int, partitions: int, seconds: float) -> None:
        self._command = [sys.executable, "-m", "bench.rawload", "idle", bootstrap, topic]
        self._command += ["--connections", str(connections), "--partitions", str(partitions), "--seconds", str(seconds)]
        self._seconds = seconds
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watchdog = threading.Timer(self._seconds + 120, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            _, errors = self._process.communicate()
            raise LoadError(f"the idle consumers did not get their sessions: {errors[-1500:]}")
        return self

    def result(self) -> dict[str, Any]:
        """Waits for the end of their time."""
        assert self._process is not None
        out, errors = self._process.communicate(timeout=self._seconds + 60)
        if self._process.returncode:
            raise LoadError(f"the idle consumers failed: {errors[-1500:]}")
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()  # it closes its sessions, which else would stand in the way of the next consumers
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _java_tool(name: str, bootstrap: str, topic: str, options: str, timeout: float) -> str:
    """The last line that one of Kafka's performance programs prints."""
    command = [JAVA, f"org.apache.kafka.tools.{name}", "--bootstrap-server", bootstrap, "--topic", topic]
    return run([*command, *options.split()], timeout).strip().splitlines()[-1]


def java_produce(
    bootstrap: str,
    topic: str,
    records: int,
    size: int,
    timeout: float,
    properties: Sequence[str] = (),
    from_file: bool = False,
) -> dict[str, float]:
    """The records are made as they are sent, or come `from_file`."""
    with _payloads(size) if from_file else contextlib.nullcontext() as file:
        contents = f"--payload-file {file}" if file else f"--record-size {size}"
        options = f"--num-records {records} {contents} --throughput -1 --command-property acks=all"
        options += "".join(f" {each}" for each in properties)  # one option: of several the last would count
        last = _java_tool("ProducerPerformance", bootstrap, topic, options, timeout)
    m = re.search(r"(\d+) records sent, ([\d.]+) records/sec", last)
    p50, p99 = re.search(r"(\d+) ms 50th", last), re.search(r"(\d+) ms 99th", last)
    if not m or not p50 or not p99 or int(m[1]) != records:
        raise LoadError(f"ProducerPerformance printed: {last}")
    rate = float(m[2])
    return {"records_s": rate, "mb_s": rate * size / 1e6, "p50_ms": float(p50[1]), "p99_ms": float(p99[1])}


@contextlib.contextmanager
def _payloads(size: int) -> Iterator[str]:
    """A file of some thousand lines of capital letters, which is what ProducerPerformance makes of its own accord."""
    source = random.Random(size)
    with tempfile.NamedTemporaryFile(suffix=".txt") as file:
        for _ in range(_PAYLOADS):
            file.write(source.randbytes(size).translate(_LETTERS) + b"\n")
        file.flush()
        yield file.name


def java_consume(bootstrap: str, topic: str, records: int, timeout: float) -> dict[str, float]:
    options = f"--num-records {records} --hide-header --timeout 60000 --command-property auto.offset.reset=earliest"
    last = _java_tool("ConsumerPerformance", bootstrap, topic, options, timeout)
    # start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    columns = [c.strip() for c in last.split(",")]
    if len(columns) < 10 or int(columns[4]) < records:
        raise LoadError(f"ConsumerPerformance printed: {last}")
    # the fetch columns leave out the start of the group, which is a fixed wait
    return {"records_s": float(columns[9]), "mb_s": float(columns[8]) * 2**20 / 1e6}


def java_end_to_end(bootstrap: str, topic: str, records: int, size: int, timeout: float) -> dict[str, float]:
    out = run(
        [JAVA, "org.apache.kafka.tools.EndToEndLatency", bootstrap, topic, str(records), "all", str(size)], timeout
    )
    m = re.search(r"50th = (\d+), 99th = (\d+)", out)
    average = re.search(r"Avg latency: ([\d.]+) ms", out)
    if not m or not average:
        raise LoadError(f"EndToEndLatency printed: {out[-500:]}")
    # the percentiles are whole milliseconds: too coarse to compare, so the mean stands for the middle
    return {"p50_ms": float(average[1]), "p99_ms": float(m[2])}
