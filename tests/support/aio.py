"""Coroutines in tests without a plugin: each test on a fresh loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

Opener = Callable[[], AbstractAsyncContextManager[Any]]
"""Opens what is under test; called again, it opens the same again, as after a restart."""


def run(body: Coroutine[Any, Any, Any]) -> Any:
    """The result of `body` on a loop of its own; an error that only reached the loop fails the test too."""

    async def main() -> Any:
        stray: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
        result = await body
        await asyncio.sleep(0)
        assert not stray, stray
        return result

    return asyncio.run(main())


def opened(method: Callable[[Any, Any], Coroutine[Any, Any, None]]) -> Callable[[Any, Opener], None]:
    """Make a test of `async def test_x(self, it)`: `it` is what the fixture `opener` opens."""

    def test(self: Any, opener: Opener) -> None:
        async def main() -> None:
            async with opener() as it:
                await method(self, it)

        run(main())

    test.__name__ = method.__name__
    test.__doc__ = method.__doc__
    return test


def reopened(method: Callable[[Any, Opener], Coroutine[Any, Any, None]]) -> Callable[[Any, Opener], None]:
    """Make a test of `async def test_x(self, opener)`, which opens as often as it likes."""

    def test(self: Any, opener: Opener) -> None:
        run(method(self, opener))

    test.__name__ = method.__name__
    test.__doc__ = method.__doc__
    return test
