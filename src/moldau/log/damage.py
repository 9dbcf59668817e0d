"""What readers say of bytes that are not what metadata names."""

from __future__ import annotations

from struct import Struct

from moldau.metadata.rows import Extent

head_of = Struct(">qiibIhi").unpack_from
"""Of a batch: base offset, length, leader epoch, magic, checksum, attributes, last offset delta."""


class DamagedLog(Exception):
    """Bytes that metadata names are not what they should be. Kafka: KAFKA_STORAGE_ERROR (never served, rule 4)."""


def where(extent: Extent) -> str:
    """For messages."""
    return f"the extent at {extent.base_offset} of partition {extent.partition_id}, blob {extent.blob_id:016x}"
