"""A bounded set of connections to PostgreSQL.

A connection that failed is thrown away, never mended. After a failure to connect, nobody tries again before a back-off with jitter is over, so
that a thousand waiters are no storm when the server comes back. Waiting for a connection is bounded by the caller's deadline.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import StoreUnavailable
from .errors import ConnectRefused, is_worlds_fault

_BACK_OFF_FIRST = 0.02
_BACK_OFF_MOST = 1.0

Connect = Callable[[float], Awaitable[Any]]
"""Seconds it may take at most -> an asyncpg connection."""


class Session:
    """A connection, and whether the server warned since `warned` was last cleared."""

    __slots__ = ("connection", "warned")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.warned = ""
        connection.add_log_listener(self._heard)

    def _heard(self, _: Any, message: Any) -> None:
        # "canceling wait for synchronous replication" has no SQLSTATE of its own, and its text may be in any language
        if getattr(message, "severity_en", None) == "WARNING" or message.severity == "WARNING":
            self.warned = message.message or "a warning"


class Pool:
    """`acquire`, then `release`; at most `size` connections at a time."""

    def __init__(self, connect: Connect, size: int) -> None:
        self._connect = connect
        self.size = size
        self._free = size
        self._idle: list[Session] = []
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self.connects = 0

    async def acquire(self, deadline: float) -> Session:
        """By `deadline` (of the loop's clock) a connection that worked when it was last used. Raises ConnectRefused, StoreUnavailable."""
        await self._take(deadline)
        try:
            while self._idle:
                session = self._idle.pop()
                if not session.connection.is_closed():
                    return session
            return await self._open(deadline)
        except BaseException:
            self._give()
            raise

    def release(self, session: Session, *, broken: bool = False) -> None:
        """`broken`: in an unknown state."""
        if broken or self._closed or session.connection.is_closed():
            session.connection.terminate()
        else:
            session.warned = ""
            self._idle.append(session)
        self._give()

    def drop_idle(self) -> None:
        """Connections that nobody uses are not used again."""
        idle, self._idle = self._idle, []
        for session in idle:
            session.connection.terminate()

    async def _take(self, deadline: float) -> None:
        if self._closed:
            raise StoreUnavailable("the metadata store is closed")
        if self._free and not self._waiters:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters[waiter] = None

        def late() -> None:
            if not waiter.done():
                waiter.set_exception(StoreUnavailable(f"all {self.size} connections to PostgreSQL are busy"))

        timer = loop.call_at(deadline, late)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give()  # given and cancelled at once
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def _give(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                del self._waiters[waiter]
                waiter.set_result(None)
                return
        self._free += 1

    async def _open(self, deadline: float) -> Session:
        loop = asyncio.get_running_loop()
        while True:
            if self._closed:
                raise StoreUnavailable("the metadata store is closed")
            pause = self._not_before - loop.time()
            if pause > 0:
                if loop.time() + pause >= deadline:
                    await asyncio.sleep(max(0.0, deadline - loop.time()))
                    raise ConnectRefused("PostgreSQL does not answer")
                await asyncio.sleep(pause)
                continue
            try:
                connection = await self._connect(max(0.05, deadline - loop.time()))
            except Exception as error:
                if not is_worlds_fault(error):
                    raise
                self._failures += 1
                most = min(_BACK_OFF_MOST, _BACK_OFF_FIRST * 2 ** min(self._failures, 10))
                self._not_before = loop.time() + most * random.uniform(0.5, 1)
                raise ConnectRefused(f"cannot connect to PostgreSQL: {str(error) or type(error).__name__}") from error
            self._failures = 0
            self.connects += 1
            return Session(connection)

    @property
    def open(self) -> int:
        """Connections in use or idle."""
        return self.size - self._free + len(self._idle)

    async def close(self) -> None:
        """Idle connections say good-bye; who waits is refused; those in use end with `release`."""
        self._closed = True
        for waiter in list(self._waiters):
            if not waiter.done():
                waiter.set_exception(StoreUnavailable("the metadata store is closed"))
        idle, self._idle = self._idle, []
        for session in idle:
            try:
                await asyncio.wait_for(session.connection.close(), 1)
            except Exception:
                session.connection.terminate()
