"""Notes of a journal: their bytes, and the rows that many of them leave."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from support.aio import run
from support.journaled import embedded
from support.stores import Stores, memory_opener, topic_id
from support.transactions import offset, on

from moldau.metadata.notes import BadNote, GroupNote, Note, TxnNote, unpack
from moldau.metadata.rows_groups import GroupRecord, OffsetKey, OffsetRow
from moldau.metadata.rows_txn import ABORTED, COMMITTED, EMPTY, ONGOING, End, TxnChange, TxnRow

NOTES: list[Note] = [
    GroupNote([], [], []),
    GroupNote(
        [GroupRecord(3, "g\0ü\ud800", "k", b"\0\xff"), GroupRecord(-1, "", "", b""), GroupRecord(9, "h", "x", None)],
        [
            OffsetRow("g", b"\xaa" * 16, 5, 1 << 60, -1, "", 1 << 45, -1),
            OffsetRow("g", b"\xbb" * 16, (1 << 31) - 1, 0, (1 << 31) - 1, "ä\ud800" * 99, 0, 1 << 46),
            OffsetRow("", b"\0" * 16, 0, -1, 0, "m", 1, 2),
        ],
        [OffsetKey("ü", b"\xcc" * 16, 7)],
    ),
    TxnNote("gone", None),
    TxnNote("t", on("t"), True, [1, 5, (1 << 31) - 1], [offset(3)]),
    TxnNote("ü\0", TxnRow("ü\0", 1 << 60, 32767, 1 << 61, -1, COMMITTED, 1 << 50, (1 << 31) - 1, 1 << 45, 1 << 46, 2)),
    TxnNote("t", on("t", state=ABORTED), end=End(False, 1 << 60, 32767), now=1 << 45, ends=[]),
    TxnNote("t", on("t"), end=End(True, 5, 0), now=7, ends=[(1, 1 << 60, 3), (2, 0, -1)]),
]


def test_a_note_comes_back_as_it_was() -> None:
    data = b"".join([note.pack() for note in NOTES])
    found = list(unpack(data))
    assert [note for note, _ in found] == NOTES
    assert found[-1][1] == len(data)


def test_markers_lie_right_before_the_end_of_their_note() -> None:
    note = NOTES[-1]
    assert isinstance(note, TxnNote)
    markers = note.markers()
    data = note.pack()
    assert data == note.pack([markers.batch(base, epoch) for _, base, epoch in note.ends])
    assert data.endswith(markers.batch(1 << 60, 3) + markers.batch(0, -1))


@pytest.mark.parametrize("note", NOTES)
def test_a_note_that_is_cut_or_longer_is_none(note: Note) -> None:
    data = note.pack()
    for size in range(1, len(data)):
        with pytest.raises(BadNote):
            list(unpack(data[:size]))
    with pytest.raises(BadNote, match="there is no note 0"):
        list(unpack(data + b"\0\0\0\0\0"))


def test_bytes_that_are_no_notes() -> None:
    rng = random.Random(1)
    whole = b"".join([note.pack() for note in NOTES])
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            list(unpack(bytes(data)))
        except BadNote:
            continue


class Both:
    """The same done to a store in memory, and behind a journal."""

    def __init__(self, memory: Stores, txns: Any, groups: Any) -> None:
        self.sides = [(memory.txns, memory.groups), (txns, groups)]

    async def write(self, *what: Any) -> None:
        for _, groups in self.sides:
            await groups.write(*what)

    async def change(self, name: str, how: Any) -> None:
        for txns, _ in self.sides:
            await txns.change(name, how)

    async def seen(self) -> list[Any]:
        found = []
        for txns, groups in self.sides:
            rows = await txns.all("", 99)
            found.append(
                (
                    rows,
                    [await txns.load(row.transactional_id) for row in rows],
                    await groups.load_groups(),
                    [await groups.fetch_offsets_and_pending(group, None) for group in "gh"],
                )
            )
        return found


@pytest.mark.parametrize("seed", range(12))
def test_rows_of_many_notes_are_those_of_one_after_the_other(tmp_path: Path, seed: int) -> None:
    """Random histories of groups and transactions: whatever is applied together, the rows are what a store without a journal has."""

    async def main() -> None:
        rng = random.Random(seed)
        async with memory_opener()() as memory:
            for life in range(3):
                async with embedded(tmp_path) as log:
                    if life == 0:
                        for it in (memory, log.it):
                            await it.topic("alive", 3)
                            await it.topic("gone", 1)
                    ids = list(range(1, 4))
                    memory.clock.now = log.it.clock.now = 1_000_000 + life
                    both = Both(memory, log.txns, log.groups)
                    for _ in range(60):
                        await step(rng, both, ids)
                        if rng.random() < 0.1:
                            await log.journal.drained()
                        if rng.random() < 0.05:
                            one, other = await both.seen()
                            assert one == other
                    one, other = await both.seen()
                    assert one == other
                    if life == 1:
                        for it in (memory, log.it):
                            await it.topics.delete_topic(topic_id("gone"), 5)
                        log.views.drop(4)
                    for p in ids:
                        mine, theirs = await log.fresh(p), await memory.log.load_partition(p)
                        assert theirs is not None
                        assert mine.high_watermark == theirs.row.end_offset

    run(main())


async def step(rng: random.Random, both: Both, ids: list[int]) -> None:
    group, name = rng.choice("gh"), rng.choice(("t", "u", "v"))
    keys = [OffsetKey(group, topic_id(rng.choice(("alive", "alive", "gone"))), rng.randrange(3)) for _ in range(2)]
    rows = [OffsetRow(*key, rng.randrange(1000), -1, "m" * rng.randrange(2), 1000, -1) for key in keys]
    what = rng.randrange(10)
    if what < 3:
        await both.write([], rows, keys[:1] if rng.random() < 0.2 else [])
    elif what == 3:
        values = [rng.choice((None, b"x", b"y")) for _ in range(2)]
        await both.write([GroupRecord(1, group, rng.choice("ab"), value) for value in values], [], [])
    else:
        taken = rng.sample(ids, rng.randrange(3))
        end, forgets, number = rng.random() < 0.5, rng.random() < 0.1, rng.randrange(1000)
        commits = rng.random() < 0.7

        def decide(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange | None:
            if row is None or row.state != ONGOING:
                if forgets:
                    return TxnChange(None)
                if row is None and number % 2:
                    return TxnChange(on(name, state=EMPTY, seq=0))
                seq = 1 if row is None else row.seq + 1
                return TxnChange(on(name, seq=seq, updated_ms=number), taken, rows)
            if end:
                state = COMMITTED if commits else ABORTED
                return TxnChange(row._replace(state=state), taken, rows, end=End(commits, 5, 0))
            return TxnChange(row._replace(updated_ms=number), taken, rows) if number % 5 else None

        await both.change(name, decide)
    if rng.random() < 0.3:
        await asyncio.sleep(0)
