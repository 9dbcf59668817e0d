"""A whole cluster on one machine: PostgreSQL, a folder of blobs, brokers; from the start to the end of `moldau dev`.

It restarts nothing by itself: who develops wants to see what a death does. Brokers stop first, all at once and each in its order, then PostgreSQL.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from collections.abc import Sequence

from .control import Control
from .errors import DevError
from .folder import Folder
from .guardian import Guardian
from .parts import BrokerPart, Part, PostgresPart
from .plan import Plan
from .postgres import INSTALL, PostgresFailed, PostgresServer
from .screen import Screen

_CONNECTIONS_A_BROKER = 12
"""As many as a broker's pools open (`moldau.metadata.postgres.engine`)."""
_CONNECTIONS_BESIDE = 20


class Supervisor:
    """`run` is its life."""

    def __init__(self, plan: Plan, screen: Screen) -> None:
        self._plan = plan
        self._screen = screen
        self._end = asyncio.Event()
        self._signals = 0
        self._folder: Folder
        self._guardian: Guardian
        self._postgres: PostgresPart | None = None
        self._brokers: list[BrokerPart] = []

    async def run(self) -> None:
        """Until Ctrl-C, SIGTERM or `moldau dev stop`. Raises DevError when the start fails."""
        self._plan.check()
        if importlib.util.find_spec("asyncpg") is None:
            raise DevError(f"brokers that share stores need more packages: {INSTALL}")
        self._plan.check_ports()
        control = Control(self._plan.port, self._answer)
        await control.open()
        try:
            self._folder = Folder(self._plan.data)
            try:
                self._folder.open()
                await self._guarded()
            finally:
                self._folder.close()
        finally:
            await control.close()

    async def _guarded(self) -> None:
        self._guardian = Guardian(str(self._folder.path) if self._folder.temporary else "")
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled)
        try:
            self._make_parts()
            await self._start()
            await self._end.wait()
        finally:
            await self._stop()
            self._guardian.done()

    def _make_parts(self) -> None:
        plan = self._plan
        if plan.metadata_url is None:
            connections = _CONNECTIONS_A_BROKER * plan.brokers + _CONNECTIONS_BESIDE
            try:
                server = PostgresServer(
                    self._folder.postgres,
                    settings={"max_connections": str(connections)},
                    guarded=True,
                    syncs=not self._folder.temporary,
                    group=self._guardian.group,
                    inherits=(self._guardian.token,),
                )
            except PostgresFailed as error:
                raise DevError(str(error)) from error
            self._postgres = PostgresPart(plan, server, self._screen.tell)
        for node_id in range(1, plan.brokers + 1):
            self._brokers.append(BrokerPart(plan, node_id, self._environment, self._guardian, self._screen.tell))

    def _environment(self) -> dict[str, str]:
        metadata = self._postgres.server.url() if self._postgres is not None else self._plan.metadata_url
        assert metadata is not None
        blobs = self._plan.blobs_url or self._folder.blobs_url
        return {**os.environ, "MOLDAU_METADATA_URL": metadata, "MOLDAU_BLOBS_URL": blobs}

    # -- start and stop -------------------------------------------------------------------------------------------------

    @property
    def _parts(self) -> Sequence[Part]:
        return [*([self._postgres] if self._postgres is not None else []), *self._brokers]

    async def _start(self) -> None:
        if self._postgres is not None:
            await self._postgres.start()
        if self._end.is_set():
            return
        starts = await asyncio.gather(*(part.start() for part in self._brokers), return_exceptions=True)
        if self._end.is_set():
            return
        for error in starts:
            if isinstance(error, BaseException):
                raise error
        self._screen.plain("\n".join(self._banner()))

    def _banner(self) -> list[str]:
        plan, folder = self._plan, self._folder
        lines = [f"{plan.brokers} brokers serve Kafka clients on {plan.bootstrap}"]
        if plan.metadata_url is None or plan.blobs_url is None:
            lines.append(f"  data:     {folder.path}{' (goes with the cluster)' if folder.temporary else ''}")
        last = str(plan.brokers)
        return [
            *lines,
            f"  metrics:  {', '.join(part.metrics for part in self._brokers)}",
            f"  look:     {plan.hint('status')}",
            f"  try:      {plan.hint('kill', last)}       (kill -9; 'stop {last}' is the gentle way, 'start {last}' brings it back)",
            f"            echo hello | moldau -b {self._brokers[0].address} produce greetings --create",
            "  stop:     Ctrl-C here",
        ]

    def _signalled(self) -> None:
        self._signals += 1
        self._end.set()
        if self._signals > 1:
            for part in self._parts:
                if part.runs:
                    part.kill()

    async def _stop(self) -> None:
        if any(part.runs for part in self._parts):
            self._screen.plain("stopping; Ctrl-C once more kills")
        await asyncio.gather(*(part.stop() for part in self._brokers))
        if self._postgres is not None:
            await self._postgres.stop()

    # -- what another terminal asks -----------------------------------------------------------------------------------------

    async def _answer(self, verb: str, node: str) -> str:
        if verb == "status":
            return self._status()
        if verb == "stop" and not node:
            self._end.set()
            return "the cluster stops"
        part = self._part(node)
        if self._end.is_set():
            raise DevError("the cluster is stopping")
        if verb == "kill":
            pid = part.pid
            part.kill()
            return f"{part.name} (pid {pid}) is killed; {part.start_again} brings it back"
        if verb == "start":
            await part.start()
            return f"{part.name} is ready on {part.address}, pid {part.pid}"
        if verb == "stop":
            await part.stop()
            return f"{part.name} is stopped; {part.start_again} brings it back"
        raise DevError(f"there is no {verb!r}")

    def _part(self, node: str) -> Part:
        for part in self._parts:
            if part.key == node:
                return part
        raise DevError(f"there is no node {node!r}: expected one of {', '.join(part.key for part in self._parts)}")

    def _status(self) -> str:
        rows = [("node", "state", "pid", "address", "metrics")]
        rows += [
            (part.key, part.state, str(part.pid) if part.runs else "-", part.address, part.metrics or "-")
            for part in sorted(self._parts, key=lambda part: part.key)
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
