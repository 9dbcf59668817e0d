"""Views of partitions that will come to this broker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.aio import run

from moldau.broker import foreseen as module
from moldau.broker.foreseen import Foreseen
from moldau.metadata.errors import StoreUnavailable


class Slow:
    """Views that are there once `go` was set; at most `most` were being built at a time."""

    def __init__(self) -> None:
        self.there: dict[int, object] = {}
        self.go = asyncio.Event()
        self.asked: list[int] = []
        self.now = self.most = 0
        self.error: Exception | None = None

    def get(self, partition_id: int) -> Any:
        return self.there.get(partition_id)

    async def load(self, partition_id: int) -> Any:
        self.asked.append(partition_id)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
            if self.error is not None:
                raise self.error
            self.there[partition_id] = object()
        finally:
            self.now -= 1


def even(partition_id: int) -> bool:
    return partition_id % 2 == 0


async def until_asked(views: Slow, count: int) -> None:
    async with asyncio.timeout(5):
        while len(views.asked) < count:
            await asyncio.sleep(0)


def test_what_this_broker_leads_is_built_once_and_few_at_a_time() -> None:
    async def main() -> None:
        views = Slow()
        views.there[4] = object()
        it = Foreseen(views, even)  # type: ignore[arg-type]
        for partition_id in (2, 3, 4, 6, 8, 10, 8):
            it.expect(partition_id)
        await until_asked(views, module.AT_ONCE)
        it.expect(10)
        views.go.set()
        await until_asked(views, 4)
        assert views.asked == [2, 6, 8, 10]
        assert views.most == module.AT_ONCE

    run(main())


def test_a_store_that_does_not_answer_is_asked_no_more_until_the_next_note() -> None:
    async def main() -> None:
        views = Slow()
        views.error = StoreUnavailable("away")
        it = Foreseen(views, even)  # type: ignore[arg-type]
        for partition_id in (2, 4, 6, 8):
            it.expect(partition_id)
        await until_asked(views, 2)
        views.go.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert views.asked == [2, 4]
        views.error = None
        it.expect(6)
        await until_asked(views, 3)
        assert views.asked == [2, 4, 6]

    run(main())


def test_what_waits_is_bounded_and_ends_with_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 3)

    async def main() -> None:
        views = Slow()
        it = Foreseen(views, even)  # type: ignore[arg-type]
        for partition_id in range(0, 40, 2):
            it.expect(partition_id)
        await until_asked(views, 2)
        it.close()
        views.go.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert views.asked == [0, 2]
        assert views.there == {}

    run(main())
