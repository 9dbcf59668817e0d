"""Fixtures of every test: a real broker; PostgreSQL. And what a background job of a shell must undo."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from support.postgres import FOLDERS, Postgres

pytest_plugins = ["moldau.testing"]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # a shell without job control starts "command &" so, and every program that the tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", params=sorted(FOLDERS), ids=lambda version: f"pg{version}")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server that is started once and shared; it syncs nothing."""
    server = Postgres(request.param)
    server.start()
    yield server
    server.remove()
