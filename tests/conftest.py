"""Fixtures of every test: a real broker; PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres import FOLDERS, Postgres

pytest_plugins = ["moldau.testing"]


@pytest.fixture(scope="session", params=sorted(FOLDERS), ids=lambda version: f"pg{version}")
def postgres(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server that is started once and shared; it syncs nothing."""
    server = Postgres(request.param)
    server.start()
    yield server
    server.remove()
