"""Copies of blobs, several at a time: whole, under the same ids, so that the rows that name ranges of them stay as they are.

A blob that is there in full size is not copied again: stores put blobs whole or not at all, and no blob ever changes. What a file is put from is
mapped, not read into memory; what is fetched comes in pieces.

Sketch: a put of 8 MiB to S3 takes 0.1 to 0.3 s, eight at a time are 250 to 600 MB/s, more than most lines; memory is 8 pieces of 8 MiB, and what the
library holds of large uploads (2 at a time, 4 parts of 8 MiB each). Mapped pages count as resident (measured: 0.5 GB for journals of 256 MiB), but are the
page cache's and go when room is needed.
"""

from __future__ import annotations

import asyncio
import mmap
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from moldau import faults
from moldau.blobs.ports import BlobStore, Buffer
from moldau.metadata.sql.tables import BLOB

from ..checksum import Progress
from .errors import MigrationError
from .sums import Reads

AT_ONCE = 8
LARGE_BYTES = 16 << 20
LARGE_AT_ONCE = 2
_PIECE_BYTES = 8 << 20


class Wanted(NamedTuple):
    """A blob that rows name, and how long it is."""

    blob_id: int
    size: int


class Copied(NamedTuple):
    """What had to be done."""

    blobs: int
    bytes: int


Carry = Callable[[Wanted, Progress], Awaitable[None]]


async def wanted_blobs(store: Reads) -> dict[int, int]:
    """Sizes of all blobs that rows name. Raises MigrationError."""
    wanted: dict[int, int] = {}
    async for rows in store.read(BLOB):
        for blob_id, _, size, _, _, _ in rows:
            if size < 0:
                raise MigrationError(
                    f"blob {blob_id:016x} was never sealed: whoever wrote it may still do so. Start a broker on this store, stop it, and migrate again."
                )
            wanted[blob_id] = size
    return wanted


async def copy_blobs(wanted: dict[int, int], there: dict[int, int], carry: Carry, progress: Progress) -> Copied:
    """Carry those that are not there in full size. Raises what `carry` raises."""
    missing = [Wanted(*each) for each in wanted.items() if there.get(each[0]) != each[1]]
    total = sum(blob.size for blob in missing)
    progress(sum(wanted.values()) - total)
    left = iter(missing)
    large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def work() -> None:
        for blob in left:
            faults.hit("server.migrate.blob")
            if blob.size > LARGE_BYTES:
                async with large:
                    await carry(blob, progress)
            else:
                await carry(blob, progress)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(missing))):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return Copied(len(missing), total)


def putting(folder: Path, target: BlobStore) -> Carry:
    """From a folder of files into a store."""

    async def carry(blob: Wanted, progress: Progress) -> None:
        data = await asyncio.to_thread(_map, folder / f"{blob.blob_id:016x}.blob", blob.size)
        await target.put(blob.blob_id, [data])
        progress(blob.size)

    return carry


def _map(file: Path, size: int) -> Buffer:
    """The first `size` bytes of a file. Raises MigrationError, OSError."""
    try:
        with open(file, "rb") as reader:
            there = os.fstat(reader.fileno()).st_size
            if there < size:
                raise MigrationError(
                    f"{file} has {there} bytes, rows name {size}: record bytes are missing. Look at the directory with 'moldau inspect'."
                )
            return memoryview(mmap.mmap(reader.fileno(), size, access=mmap.ACCESS_READ)) if size else b""
    except FileNotFoundError:
        raise MigrationError(f"{file} is missing. Look at the directory with 'moldau inspect'.") from None


def fetching(source: BlobStore, folder: Path) -> Carry:
    """From a store into files of a folder."""

    async def carry(blob: Wanted, progress: Progress) -> None:
        final = folder / f"{blob.blob_id:016x}.blob"
        temporary = final.with_suffix(".tmp")
        fd = await asyncio.to_thread(os.open, temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            at = 0
            while at < blob.size:
                data = memoryview(await source.read(blob.blob_id, at, min(_PIECE_BYTES, blob.size - at)))
                await asyncio.to_thread(_write, fd, data)
                at += len(data)
                progress(len(data))
            await asyncio.to_thread(os.fsync, fd)
        finally:
            os.close(fd)
        faults.hit("server.migrate.fetched")
        os.replace(temporary, final)

    return carry


def _write(fd: int, data: memoryview) -> None:
    faults.hit("server.migrate.fetch")
    while data:
        data = data[os.write(fd, data) :]


def refuse_missing(wanted: dict[int, int], there: dict[int, int], where: str) -> None:
    """Raises MigrationError unless every blob is there in full size."""
    wrong = [blob_id for blob_id, size in wanted.items() if there.get(blob_id) != size]
    if wrong:
        found = there.get(wrong[0])
        raise MigrationError(
            f"{len(wrong)} blobs are not in {where} as they should be: blob {wrong[0]:016x} has {'no' if found is None else found} bytes,"
            f" {wanted[wrong[0]]} were expected. Is somebody else writing there? Run the same command again."
        )
