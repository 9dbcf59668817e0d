"""A broker that joins others: when they learn of it, its ports take connections."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from support.aio import run

from moldau.broker.config.listeners import Listeners
from moldau.broker.options import Options
from moldau.metadata.opening import sqlite_url
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.server.homes import SharedHome
from moldau.server.lifecycle import Lifecycle


def test_who_finds_its_row_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # a peer that is refused suspects it, and names it to no client until it has tried again: librdkafka then hangs up on it
    (tmp_path / "blobs").mkdir()
    options = Options()
    options.metadata_url = sqlite_url(tmp_path / "metadata.sqlite", syncs=False)
    options.blobs_url = f"file://{tmp_path / 'blobs'}"
    life = Lifecycle(options, None, Listeners.on("127.0.0.1", 0), home=SharedHome(options))
    register = SqlClusterStore.start_broker
    connected = 0

    async def connect_and_register(self: SqlClusterStore, *row: Any) -> int:
        nonlocal connected
        for endpoint in life.server.endpoints:
            socket.create_connection((endpoint.host, endpoint.port), 1).close()
            connected += 1
        return await register(self, *row)

    monkeypatch.setattr(SqlClusterStore, "start_broker", connect_and_register)

    async def main() -> None:
        await life.start()
        await life.stop()

    run(main())
    assert connected == 1
