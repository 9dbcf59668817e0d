"""Clients that watch how long they wait: the programs `stalls.py` and `Stalls.java`, beside each other on topics of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from bench.programs import JAVA, LoadError
from conformance.common.brokers import CHECKOUT

CLIENTS = ("librdkafka", "java")
RATE = 600.0
"""Records a second of each client: 50 of each partition, so that 20 ms is the least that can be seen."""
PARTITIONS = 12
_JSON_SECONDS = 120.0


class Watchers:
    """All clients of `clients` run inside the `with`; `results` ends them."""

    def __init__(self, bootstrap: str, topics: dict[str, str]) -> None:
        """``topics``: of each client its own."""
        programs = {
            "librdkafka": [sys.executable, "-m", "bench.cluster.stalls"],
            "java": [JAVA, "bench/cluster/Stalls.java"],
        }
        self._commands = {
            client: [*programs[client], bootstrap, topic, str(PARTITIONS), str(RATE)]
            for client, topic in topics.items()
        }
        self._running: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        for client, command in self._commands.items():
            self._running[client] = subprocess.Popen(
                command,
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        for client, process in self._running.items():
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise LoadError(f"the watching {client} client ended: {process.communicate()[1][-1500:]}")
        return self

    def results(self) -> dict[str, dict[str, float]]:
        """Of each client. Raises LoadError."""
        found: dict[str, dict[str, float]] = {}
        outputs: dict[str, tuple[str, str]] = {}
        for process in self._running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for client, process in self._running.items():
            try:
                outputs[client] = process.communicate(timeout=_JSON_SECONDS)
            except subprocess.TimeoutExpired as e:
                raise LoadError(f"the watching {client} client does not end") from e
        for client, (out, errors) in outputs.items():
            if self._running[client].returncode:
                raise LoadError(f"the watching {client} client failed: {errors[-1500:]}")
            parsed: dict[str, Any] = json.loads(out.splitlines()[-1])
            found[client] = parsed
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running.values():
            if process.poll() is None:
                process.kill()
            process.communicate()
