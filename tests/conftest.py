"""Fixtures of every test: a real broker; PostgreSQL. How tests are spread over processes. And what a background job of a shell must undo."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from support import spread
from support.postgres import FOLDERS, Postgres, Servers

pytest_plugins = ["moldau.testing"]

settings.register_profile("untimed", deadline=None)  # a busy machine makes any example slow; each test has its time-out
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell without job control starts "command &" so, and every program that the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        spread.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return spread.scheduler(config, log)


@pytest.fixture(scope="session")
def postgres_servers() -> Iterator[Servers]:
    """One server of each version, started when it is first asked for; they sync nothing."""
    servers = Servers()
    yield servers
    servers.remove()


@pytest.fixture(scope="session", params=sorted(FOLDERS), ids=lambda version: f"pg{version}")
def postgres(request: pytest.FixtureRequest, postgres_servers: Servers) -> Postgres:
    """Each version in turn."""
    return postgres_servers[request.param]
