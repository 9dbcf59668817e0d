"""An event loop whose time jumps to the next timer instead of passing."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Jumping(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits for nothing")
        self.seconds += max(timeout, 0)
        return super().select(0)


class JumpLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.seconds

    def ms(self) -> int:
        """The loop's time as the runtime's clock."""
        return 1_000_000 + round(self._jumping.seconds * 1000)


def run(body: Callable[[JumpLoop], Coroutine[Any, Any, Any]]) -> Any:
    loop = JumpLoop()
    try:
        return loop.run_until_complete(body(loop))
    finally:
        left = asyncio.all_tasks(loop)
        loop.close()
        assert not left, left
