"""Modules that are imported soon after the start."""

from __future__ import annotations

import asyncio
import importlib
import threading
from types import ModuleType

import pytest

from moldau.broker import served
from moldau.server import preload


def test_each_is_a_module_of_an_api_that_is_served() -> None:
    names = preload.modules()
    assert len(set(names)) == len(names) == 2 * len(preload.APIS)
    assert set(preload.APIS) <= set(served.MODULES)
    for name in names:
        importlib.import_module(name)


def test_they_come_by_a_thread_and_the_loop_is_told_when_all_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[tuple[str, bool]] = []
    frozen: list[bool] = []

    def note(name: str) -> ModuleType:
        came.append((name, threading.current_thread() is threading.main_thread()))
        return importlib

    async def main() -> None:
        told = asyncio.Event()
        monkeypatch.setattr(preload, "DELAY_SECONDS", 0.0)
        monkeypatch.setattr(preload, "PAUSE_SECONDS", 0.0)
        monkeypatch.setattr(preload, "import_module", note)
        monkeypatch.setattr(preload.gc, "freeze", lambda: (frozen.append(True), told.set()))
        preload.begin(asyncio.get_running_loop())
        await asyncio.wait_for(told.wait(), 10)

    asyncio.run(main())
    assert came == [(name, False) for name in preload.modules()]
    assert frozen == [True]


def test_a_broker_that_has_ended_meanwhile_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    monkeypatch.setattr(preload, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(preload, "PAUSE_SECONDS", 0.0)
    came: list[str] = []
    monkeypatch.setattr(preload, "import_module", came.append)
    preload._run(loop)
    assert came == preload.modules()


def test_a_broker_that_joins_has_them_all_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[tuple[str, bool]] = []

    def note(name: str) -> ModuleType:
        came.append((name, threading.current_thread() is threading.main_thread()))
        return importlib

    monkeypatch.setattr(preload, "import_module", note)
    preload.load()
    assert came == [(name, True) for name in preload.modules()]
