"""A journal in a file that was another blob's: sections and batches of that one are not taken for its own, however alike they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.aio import run
from test_journal import Log, copy, log_in, without_place

from moldau.log import sections
from moldau.metadata.errors import StoreCorrupt
from moldau.records.batch import set_base_offset
from moldau.records.builder import build_batch
from moldau.records.record import Record


def journal_of(log: Log) -> tuple[Path, int]:
    """The file that is being written, and up to where."""
    blob_id = log.wal.active()
    end = log.blobs._end(blob_id)
    assert end
    return log.blobs.path(blob_id), end


async def left_open(folder: Path, *copies: str) -> tuple[int, Path, int]:
    """A broker's directory, and copies beside it, that was killed after three flushes to a partition: which, the file, and up to where."""
    async with log_in(folder / "a") as log:
        (p,) = await log.it.topic()
        view = await log.view(p)
        for _ in range(3):
            await log.flush(view)
        file, end = journal_of(log)
        for name in copies:
            copy(folder / "a", folder / name)
    return p, file, end


def put_behind(folder: Path, name: str, end: int, data: bytes) -> None:
    with open(folder / "blobs" / name, "r+b") as file:
        file.seek(end)
        file.write(data)


async def offsets_after(folder: Path, partition_id: int) -> list[int]:
    async with log_in(folder) as log:
        return [
            offset
            for base, last, *_ in without_place(await log.extents(partition_id))
            for offset in range(base, last + 1)
        ]


def batch(offset: int, timestamp: int) -> bytes:
    made = build_batch([Record(0, timestamp, None, b"value")])
    set_base_offset(made, 0, offset, 0)
    return bytes(made)


def section(blob_id: int, partition_id: int, said: bytes, there: bytes) -> bytes:
    """One that was written with the batch `said`; `there` lies behind its header."""
    return sections.pack_header(blob_id, 1, 0, sections.sum_of([said]), [(partition_id, 3, len(said))]) + there


def test_sections_of_another_blob_do_not_follow(tmp_path: Path) -> None:
    """Not even those that would fit: the next offsets of the same partition."""

    async def main() -> None:
        p, file, end = await left_open(tmp_path, "b", "c")
        async with log_in(tmp_path / "b") as log:
            view = await log.view(p)
            for _ in range(2):
                await log.flush(view)
            other, other_end = journal_of(log)
            following = other.read_bytes()[:other_end]
        assert other.name != file.name
        put_behind(tmp_path / "c", file.name, end, following)
        assert await offsets_after(tmp_path / "c", p) == [0, 1, 2]
        assert (tmp_path / "c" / "blobs" / file.name).stat().st_size == end

    run(main())


def test_a_whole_batch_of_another_section_is_not_taken(tmp_path: Path) -> None:
    """The header reached the disk, the batch did not; what lies there has the same offset and length."""

    async def main() -> None:
        p, file, end = await left_open(tmp_path, "b", "c")
        blob_id = int(file.stem, 16)
        new, old = batch(3, 1000), batch(3, 2000)
        assert len(new) == len(old)
        put_behind(tmp_path / "b", file.name, end, section(blob_id, p, new, new))
        assert await offsets_after(tmp_path / "b", p) == [0, 1, 2, 3]
        put_behind(tmp_path / "c", file.name, end, section(blob_id, p, new, old))
        assert await offsets_after(tmp_path / "c", p) == [0, 1, 2]

    run(main())


def test_an_empty_journal_over_a_full_one(tmp_path: Path) -> None:
    """It was taken, and the broker died before anything was written."""

    async def main() -> None:
        async with log_in(tmp_path / "a") as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            for _ in range(3):
                await log.flush(view)
            full, end = journal_of(log)
            content = full.read_bytes()[:end]
            assert await log.extents(p)
        async with log_in(tmp_path / "a") as log:
            empty = log.blobs.path(log.wal.active())
            empty.write_bytes(content)
            copy(tmp_path / "a", tmp_path / "b")
        assert await offsets_after(tmp_path / "b", p) == [0, 1, 2]
        assert (tmp_path / "b" / "blobs" / empty.name).stat().st_size == 0

    run(main())


def test_what_an_early_build_left_open_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        p, file, end = await left_open(tmp_path, "b")
        put_behind(tmp_path / "b", file.name, end, b"MLS1" + bytes(100))
        with pytest.raises(StoreCorrupt, match=r"left open by a build from before the first release"):
            await offsets_after(tmp_path / "b", p)

    run(main())
