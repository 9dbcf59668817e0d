"""The parts of a migration: the list of tables, sums over rows, bounded copies, offsets put in."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.aio import run

from moldau.blobs.memory import MemoryBlobs
from moldau.blobs.ports import BlobError
from moldau.metadata.sql.tables import EXTENT, NOT_MOVED, PARTITION, TABLES, TOPIC, Table
from moldau.metadata.sqlite.connection import connect, migrate
from moldau.metadata.sqlite.whole import SqliteWhole
from moldau.records.batch import set_base_offset
from moldau.records.builder import build_batch
from moldau.records.record import Record
from moldau.server.migration import blobs
from moldau.server.migration.blobs import copy_blobs, fetching, putting, refuse_missing, wanted_blobs
from moldau.server.migration.errors import MigrationError
from moldau.server.migration.notes import NOTE_ID, pack, put_note, read_note, unpack
from moldau.server.migration.offsets import wrong_bases
from moldau.server.migration.opening import patient
from moldau.server.migration.sums import Sums, sum_up


def columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def test_every_table_and_column_is_moved_or_is_not_for_a_reason(tmp_path: Path) -> None:
    connection = connect(tmp_path / "metadata.sqlite")
    migrate(connection)
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert sorted(names) == sorted([table.name for table in TABLES] + list(NOT_MOVED))
    for table in TABLES:
        assert sorted(table.columns) == sorted(columns(connection, table.name)), table.name
        keys = [
            row[1]
            for row in sorted(connection.execute(f"PRAGMA table_info({table.name})"), key=lambda row: row[5])
            if row[5]
        ]
        assert table.key.split(", ") == keys
        assert not table.of_partition or table.columns[0] == "partition_id"
    connection.close()


class Rows:
    """A store of one table."""

    def __init__(self, table: Table, *chunks: list[tuple[Any, ...]]) -> None:
        self.table = table
        self.chunks = chunks

    async def read(self, table: Table) -> AsyncIterator[list[tuple[Any, ...]]]:
        for chunk in self.chunks if table is self.table else ():
            yield chunk


def extent(partition_id: int, last: int, fold: bytes = b"") -> tuple[Any, ...]:
    return (partition_id, last, last, 9, 0, 10, 5, 5, 1, 0, 0, 7, fold)


def sums(table: Table, *chunks: list[tuple[Any, ...]]) -> Sums:
    result: Sums = run(sum_up(Rows(table, *chunks)))
    return result


def test_sums_are_of_rows_whatever_their_order() -> None:
    one = sums(EXTENT, [extent(1, 0), extent(1, 1)], [extent(2, 0, b"f")])
    assert one.differences(sums(EXTENT, [extent(2, 0, b"f"), extent(1, 1), extent(1, 0)])) == []
    assert one.figures()["extents"] == one.figures()["rows"] == 3


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([extent(1, 0), extent(2, 0, b"f")], ["extent of partition 1: 2 rows here, 1 there"]),
        (
            [extent(1, 0), extent(1, 1), extent(2, 0, b"g")],
            ["extent of partition 2: 1 rows on both sides, but not the same ones"],
        ),
        (
            [extent(1, 0), extent(1, 1), extent(2, 0, b"f"), extent(3, 0)],
            ["extent of partition 3: 0 rows here, 1 there"],
        ),
        (
            [extent(1, 1), extent(1, 1), extent(2, 0, b"f")],
            ["extent of partition 1: 2 rows on both sides, but not the same ones"],
        ),
    ],
)
def test_what_differs_is_named(rows: list[tuple[Any, ...]], told: list[str]) -> None:
    assert sums(EXTENT, [extent(1, 0), extent(1, 1), extent(2, 0, b"f")]).differences(sums(EXTENT, rows)) == told


def test_figures_count_what_is_alive() -> None:
    found = sums(PARTITION, [(1, b"t", 0, 1, 10, 4, 0, -1, 0), (2, b"u", 0, 0, 99, 0, 0, -1, 0)]).figures()
    assert (found["partitions"], found["records"]) == (1, 6)
    assert sums(TOPIC, [(b"t", "a", "{}", 1, None, 1, 0), (b"u", "b", "{}", 1, 5, 1, 0)]).figures()["topics"] == 1


def test_the_same_text_object_or_another_sums_up_the_same() -> None:
    key = "".join(["a", "b"])
    one = sums(TOPIC, [(b"t", key, key, 1, None, 1, 0)])
    assert one.differences(sums(TOPIC, [(b"t", "ab", "".join(["a", "b"]), 1, None, 1, 0)])) == []


def test_copies_are_bounded_and_skip_what_is_there() -> None:
    running: list[int] = []
    most, most_large, told = 0, 0, 0

    async def carry(blob: blobs.Wanted, progress: Any) -> None:
        nonlocal most, most_large
        running.append(blob.size)
        most = max(most, len(running))
        most_large = max(most_large, sum(size > blobs.LARGE_BYTES for size in running))
        await asyncio.sleep(0)
        running.remove(blob.size)
        progress(blob.size)

    def progress(done: int) -> None:
        nonlocal told
        told += done

    large = blobs.LARGE_BYTES + 1
    wanted = {n: large if n % 2 else n for n in range(1, 60)}
    copied = run(copy_blobs(wanted, {1: large, 2: 2, 3: 4}, carry, progress))
    assert (copied.blobs, told) == (57, sum(wanted.values()))
    assert copied.bytes == told - large - 2
    assert blobs.LARGE_AT_ONCE < most <= blobs.AT_ONCE
    assert most_large == blobs.LARGE_AT_ONCE


def test_the_first_error_ends_all_copies() -> None:
    carried: list[int] = []

    async def carry(blob: blobs.Wanted, progress: Any) -> None:
        carried.append(blob.blob_id)
        await asyncio.sleep(0)
        if blob.blob_id == 5:
            raise BlobError("no")

    with pytest.raises(BlobError, match="no"):
        run(copy_blobs(dict.fromkeys(range(1, 100), 1), {}, carry, lambda done: None))
    assert len(carried) < 30


@pytest.mark.parametrize("size", [0, 5, 3 * (8 << 20) + 7])
def test_there_and_back(tmp_path: Path, size: int) -> None:
    """Between files and a store; what is longer than its rows say is cut."""
    data = bytes(range(251)) * (size // 251 + 1)
    (tmp_path / f"{7:016x}.blob").write_bytes(data)
    back = tmp_path / "back"
    back.mkdir()

    async def main() -> None:
        store = MemoryBlobs()
        await putting(tmp_path, store)(blobs.Wanted(7, size), lambda done: None)
        assert await store.sizes() == {7: size}
        await fetching(store, back)(blobs.Wanted(7, size), lambda done: None)

    run(main())
    assert [file.name for file in back.iterdir()] == [f"{7:016x}.blob"]
    assert (back / f"{7:016x}.blob").read_bytes() == data[:size]


def test_what_is_missing_is_told() -> None:
    with pytest.raises(
        MigrationError, match=r"2 blobs are not in s3://b .* 0000000000000001 has no bytes, 5 were expected"
    ):
        refuse_missing({1: 5, 2: 6, 3: 7}, {2: 5, 3: 7}, "s3://b")
    refuse_missing({1: 5}, {1: 5, 9: 9}, "s3://b")


def test_a_blob_that_grows_is_not_moved(tmp_path: Path) -> None:
    async def main() -> None:
        whole = SqliteWhole(tmp_path / "metadata.sqlite")
        await whole.create()
        assert await whole.cluster_id() is None
        whole._connection.execute(
            "INSERT INTO blob (blob_id, kind, size, created_ms, doomed_ms, live) VALUES (1, 0, -1, 1, -1, 1), (2, 0, -1, 1, -1, 0)"
        )
        with pytest.raises(MigrationError, match="0000000000000001 was never sealed"):
            await wanted_blobs(whole)
        await whole.close()

    run(main())


def test_notes() -> None:
    async def main() -> None:
        store = MemoryBlobs()
        assert await read_note(store, "there") is None
        await put_note(store, {"cluster_id": "x", "metadata": "m"})
        assert list(await store.sizes()) == [NOTE_ID]
        assert await read_note(store, "there") == {"cluster_id": "x", "metadata": "m"}

    run(main())
    for bad in (b"", b"[]", b"{}", b"\xff", b'{"moldau_migration": 2}'):
        with pytest.raises(MigrationError, match="blob 5 is no note"):
            unpack(bad, "blob 5")
    assert unpack(pack({"a": "b"}), "") == {"a": "b"}


def test_wrong_bases() -> None:
    batches = bytearray()
    for base in (5, 6, 9):
        batch = build_batch([Record(0, 1, None, b"x")])
        set_base_offset(batch, 0, base, 0)
        batches += batch
    assert list(wrong_bases(bytes(batches), 5)) == [(2 * len(batches) // 3, (7).to_bytes(8, "big"))]


def test_limits_of_time_are_long_unless_given() -> None:
    assert patient("s3://b/p") == "s3://b/p?timeout_ms=60000&deadline_ms=3600000"
    assert patient("s3://b/p?deadline_ms=5") == "s3://b/p?deadline_ms=5&timeout_ms=60000"
    assert patient("s3://b?deadline_ms=5&timeout_ms=7") == "s3://b?deadline_ms=5&timeout_ms=7"
