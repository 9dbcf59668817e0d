"""What an older release wrote is brought up to date with the right numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.aio import run
from support.stores import sqlite_opener

from moldau.metadata.sql.named import load_migrations
from moldau.metadata.sqlite import connection


def test_numbers_have_no_gap_and_come_once() -> None:
    assert [number for number, _ in load_migrations()] == list(range(1, len(load_migrations()) + 1))


def test_live_counts_are_counted_from_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "load_migrations", lambda: load_migrations()[:1])
    old = connection.connect(tmp_path / "metadata.sqlite")
    assert connection.migrate(old) == 1
    old.execute("INSERT INTO partition VALUES (1, x'00', 0, 1, 4, 0, 0, 5, 40)")
    for offset, blob_id, kind in ((0, 7, 0), (1, 7, 0), (2, 7, 1), (3, 8, 1)):
        old.execute(
            "INSERT INTO extent VALUES (1, ?, ?, ?, 0, 3, 5, 5, 1, 0, ?, 9, x'')", (offset, offset, blob_id, kind)
        )
    for blob_id in (6, 7):
        old.execute("INSERT INTO blob VALUES (?, 0, 100, 5, -1)", (blob_id,))
    for blob_id in (7, 8, 9):
        old.execute("INSERT INTO inline_blob VALUES (?, 5, x'616263')", (blob_id,))
    old.close()
    monkeypatch.undo()

    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            assert await it.maintenance.live_counts() == []
            assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [6]
            assert await it.log.read_inline(9) is None, "nobody named it"
            extents = await it.extents(1)
            await it.maintenance.delete_extents(1, extents[1:])
            assert [await it.log.read_inline(n) for n in (7, 8)] == [None, None]
            await it.maintenance.delete_extents(1, extents[:1])
            assert await it.maintenance.doom_unreferenced(1000, 0, 9) == [7]

    run(main())
