"""A connection to the primary, whichever of the URL's hosts that is.

The driver asks one host after the other, and a silent one (its machine or its cable is gone) takes all the time that there is. So where there are several they
are asked side by side: the one that was the primary last time first, the next one as soon as the one before has failed or was silent for a moment.
"""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg

from .address import Address
from .errors import is_worlds_fault

SILENT_SECONDS = 0.25
"""So long a host is waited for before the next one is asked too."""
LATER = (
    OSError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.CannotConnectNowError,
    asyncpg.ConnectionDoesNotExistError,
)
"""Errors of hosts that are away, or not the primary: another error says more."""


class Connector:
    """`connect` as often as there is need; one for all pools of an engine."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._hosts = list(address.hosts)

    async def connect(self, seconds: float, statement_timeout_ms: int) -> Any:
        """Raises what the driver raises; of several hosts that refuse, the error that says most."""
        return await self.connect_with(self._address.arguments(statement_timeout_ms), seconds)

    async def connect_with(self, arguments: dict[str, Any], seconds: float) -> Any:
        """The same with arguments that were changed."""
        timeout = min(seconds, self._address.connect_timeout)
        if len(self._hosts) == 1:
            return await asyncpg.connect(timeout=timeout, **arguments)
        hosts = list(self._hosts)
        host, connection = await _first(
            {host: asyncpg.connect(timeout=timeout, **{**arguments, "dsn": host}) for host in hosts}
        )
        if self._hosts[0] != host:
            self._hosts = [host, *(other for other in hosts if other != host)]
        return connection


async def _first(asked: dict[str, Any]) -> tuple[str, Any]:
    """The first that answers as it should, and its connection. The others are given up."""
    waiting = list(asked.items())
    running: dict[asyncio.Task[Any], str] = {}
    errors: list[Exception] = []
    try:
        while waiting or running:
            if waiting:
                host, connecting = waiting.pop(0)
                running[asyncio.ensure_future(connecting)] = host
            silence = SILENT_SECONDS if waiting else None
            done, _ = await asyncio.wait(running, timeout=silence, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    return running.pop(task), task.result()
                if not is_worlds_fault(error):
                    raise error
                assert isinstance(error, Exception)
                errors.append(error)
                del running[task]
    finally:
        for _, connecting in waiting:
            connecting.close()
        for task in running:
            task.cancel()
            task.add_done_callback(_give_up)
    raise min(errors, key=lambda error: isinstance(error, LATER))


def _give_up(task: asyncio.Task[Any]) -> None:
    """It may have connected before it heard that it need not."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()
