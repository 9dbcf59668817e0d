"""True offsets for batches that carry guessed ones.

Brokers that share their stores put bytes away before the commit decides where they go, so the base offsets inside may be guesses, which every
reader of a cluster puts right. An embedded broker's journal has final ones, and its reader takes a wrong one for damage. So what comes back from a
cluster is put right once. It may be done any number of times, and a death half-way is no harm: each batch is looked at.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from moldau import faults
from moldau.metadata.rows import KIND_WAL
from moldau.metadata.sql.tables import EXTENT, Row
from moldau.records.batch import iter_headers
from moldau.records.errors import InvalidBatch

from .errors import MigrationError

_OPEN_MAX = 64
_BASE = Struct(">q")
_COLUMNS = [EXTENT.columns.index(name) for name in ("kind", "blob_id", "base_offset", "position", "length")]


def wrong_bases(data: bytes | memoryview, base: int) -> Iterator[tuple[int, bytes]]:
    """(position, its true base offset packed) of each batch that says another one. Raises InvalidBatch."""
    for at, header in iter_headers(data):
        if header.base_offset != base:
            yield at, _BASE.pack(base)
        base += header.last_offset_delta + 1


class TrueOffsets:
    """Puts offsets into the files of a folder. Blocks: for a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[int, tuple[int, list[bool]]] = OrderedDict()
        self.changed = 0
        """Batches."""

    def put_in(self, rows: list[Row]) -> None:
        """For these rows of extents. Raises OSError, MigrationError."""
        for row in rows:
            kind, blob_id, base, position, length = (row[at] for at in _COLUMNS)
            if kind == KIND_WAL:
                fd, dirty = self._file(blob_id)
                try:
                    for at, packed in wrong_bases(os.pread(fd, length, position), base):
                        faults.hit("server.migrate.offset")
                        os.pwrite(fd, packed, position + at)
                        dirty[0] = True
                        self.changed += 1
                except InvalidBatch as error:
                    raise MigrationError(
                        f"blob {blob_id:016x} is damaged at {position}: {error}. Nothing was migrated."
                    ) from error

    def _file(self, blob_id: int) -> tuple[int, list[bool]]:
        if blob_id not in self._open:
            self._open[blob_id] = os.open(self._folder / f"{blob_id:016x}.blob", os.O_RDWR | os.O_CLOEXEC), [False]
            if len(self._open) > _OPEN_MAX:
                self._close(*self._open.popitem(last=False)[1])
        self._open.move_to_end(blob_id)
        return self._open[blob_id]

    def close(self) -> None:
        """Sync what was changed. Raises OSError."""
        while self._open:
            self._close(*self._open.popitem()[1])

    def _close(self, fd: int, dirty: list[bool]) -> None:
        try:
            if dirty[0]:
                faults.hit("server.migrate.sync")
                os.fsync(fd)
        finally:
            os.close(fd)
