"""The check of a data directory knows transactions: rows and snapshots that contradict the batches are found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.aio import Opener, run
from support.logs import Log
from support.stores import memory_opener

from moldau.log import fold, snapshot
from moldau.log.inspection import Inspection
from moldau.log.transactions import AbortedRange
from moldau.metadata.fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL
from moldau.metadata.rows import Extent


async def written(log: Log, p: int) -> None:
    """Offsets 0 to 6: an aborted transaction beside one that is open, a committed one, a plain batch."""
    await log.append(p, [b"a"], producer=(1, 0, 0), transactional=True)
    await log.append(p, [b"b"], producer=(2, 0, 0), transactional=True)
    await log.mark(p, 2, 1, False)
    await log.append(p, [b"c"], producer=(3, 0, 0), transactional=True)
    await log.mark(p, 3, 0, True)
    await log.append(p, [b"d"], producer=(3, 0, 1))
    await log.append(p, [b"e"])
    await log.snapshots.take(p)
    await log.append(p, [b"f"])


async def problems(log: Log, p: int, inspection: Inspection | None = None) -> list[str]:
    inspection = inspection or Inspection(log.it.log, log.it.maintenance, log.blobs)
    return [each async for each in inspection.partition(await log.it.row(p), deep=True)]


def test_a_whole_log_is_whole(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log = Log(it)
            (p,) = await it.topic()
            await written(log, p)
            inspection = Inspection(it.log, it.maintenance, log.blobs)
            assert await problems(log, p, inspection) == []
            assert (inspection.transactions, inspection.aborted) == (1, 1)

    run(main())


def entry(**changes: int) -> Callable[[Extent], None]:
    """Change fields of the only entry of a fold."""
    names = ("producer_id", "epoch", "first", "last", "begin", "end", "timestamp", "flags")

    def change(extent: Extent) -> None:
        values = dict(zip(names, fold.unpack(extent.fold)[0], strict=True))
        extent.fold = fold.pack_entry(*{**values, **changes}.values())

    return change


@pytest.mark.parametrize(
    ("at", "change", "said"),
    [
        (2, entry(flags=FLAG_TRANSACTIONAL | FLAG_MARKER | FLAG_COMMIT), "is not what its row says of producer 2"),
        (2, entry(flags=FLAG_TRANSACTIONAL), "is not what its row says of producer 2"),
        (2, entry(flags=FLAG_TRANSACTIONAL | FLAG_MARKER | FLAG_COMMIT), "aborted at 2"),
        (4, entry(flags=FLAG_TRANSACTIONAL), "the transaction of producer 3 is open since -1, the extents say 3"),
        (1, entry(flags=0), "aborted at 2"),
        (0, entry(flags=0), "the transaction of producer 1 is open since 0, the extents say -1"),
        (0, entry(flags=0), "is not what its row says of producer 1"),
        (0, entry(producer_id=9), "is not what its row says of producer 9"),
        (0, entry(flags=8), "its fold has flags 8, which mean nothing"),
        (0, entry(flags=FLAG_COMMIT), "its fold has flags 4, which mean nothing"),
        (0, entry(end=1), "its fold says that a batch spans 0..1 in it"),
    ],
)
def test_rows_that_contradict_the_batches(at: int, change: Callable[[Extent], None], said: str) -> None:
    async def main() -> None:
        async with memory_opener()() as it:
            log = Log(it)
            (p,) = await it.topic()
            await written(log, p)
            change((await it.extents(p))[at])
            assert any(said in each for each in await problems(log, p)), await problems(log, p)

    run(main())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.open.clear(), "the transaction of producer 1 is open since -1, the extents say 0"),
        (lambda it: it.open.update({3: 3}), "the transaction of producer 3 is open since 3, the extents say -1"),
        (lambda it: it.aborted.clear(), "what producer 2 aborted at 2 is None"),
        (lambda it: it.aborted.__setitem__(0, AbortedRange(2, 1, 2, 3)), "what producer 2 aborted at 2 is"),
        (lambda it: it.aborted.append(AbortedRange(3, 3, 4, 0)), "what producer 3 aborted at 4 is"),
        (lambda it: it.aborted.insert(0, AbortedRange(3, 3, 4, 0)), "aborted ranges are out of order"),
    ],
)
def test_snapshots_that_contradict_the_rows(change: Callable[[object], None], said: str) -> None:
    async def main() -> None:
        async with memory_opener()() as it:
            log = Log(it)
            (p,) = await it.topic()
            await written(log, p)
            state = await it.log.load_partition(p)
            assert state is not None
            states = snapshot.unpack(state.snapshot)
            change(states.transactions)
            await it.maintenance.write_snapshot(p, state.snapshot_offset, snapshot.pack(states))
            assert any(said in each for each in await problems(log, p)), await problems(log, p)

    run(main())
