"""What a write-ahead blob holds: sections, one for each flush, so that the file explains itself without the metadata.

0   4 bytes   b"MLS1"
4   uint32    bytes of the whole section, this header included
8   uint32    number of partitions
12  uint32    CRC-32C of the header's other fields and the table
16  for each partition: int32 partition id | int64 base offset (the guess) | uint32 length
... the partitions' batches, in the order of the table, each batch with its own CRC
"""

from __future__ import annotations

from struct import Struct

from moldau.records.crc import crc32c

MAGIC = b"MLS1"
_HEAD = Struct(">4sIII")
_ROW = Struct(">iqI")
HEAD_BYTES = _HEAD.size
ROW_BYTES = _ROW.size


class BadSection(Exception):
    """The bytes are no whole section."""


def header_bytes(partitions: int) -> int:
    """Bytes before the first batch."""
    return HEAD_BYTES + partitions * ROW_BYTES


def pack_header(table: list[tuple[int, int, int]]) -> bytes:
    """Header and table for (partition id, base offset, length) rows."""
    rows = b"".join([_ROW.pack(*row) for row in table])
    total = HEAD_BYTES + len(rows) + sum(row[2] for row in table)
    head = _HEAD.pack(MAGIC, total, len(table), 0)
    return _HEAD.pack(MAGIC, total, len(table), crc32c(head[:12] + rows)) + rows


def unpack_header(buffer: bytes | memoryview, position: int = 0) -> tuple[int, list[tuple[int, int, int]]]:
    """(bytes of the section, its table). Raises BadSection."""
    if len(buffer) - position < HEAD_BYTES:
        raise BadSection(f"{len(buffer) - position} bytes at {position}, a header has {HEAD_BYTES}")
    magic, total, count, crc = _HEAD.unpack_from(buffer, position)
    if magic != MAGIC:
        raise BadSection(f"{magic!r} at {position}, expected {MAGIC!r}")
    end = position + header_bytes(count)
    if end > len(buffer) or header_bytes(count) > total:
        raise BadSection(f"a table of {count} partitions at {position} does not fit")
    rows = bytes(buffer[position + HEAD_BYTES : end])
    if crc32c(bytes(buffer[position : position + 12]) + rows) != crc:
        raise BadSection(f"checksum of the section header at {position} is wrong")
    return total, list(_ROW.iter_unpack(rows))
