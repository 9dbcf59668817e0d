"""Files of deleted write-ahead blobs are written over: what is kept, what is not, and that nobody ever reads old bytes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from appendable_blobs import append
from blob_store import assert_missing, read_all
from support.aio import run

from moldau import faults
from moldau.blobs import files, spares
from moldau.blobs.appendable import CLEAR_BYTES, GROW_BYTES
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobError

OLD = b"old!" * 5000
LIMIT = 100_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(spares, "LEAST_BYTES", 10_000)
    monkeypatch.setattr(spares, "ROOM", 0)
    yield
    faults.arm("")


async def deleted(it: LocalBlobs, blob_id: int, data: bytes = OLD) -> None:
    """A write-ahead blob that was written, sealed and deleted."""
    await it.create(blob_id)
    await append(it, blob_id, data)
    await it.seal(blob_id)
    await it.delete(blob_id)


def kept(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.spare"))


def name(blob_id: int) -> str:
    return f"{blob_id:016x}.spare"


def test_the_next_write_ahead_blob_takes_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 1)
        assert kept(tmp_path) == [name(1)]
        assert await it.sizes() == {}
        await assert_missing(it, 1, 0, 4)
        inode = (tmp_path / name(1)).stat().st_ino
        await it.create(2)
        assert (kept(tmp_path), it.path(2).stat().st_ino) == ([], inode)
        assert await it.sizes() == {2: 0}
        await assert_missing(it, 2, 0, 4)
        assert await append(it, 2, b"new") == 0
        assert it.append_now(2, [b"er"], True) == 3
        assert await read_all(it, 2, 0, 5) == b"newer"
        await assert_missing(it, 2, 0, 6)
        assert it.path(2).read_bytes() == b"newer" + bytes(4096 - 5) + OLD[4096:]
        await it.seal(2)
        assert it.path(2).read_bytes() == b"newer"
        await it.create(3)
        assert it.path(3).stat().st_size == 0, "there was one only"
        await it.close()

    run(main())


@pytest.mark.parametrize("length", [1, 4096 - CLEAR_BYTES, 4096 - CLEAR_BYTES + 1, 4095, 4096, 12_345])
def test_zeros_follow_what_is_written_over_old_bytes(tmp_path: Path, length: int) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 1)
        await it.create(2)
        await append(it, 2, b"n" * length)
        end = -(-(length + CLEAR_BYTES) // 4096) * 4096
        assert it.path(2).read_bytes() == b"n" * length + bytes(end - length) + OLD[end:]
        await append(it, 2, b"m" * (len(OLD) - 10 - length))
        assert it.path(2).read_bytes()[-14:] == b"mmmm" + bytes(10), "no further than the old file went"
        await append(it, 2, b"l" * 20)
        assert it.path(2).stat().st_size == len(OLD) + GROW_BYTES, "from there on it grows as every other"
        assert await read_all(it, 2, len(OLD) - 11, 21) == b"m" + b"l" * 20
        await it.close()

    run(main())


def test_what_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 1, b"small")
        await it.put(2, [OLD])
        await it.delete(2)
        assert kept(tmp_path) == [], "small, and not a write-ahead one"
        for blob_id in range(10, 20):
            await deleted(it, blob_id, bytes(30_000))
        assert kept(tmp_path) == []
        await it.close()

    monkeypatch.setattr(spares, "ROOM", 1 << 40)
    run(main())
    monkeypatch.setattr(spares, "ROOM", 0)

    async def limited() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        for blob_id in range(20, 26):
            await it.create(blob_id)
            await append(it, blob_id, bytes(30_000))
            await it.seal(blob_id)
        for blob_id in range(20, 26):
            await it.delete(blob_id)
        assert kept(tmp_path) == [name(20), name(21), name(22)]
        await it.close()

    run(limited())


def test_they_outlive_the_broker(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        for blob_id in (1, 2, 3):
            await it.create(blob_id)
            await append(it, blob_id, OLD)
        for blob_id in (1, 2, 3):
            await it.seal(blob_id)
            await it.delete(blob_id)
        await it.close()
        look = LocalBlobs(tmp_path)
        await deleted(look, 4)
        await look.close()
        assert kept(tmp_path) == [name(1), name(2), name(3)], "who was not told of a limit leaves them alone"
        it = LocalBlobs(tmp_path, spare_bytes=2 * len(OLD))
        assert kept(tmp_path) == [name(1), name(2)]
        await it.create(5)
        assert it.path(5).read_bytes() == OLD
        await it.close()
        assert it.path(5).read_bytes() == b""
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 7)
        await it.close()
        assert kept(tmp_path) == [name(7)]
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT, anew=True)
        assert kept(tmp_path) == [], "its blobs may have the same ids"
        await deleted(it, 8)
        await it.close()
        assert kept(tmp_path) == [name(8)]
        it = LocalBlobs(tmp_path, spare_bytes=0)
        assert kept(tmp_path) == []
        await deleted(it, 6)
        assert kept(tmp_path) == []
        await it.close()

    run(main())


def test_a_file_that_is_being_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()
    read_range = files.read_range

    def slow(*words: Any) -> bytes:
        reading.set()
        go_on.wait(10)
        return read_range(*words)

    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await it.create(1)
        await append(it, 1, OLD)
        await it.seal(1)
        monkeypatch.setattr(files, "read_range", slow)
        read = asyncio.create_task(it.read(1, 8000, 8))
        await asyncio.to_thread(reading.wait, 10)
        await it.delete(1)
        await it.create(2)
        await append(it, 2, b"new" * 9000)
        go_on.set()
        assert await read == b"old!old!"
        assert kept(tmp_path) == []
        monkeypatch.setattr(files, "read_range", read_range)
        await it.seal(2)
        assert await it.read(2, 0, 3) == b"new"
        await it.delete(2)
        assert kept(tmp_path) == [name(2)], "its read is over"
        await it.close()

    run(main())


def test_reads_at_once_never_see_the_next_blob(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await it.create(1)
        await append(it, 1, OLD)
        await it.seal(1)
        assert it.read_now(1, 0, 4) in (b"old!", None)
        await it.delete(1)
        await it.create(2)
        await append(it, 2, b"new!")
        with pytest.raises(BlobError):
            it.read_now(1, 0, 4)
        await it.close()

    run(main())


def test_a_copy_by_a_hard_link_is_not_written_over(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path / "blobs", spare_bytes=LIMIT)
        await deleted(it, 1)
        os.link(tmp_path / "blobs" / name(1), tmp_path / "copy")
        await it.create(2)
        await append(it, 2, b"new")
        assert (tmp_path / "copy").read_bytes() == OLD
        assert kept(tmp_path / "blobs") == []
        await it.close()

    run(main())


def test_a_spare_that_somebody_removed_is_not_missed(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 1)
        (tmp_path / name(1)).unlink()
        await it.create(2)
        assert await append(it, 2, b"new") == 0
        await it.close()

    run(main())


def test_another_blob_is_never_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await it.put(2, [b"mine"])
        await deleted(it, 1)
        with pytest.raises(BlobError):
            await it.create(2)
        assert await it.read(2, 0, 4) == b"mine"
        assert kept(tmp_path) == [name(1)]
        await it.close()

    run(main())


@pytest.mark.parametrize("point", ["blobs.local.write", "blobs.local.put"])
def test_where_the_disk_is_full_they_go(tmp_path: Path, point: str) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await it.create(9)
        await deleted(it, 1)
        assert kept(tmp_path) == [name(1)]
        faults.arm(f"{point}=full")
        with pytest.raises(BlobError, match=r"No space left|fault point"):
            await (it.put(3, [b"x"]) if point.endswith("put") else append(it, 9, b"x"))
        faults.arm("")
        assert kept(tmp_path) == []
        await it.close()

    run(main())


def test_a_put_is_tried_again_when_they_went(tmp_path: Path) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, spare_bytes=LIMIT)
        await deleted(it, 1)

        def passed(point: str) -> None:
            if point == "blobs.local.put":
                faults.arm("blobs.local.put=full" if kept(tmp_path) else "")

        faults.watch(passed)
        await it.put(2, [b"x"])
        faults.watch(None)
        assert (await it.sizes(), kept(tmp_path)) == ({2: 1}, [])
        await it.close()

    run(main())
