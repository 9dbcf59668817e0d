"""Fixtures of every test: a real broker; PostgreSQL. And what a background job of a shell must undo."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from support.postgres import FOLDERS, Postgres, Servers

pytest_plugins = ["moldau.testing"]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell without job control starts "command &" so, and every program that the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
