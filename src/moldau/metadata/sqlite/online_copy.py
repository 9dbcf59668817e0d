"""A consistent copy of a metadata file that another process may be writing: one read transaction, page by page.

In WAL mode a reader stands in nobody's way; commits go on, and the log cannot begin anew until the copy is made.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from moldau import faults

from .connection import connect, migrate, recognise, store_error

_PAGES = 1024


class NamedBlob(NamedTuple):
    """A blob that the rows know. `size` is -1 while it grows; then the rows were made of its first `applied_to` bytes, at least."""

    blob_id: int
    size: int
    applied_to: int


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None], *, served: bool) -> None:
    """Copy the database as of now, in this release's schema; `progress` is told (bytes copied, all bytes).

    Not `served`: nobody can write it meanwhile. Raises StoreError.
    """
    try:
        wal = Path(f"{source}-wal")
        at_rest = not served and not (wal.exists() and wal.stat().st_size)  # then nothing needs to be made beside it
        mode = "immutable=1" if at_rest else "mode=ro"
        with contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?{mode}", uri=True)) as origin:
            origin.execute("PRAGMA busy_timeout=10000")
            recognise(origin, source)
            page_bytes = int(origin.execute("PRAGMA page_size").fetchone()[0])

            def told(_: int, remaining: int, total: int) -> None:
                progress((total - remaining) * page_bytes, total * page_bytes)

            with contextlib.closing(sqlite3.connect(target)) as copy:
                copy.execute("PRAGMA synchronous=OFF")
                copy.execute("PRAGMA journal_mode=OFF")
                origin.isolation_level = None
                origin.execute("BEGIN")  # else each step would see the rows of its own time, and begin again
                origin.execute("SELECT count(*) FROM sqlite_master").fetchone()
                faults.hit("metadata.sqlite.copy")
                origin.backup(copy, pages=_PAGES, progress=told, sleep=0)
                origin.execute("ROLLBACK")
        with contextlib.closing(connect(target)) as copy:
            migrate(copy)
    except (sqlite3.Error, OSError) as error:
        raise store_error(error, f"cannot copy the metadata file {source}") from error


def named_blobs(database: Path) -> list[NamedBlob]:
    """Every blob that is not on its way out, in the order in which they were begun. Raises StoreError."""
    try:
        with contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT b.blob_id, b.size, coalesce(j.applied_to, 0) FROM blob b LEFT JOIN journal j ON j.blob_id = b.blob_id"
                " WHERE b.doomed_ms < 0 ORDER BY b.blob_id"
            ).fetchall()
    except sqlite3.Error as error:
        raise store_error(error, f"cannot read the metadata file {database}") from error
    return [NamedBlob(*row) for row in rows]
