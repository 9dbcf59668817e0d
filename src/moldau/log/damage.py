"""What readers say of bytes that are not what metadata names."""

from __future__ import annotations

from struct import Struct

from moldau.metadata.rows import KIND_SEGMENT, Extent
from moldau.records.batch import HEADER_BYTES

head_of = Struct(">qiibIhi").unpack_from
"""Of a batch: base offset, length, leader epoch, magic, checksum, attributes, last offset delta."""


class DamagedLog(Exception):
    """Bytes that metadata names are not what they should be. Kafka: KAFKA_STORAGE_ERROR (never served, rule 4)."""


def where(extent: Extent) -> str:
    """For messages."""
    return f"the extent at {extent.base_offset} of partition {extent.partition_id}, blob {extent.blob_id:016x}"


def shift_of(data: bytes | bytearray | memoryview, base: int, extent: Extent, guesses: bool) -> int:
    """How far the stored base offsets of an extent's batches may lie from the true ones: 0, or as far as that of the first one in `data`,
    which begins at `base`, where they were guessed.
    """
    if not guesses or extent.kind == KIND_SEGMENT or len(data) < HEADER_BYTES:
        return 0
    stored: int = head_of(data, 0)[0]
    return stored - base
