"""Checksums of whole files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from moldau.records.crc import crc32c

Progress = Callable[[int], None]
"""Called with the bytes that were copied or read since the last call."""

_CHUNK_BYTES = 1 << 20


def untold(done: int) -> None:
    """A `Progress` for nobody."""


def checksum(file: Path, progress: Progress = untold) -> tuple[int, int]:
    """(size, CRC-32C). Raises OSError."""
    crc = size = 0
    with open(file, "rb", buffering=0) as reader:
        while data := reader.read(_CHUNK_BYTES):
            crc = crc32c(data, crc)
            size += len(data)
            progress(len(data))
    return size, crc
