"""Small neighbours become one row with their bytes: what is read stays the same, before and after, from memory and from the rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aio import run
from support.journaled import Embedded, embedded

from moldau import faults
from moldau.log import journal
from moldau.log.view import PartitionView
from moldau.metadata import gathering
from moldau.metadata.errors import StoreError
from moldau.metadata.rows import KIND_INLINE, KIND_WAL, Extent
from moldau.records.batch import BatchHeader, iter_headers


@pytest.fixture(autouse=True)
def disarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(journal, "APPLY_SECONDS", 60.0)  # rows are made when they are asked for
    yield
    faults.arm("")


async def write(log: Embedded, view: PartitionView, sizes: list[int]) -> None:
    """One flush for each, of a producer's batch of one record."""
    for size in sizes:
        done = await log.submit(view, view.next_offset, size=size, transactional=False)
        assert done.error_code == 0


async def offsets_of(log: Embedded, view: PartitionView) -> list[int]:
    """Base offsets of all batches, from the stores."""
    log.cache.forget(view)
    view.dropped = False
    found: list[int] = []
    offset = view.log_start_offset
    while offset < view.high_watermark:
        buffers, _ = await log.reader.read(view, offset, 1 << 20, True)
        for buffer in buffers:
            found += [header.base_offset for _, header in iter_headers(memoryview(buffer))]
        offset = found[-1] + 1
    return found


def kinds(extents: list[Extent]) -> list[tuple[int, int, int]]:
    return [(each.base_offset, each.last_offset, each.kind) for each in extents]


def test_small_neighbours_are_one_row_and_a_view_takes_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            await write(log, view, [50] * 6 + [5000] + [50] * 3 + [5000] + [50] * 4)
            assert [each.base_offset for each in view.extents] == list(range(15)), "not yet"
            await log.journal.drained()
            rows = await log.it.extents(p)
            assert kinds(rows) == [
                (0, 5, KIND_INLINE),
                *((n, n, KIND_WAL) for n in range(6, 11)),
                (11, 14, KIND_INLINE),
            ]
            assert kinds(view.extents) == kinds(rows)
            assert view.last_offsets == [each.last_offset for each in rows]
            assert await offsets_of(log, view) == list(range(15))
            fresh = await log.fresh(p)
            assert fresh.bytes_total == view.bytes_total == sum(each.length for each in rows)
            assert [each.base_offset for each in fresh.producers.by_id[5].batches] == list(range(10, 15))
            assert await offsets_of(log, fresh) == list(range(15))
            data = await log.it.log.read_inline(rows[0].blob_id)
            assert data is not None
            assert (BatchHeader(data).base_offset, len(data)) == (0, rows[0].length)

    run(main())


def test_a_row_is_of_so_many_at_most(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            await write(log, view, [50] * (2 * gathering.MANY + 3))
            await log.journal.drained()
            rows = await log.it.extents(p)
            assert [each.records for each in rows if each.kind == KIND_INLINE][:2] == [gathering.MANY] * 2
            assert await offsets_of(log, view) == list(range(2 * gathering.MANY + 3))

    run(main())


def test_rows_that_were_gathered_and_not_told_are_found_by_readers(tmp_path: Path) -> None:
    """The reply of an apply is lost: the view names the write-ahead blob, the rows do not."""

    async def main() -> None:
        async with embedded(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            faults.arm("metadata.sqlite.committed=fail")
            await write(log, view, [50] * 5)
            with pytest.raises(StoreError):
                await log.journal.drained()
            faults.arm("")
            await log.journal.drained()
            assert kinds(await log.it.extents(p)) == [(0, 4, KIND_INLINE)]
            assert [each.kind for each in view.extents] == [KIND_WAL] * 5
            assert await offsets_of(log, view) == list(range(5))
            await log.blobs.delete(view.extents[0].blob_id)  # nothing names it any more
            assert await offsets_of(log, view) == list(range(5))

    run(main())


@pytest.mark.parametrize("applied", [False, True])
def test_a_death_before_and_after_the_rows_are_there(tmp_path: Path, applied: bool) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as log:
            (p,) = await log.it.topic()
            await write(log, await log.view(p), [50] * 7)
            if applied:
                await log.journal.drained()
        async with embedded(tmp_path) as log:
            view = await log.view(p)
            assert view.high_watermark == 7
            assert await offsets_of(log, view) == list(range(7))
            await write(log, view, [50] * 7)
            await log.journal.drained()
            assert await offsets_of(log, view) == list(range(14))

    run(main())


def test_a_view_with_a_short_tail_takes_it_whole(tmp_path: Path) -> None:
    """A view keeps a bounded number of extents: where its tail begins within what was gathered it begins before that afterwards."""

    async def main() -> None:
        async with embedded(tmp_path) as log:
            (p,) = await log.it.topic()
            view = await log.view(p)
            await write(log, view, [50] * 10)
            del view.extents[:5], view.last_offsets[:5]
            view.tail_start = 5
            await log.journal.drained()
            assert (view.tail_start, kinds(view.extents)) == (0, [(0, 9, KIND_INLINE)])
            assert await offsets_of(log, view) == list(range(10))

    run(main())


def test_of_partitions_that_are_written_together_each_has_its_own(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as log:
            ids = await log.it.topic(partitions=5)
            views = [await log.view(p) for p in ids]
            await asyncio.gather(*[write(log, view, [50 + n] * (4 + n)) for n, view in enumerate(views)])
            await log.journal.drained()
            blob_ids = set()
            for n, view in enumerate(views):
                (row,) = await log.it.extents(view.partition_id)
                assert (row.kind, row.records, row.position) == (KIND_INLINE, 4 + n, 0)
                blob_ids.add(row.blob_id)
                assert await offsets_of(log, view) == list(range(4 + n))
            assert len(blob_ids) == 5

    run(main())
