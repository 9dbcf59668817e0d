"""Batches whose guards are asked about: in their order, together, and behind those that came before."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from support.aio import run

from moldau.broker.transactional import Joining, Joins
from moldau.coordination.transactions.refusal import TxnRefused
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows_txn import TxnGuard
from moldau.protocol import error_codes

TOPIC: Any = SimpleNamespace(partition_ids=[10, 11, 12])


class Asked:
    """A coordinator that answers `verify` and `join` when it is let."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, int], list[int]]] = []
        self.let = asyncio.Semaphore(0)
        self.error: Exception | None = None
        self.refused: dict[int, TxnRefused] = {}

    async def join(self, transactional_id: str, producer: tuple[int, int], ids: list[int], version: int) -> Any:
        self.calls.append((transactional_id, producer, ids))
        await self.let.acquire()
        if self.error is not None:
            raise self.error
        guards = {each: TxnGuard(each, transactional_id, len(self.calls)) for each in ids if each not in self.refused}
        return SimpleNamespace(guards=guards)

    async def verify(self, transactional_id: str, producer: tuple[int, int], ids: list[int]) -> Any:
        return await self.join(transactional_id, producer, ids, 1), self.refused


class Bench:
    """`told` is what became of each batch, in the order in which it was told."""

    def __init__(self) -> None:
        self.asked = Asked()
        self.tasks: list[asyncio.Task[None]] = []
        broker: Any = SimpleNamespace(
            transactions=self.asked,
            loop=asyncio.get_running_loop(),
            keep=self.tasks.append,
            verifies_transactions=True,
        )
        self.joins = Joins(broker)
        self.told: list[tuple[str, Any]] = []

    def add(self, name: str, index: int = 0, version: int = 12, producer: int = 5, transactional_id: str = "t") -> None:
        header: Any = SimpleNamespace(producer_id=producer, producer_epoch=0)
        answer: Any = None
        self.joins.add(
            transactional_id,
            version,
            Joining(TOPIC, index, b"", header, answer),  # type: ignore[arg-type]
            lambda guard: self.told.append((name, guard.seq)),
            lambda code, _: self.told.append((name, -code)),
        )

    async def all_told(self) -> None:
        while self.tasks:
            await self.tasks.pop()


@pytest.mark.parametrize("version", [11, 12])
def test_what_comes_while_others_are_asked_about_goes_behind_them(version: int) -> None:
    async def body() -> None:
        it = Bench()
        it.add("a", 0, version)
        it.add("b", 1, version)
        await asyncio.sleep(0)
        assert it.asked.calls == [("t", (5, 0), [10, 11])]
        it.add("c", 0, version)
        it.add("d", 0, version)
        assert it.joins.has_line("t")
        assert not it.joins.has_line("u")
        it.asked.let.release()
        it.asked.let.release()
        await it.all_told()
        assert it.told == [("a", 1), ("b", 1), ("c", 2), ("d", 2)]
        assert it.asked.calls[1:] == [("t", (5, 0), [10])]
        assert not it.joins.has_line("t")

    run(body())


def test_lines_of_different_transactional_ids_do_not_wait_for_each_other() -> None:
    async def body() -> None:
        it = Bench()
        it.add("a")
        await asyncio.sleep(0)
        it.add("x", transactional_id="u")
        await asyncio.sleep(0)
        assert [call[0] for call in it.asked.calls] == ["t", "u"]
        it.asked.let.release()
        it.asked.let.release()
        await it.all_told()
        assert {name for name, _ in it.told} == {"a", "x"}

    run(body())


def test_each_is_refused_for_itself_or_all_with_the_store() -> None:
    async def body() -> None:
        it = Bench()
        it.asked.refused = {11: TxnRefused(error_codes.INVALID_TXN_STATE, "it takes no part")}
        it.asked.let = asyncio.Semaphore(100)
        it.add("a", 0, 3)
        it.add("b", 1, 3)
        it.add("c", 2, 3)
        await it.all_told()
        assert it.told == [("a", 1), ("b", -error_codes.INVALID_TXN_STATE), ("c", 1)]
        for error, code in (
            (StoreUnavailable("away"), error_codes.KAFKA_STORAGE_ERROR),
            (TxnRefused(error_codes.PRODUCER_FENCED, "late"), error_codes.INVALID_PRODUCER_EPOCH),
            (ZeroDivisionError(), error_codes.UNKNOWN_SERVER_ERROR),
        ):
            it.told.clear()
            it.asked.error = error
            it.add("a")
            it.add("b", 1)
            await it.all_told()
            assert it.told == [("a", -code), ("b", -code)]
            assert not it.joins.has_line("t")

    run(body())
