"""What a write-ahead blob holds: sections, one for each flush, so that the file explains itself without the metadata.

0   4 bytes   b"MLS2"
4   uint32    bytes of the whole section, this header included
8   uint32    number of partitions
12  int64     when it was made, ms since the epoch
20  int64     up to where this blob was known to be synced by then: what lies before it cannot be torn, only damaged
28  int64     the blob that it was written to; 0 in an object, which is put whole
36  uint32    CRC-32C of the batches' CRC fields, one after the other
40  uint32    CRC-32C of the header's other fields and the table
44  for each partition: int32 partition id | int64 base offset (the guess) | uint32 length
... the partitions' batches, in the order of the table, each batch with its own CRC

Or notes (`moldau.metadata.notes`), which are no partition's: then the table is int32 -1 | int64 CRC-32C of the notes | uint32 length, and of batches' CRCs there are none.

A file is written over when its blob is gone (`moldau.blobs.spares`), so behind the end of a blob that grows there may be sections of another, and behind a header whose
section was not written to its end whole batches of another: the blob's id and the sum of the CRCs tell them apart.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from struct import Struct

from moldau.blobs.ports import Buffer
from moldau.records.batch import CRC_AT
from moldau.records.crc import crc32c

MAGIC = b"MLS2"
MAGIC_BEFORE = b"MLS1"
"""Without blob and sum; no release wrote it."""
NO_BLOB = 0
"""Instead of a blob's id in an object."""
_HEAD = Struct(">4sIIqqqII")
_ROW = Struct(">iqI")
HEAD_BYTES = _HEAD.size
ROW_BYTES = _ROW.size


_CRC_AT = 40


HEADER_MAX = HEAD_BYTES + 200 * ROW_BYTES
"""A flush has 200 partitions at most."""


NOTES = -1
"""Instead of a partition id in the table."""


class BadSection(Exception):
    """The bytes are no whole section."""


class Truncated(BadSection):
    """They end before the header does."""


def header_bytes(partitions: int) -> int:
    """Bytes before the first batch."""
    return HEAD_BYTES + partitions * ROW_BYTES


class Section:
    """A header and its table: (partition id, base offset, length) rows, or the one of notes."""

    __slots__ = ("batches_sum", "now", "size", "synced_to", "table")

    def __init__(
        self, size: int, now: int, synced_to: int, batches_sum: int, table: list[tuple[int, int, int]]
    ) -> None:
        self.size = size
        self.now = now
        self.synced_to = synced_to
        self.batches_sum = batches_sum
        self.table = table


def sum_of(batches: Iterable[Buffer]) -> int:
    """CRC-32C of the CRC fields of single batches: of all that they hold, without reading it again."""
    return crc32c(b"".join([batch[CRC_AT : CRC_AT + 4] for batch in batches]))


def headers_in(data: bytes | memoryview, blob_id: int, start: int = 0) -> Iterator[Section]:
    """Sections of the blob whose whole headers are somewhere in `data`, at `start` or behind: of bytes that are not as they should be."""
    wanted = re.escape(blob_id.to_bytes(8, signed=True))
    # of other blobs' sections there may be a million
    for found in re.compile(MAGIC + b"(?=.{24}" + wanted + b")", re.DOTALL).finditer(data, start):
        with contextlib.suppress(BadSection):
            yield unpack_header(data, blob_id, found.start())


def pack_header(blob_id: int, now: int, synced_to: int, batches_sum: int, table: list[tuple[int, int, int]]) -> bytes:
    """Header and table for (partition id, base offset, length) rows."""
    rows = b"".join([_ROW.pack(*row) for row in table])
    total = HEAD_BYTES + len(rows) + sum([row[2] for row in table])
    head = _HEAD.pack(MAGIC, total, len(table), now, synced_to, blob_id, batches_sum, 0)[:_CRC_AT]
    return b"".join((head, crc32c(head + rows).to_bytes(4), rows))


def pack_notes_header(blob_id: int, now: int, synced_to: int, notes: bytes) -> bytes:
    """Header and table of a section of notes."""
    return pack_header(blob_id, now, synced_to, 0, [(NOTES, crc32c(notes), len(notes))])


def notes_of(section: Section, data: bytes | memoryview) -> bytes | None:
    """The notes of a whole section whose bytes are `data`; None: it is one of batches. Raises BadSection."""
    if not section.table or section.table[0][0] != NOTES:
        return None
    notes = bytes(data[header_bytes(1) :])
    if len(section.table) != 1 or len(notes) != section.table[0][2] or crc32c(notes) != section.table[0][1]:
        raise BadSection(f"checksum of {len(notes)} bytes of notes is wrong")
    return notes


def count_at(buffer: bytes | memoryview, position: int) -> int:
    """Number of partitions in the header that begins there, which has its first bytes."""
    count: int = _HEAD.unpack_from(buffer, position)[2]
    return count


def unpack_header(buffer: bytes | memoryview, blob_id: int, position: int = 0) -> Section:
    """The section of that blob that begins there. Raises BadSection; `Truncated` when more bytes might help."""
    if len(buffer) - position < HEAD_BYTES:
        raise Truncated(f"{len(buffer) - position} bytes at {position}, a header has {HEAD_BYTES}")
    magic, total, count, now, synced_to, written_to, batches_sum, crc = _HEAD.unpack_from(buffer, position)
    if magic != MAGIC:
        raise BadSection(f"{magic!r} at {position}, expected {MAGIC!r}")
    if written_to != blob_id:
        raise BadSection(f"the section at {position} is one of blob {written_to:016x}")
    end = position + header_bytes(count)
    if header_bytes(count) > total:
        raise BadSection(f"a table of {count} partitions at {position} does not fit in {total} bytes")
    if end > len(buffer):
        raise Truncated(f"a table of {count} partitions at {position} ends at {end}")
    rows = bytes(buffer[position + HEAD_BYTES : end])
    if crc32c(bytes(buffer[position : position + _CRC_AT]) + rows) != crc:
        raise BadSection(f"checksum of the section header at {position} is wrong")
    return Section(total, now, synced_to, batches_sum, list(_ROW.iter_unpack(rows)))
