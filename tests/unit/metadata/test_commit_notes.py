"""Notes of a layout are what notes of their rows would be, in the journal and in what becomes of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.aio import run
from support.journaled import embedded

from moldau.metadata.commit_notes import CommitLayout, CommitNote
from moldau.metadata.errors import StoreError
from moldau.metadata.notes import GroupNote, unpack
from moldau.metadata.rows_groups import OffsetKey, OffsetRow

T, U = b"t" * 16, b"u" * 16


def row(partition: int, offset: int = 5, topic: bytes = T, group: str = "g", expires: int = -1) -> OffsetRow:
    return OffsetRow(group, topic, partition, offset, partition - 1, "", 7, expires)


def test_the_bytes_are_those_of_a_note_of_its_rows() -> None:
    for rows in ([row(0)], [row(each, 1 << 40) for each in range(30)], [row(0, group="ü\0", topic=bytes(16))]):
        layout = CommitLayout(rows)
        for offsets in ([0] * len(rows), [-1] * len(rows), [(1 << 63) - 1 - each for each in range(len(rows))]):
            note = CommitNote(layout, offsets, 1 << 41)
            expected = [
                each._replace(offset=offset, commit_timestamp=1 << 41)
                for each, offset in zip(rows, offsets, strict=True)
            ]
            assert note.offsets == expected
            assert note.pack() == GroupNote([], expected, []).pack()
            assert [found for found, _ in unpack(note.pack())] == [GroupNote([], expected, [])]


def test_an_offset_with_a_time_of_its_own_has_no_layout() -> None:
    with pytest.raises(ValueError, match="expire timestamp"):
        CommitLayout([row(0), row(1, expires=9)])


@pytest.mark.parametrize("seed", range(6))
def test_the_last_one_counts_whichever_way_it_came(seed: int, tmp_path: Path) -> None:
    """Two layouts that share partitions, single commits, deletions: what is stored is what came last, at once and after a replay of the journal."""

    async def main() -> None:
        dice = random.Random(seed)
        layouts = [[row(0), row(1), row(2)], [row(2), row(0, topic=U)], [row(1, group="h")]]
        known = [CommitLayout(rows) for rows in layouts]
        expected: dict[OffsetKey, OffsetRow] = {}

        waiting: list[asyncio.Future[None]] = []

        def told() -> Callable[[StoreError | None], None]:
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            return lambda error: future.set_result(None) if error is None else future.set_exception(error)

        async with embedded(tmp_path) as log:
            for step in range(150):
                rows = dice.choice(layouts)
                offsets = [dice.randrange(1 << 50) for _ in rows]
                made = [
                    each._replace(offset=offset, commit_timestamp=step)
                    for each, offset in zip(rows, offsets, strict=True)
                ]
                match dice.randrange(8):
                    case 0:
                        await log.groups.write([], [], [each.key for each in rows])
                        for each in rows:
                            expected.pop(each.key, None)
                        continue
                    case 1 | 2:
                        log.groups.write_offsets(made, told())
                    case 3:
                        await log.groups.write([], made, [])
                    case _:
                        log.groups.write_again(CommitNote(known[layouts.index(rows)], offsets, step), told())
                expected |= {each.key: each for each in made}
                if dice.random() < 0.05:
                    await asyncio.gather(*waiting)
                    assert await log.groups.fetch_offsets("g", None) == sorted(
                        each for each in expected.values() if each.group == "g"
                    )
            await asyncio.gather(*waiting)
        async with embedded(tmp_path) as log:
            for group in ("g", "h"):
                found = await log.groups.fetch_offsets(group, None)
                assert found == sorted(each for each in expected.values() if each.group == group)
                assert all(one.key < other.key for one, other in pairwise(found))

    run(main())
