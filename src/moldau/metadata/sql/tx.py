"""What the portable aggregates need of a transaction: named queries with named parameters."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Tx(Protocol):
    """An open transaction."""

    async def run(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]: ...

    async def now(self) -> int:
        """The store's clock in ms, which decides leases."""
        ...

    async def run_many(self, query: str, parameters: list[dict[str, Any]]) -> None: ...


class Engine(Protocol):
    """Runs portable aggregates: `write` in a durable read-write transaction, `read` on a snapshot.

    `scan` is a `read` that may take long; those who call `read` do not wait for it. A body of `write` may run twice.
    """

    async def write(self, body: Callable[[Any], Coroutine[Any, Any, T]]) -> T: ...

    async def read(self, body: Callable[[Any], Coroutine[Any, Any, T]]) -> T: ...

    async def scan(self, body: Callable[[Any], Coroutine[Any, Any, T]]) -> T: ...
