"""Transactions of a broker that is alone: decided in memory, written through its journal, and rows that follow."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.aio import run
from support.journaled import Embedded, embedded
from support.transactions import abort, begin, commit, do, offset, on

from moldau import faults
from moldau.log import snapshot
from moldau.log import wal as wal_module
from moldau.log.flush import Append
from moldau.log.isolation import told
from moldau.log.marker_writer import batch_of
from moldau.log.transactions import AbortedRange
from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.rows_txn import ABORTED, COMMITTED, ONGOING, End, TxnGuard, TxnRow
from moldau.protocol import error_codes
from moldau.records.control import read_end_txn_marker

OVER = error_codes.INVALID_TXN_STATE


@pytest.fixture(autouse=True)
def disarm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(wal_module, "RETRY_SECONDS", 0.01)
    yield
    faults.arm("")


def alone(folder: Path, body: Callable[[Embedded, int], Awaitable[None]]) -> None:
    async def main() -> None:
        async with embedded(folder) as log:
            (p,) = await log.it.topic()
            await asyncio.wait_for(body(log, p), 20)

    run(main())


def ends(log: Embedded, transactional_id: str = "t", commits: bool = True, producer_id: int = 5) -> Any:
    return (commit if commits else abort)(Through(log), transactional_id, producer_id)  # type: ignore[arg-type]


def begins(log: Embedded, transactional_id: str, partition_ids: list[int], offsets: Any = None, **row: Any) -> Any:
    return begin(Through(log), transactional_id, partition_ids, offsets, **row)  # type: ignore[arg-type]


class Through:
    """What `support.transactions` asks of stores, through the journal."""

    def __init__(self, log: Embedded) -> None:
        self.txns = log.txns


def test_a_transaction_on_one_machine(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        guard = TxnGuard(p, "t", 1)
        view = await log.view(p)
        none = await log.submit(view, 0)
        assert (none.error_code, none.unguarded) == (OVER, True)
        closed = await log.submit(view, 0, guard)
        assert (closed.error_code, closed.unguarded) == (OVER, False)
        log.open.add(guard)
        await begins(log, "t", [p])
        await log.submit(view, 0, None, producer=(9, 0), transactional=False)
        large, small = log.submit(view, 0, guard, size=5000), log.submit(view, 1)
        await asyncio.sleep(0)  # decided
        log.open.clear()  # later batches need no guard
        woken: list[int] = []
        view.waiters.add(lambda each: woken.append(each.last_stable_offset))
        await asyncio.gather(large, small)
        assert (view.high_watermark, view.last_stable_offset, await log.read(view)) == (3, 1, [0])
        late = log.submit(view, 2, size=5000)
        ended = await ends(log, commits=False)
        assert late.done(), "what came before the end lies before the marker"
        assert [marker.base_offset for marker in ended.markers] == [4]
        assert (view.high_watermark, view.last_stable_offset, await log.read(view)) == (5, 5, [0, 1, 2, 3, 4])
        assert woken[-1] == 5
        found = log.reader.read_now(view, 0, 1 << 20, True)
        assert found is not None
        assert told(view, found[0]) == (found[0], [AbortedRange(5, 1, 4, 5)])
        marker = read_end_txn_marker(found[0][-1])
        assert marker is not None
        assert (marker.offset, marker.commit, marker.producer_id) == (4, False, 5)
        (extent,) = ended.markers
        data = await log.blobs.read(extent.blob_id, extent.position, extent.length)
        assert data == batch_of(extent)
        again = await log.submit(view, 3)
        assert (again.error_code, again.unguarded) == (OVER, True)
        assert (await log.submit(view, 3, transactional=False)).base_offset == 5
        fresh = await log.fresh(p)
        assert without_times(snapshot.pack(fresh.producers)) == without_times(snapshot.pack(view.producers))
        assert fresh.extents[-2] == extent

    alone(tmp_path, body)


def test_what_comes_while_an_end_is_written_lies_behind_it(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        view = await log.view(p)
        log.open.add(TxnGuard(p, "t", 1))
        await begins(log, "t", [p])
        await log.submit(view, 0, TxnGuard(p, "t", 1))
        faults.arm("blobs.local.sync=sleep:0.2")
        end = asyncio.ensure_future(ends(log))
        await asyncio.sleep(0.01)
        same = log.submit(view, 1)
        other = log.submit(view, 0, producer=(7, 0), transactional=False)
        await asyncio.sleep(0.01)
        refused = await same
        assert (refused.error_code, refused.unguarded) == (OVER, True)
        ended = await end
        assert [marker.base_offset for marker in ended.markers] == [1]
        assert ((await other).base_offset, view.last_stable_offset) == (2, 3)

    alone(tmp_path, body)


def test_ends_that_come_together_are_one_write(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        view = await log.view(p)
        for n in range(5):
            await begins(log, f"t{n}", [p], producer_id=n)
            log.open.add(TxnGuard(p, f"t{n}", 1))
            await log.submit(view, 0, TxnGuard(p, f"t{n}", 1), producer=(n, 0))
        before = log.notes.sections

        class Refused(Exception):
            pass

        def refuse(*_: Any) -> None:
            raise Refused

        works = [ends(log, f"t{n}", producer_id=n) for n in range(5)]
        answers = await asyncio.gather(*works, log.txns.change("t0", refuse), return_exceptions=True)
        assert isinstance(answers[-1], Refused)
        assert [each.markers[0].base_offset for each in answers[:-1]] == [5, 6, 7, 8, 9]
        assert log.notes.sections == before + 1
        assert (view.last_stable_offset, log.notes.idle) == (10, True)

    alone(tmp_path, body)


def test_who_asks_again_is_told_only_when_it_is_stored(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        await begins(log, "t", [p])
        await log.view(p)
        faults.arm("blobs.local.sync=sleep:0.2")
        seen: list[int] = []

        def look(row: TxnRow | None, *_: Any) -> None:
            assert row is not None
            seen.append(row.state)

        end = asyncio.ensure_future(ends(log))
        await asyncio.sleep(0)
        again = asyncio.ensure_future(log.txns.change("t", look))
        await asyncio.wait({end, again}, return_when=asyncio.FIRST_COMPLETED)
        assert end.done()
        await again
        assert seen == [COMMITTED]

    alone(tmp_path, body)


def test_a_refused_write_leaves_what_was(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        view = await log.view(p)
        log.open.add(TxnGuard(p, "t", 1))
        await begins(log, "t", [p], [offset(3)])
        await log.submit(view, 0, TxnGuard(p, "t", 1))
        faults.arm("blobs.local.write=fail")
        with pytest.raises(StoreUnavailable, match="the journal refused it"):
            await ends(log)
        with pytest.raises(StoreUnavailable, match="the journal refused it"):
            await log.groups.write([], [offset(9)], [])
        faults.arm("")
        assert view.dropped
        row = (await log.txns.load("t")).row  # type: ignore[union-attr]
        assert (row.state, await log.groups.fetch_offsets("g", None)) == (ONGOING, [])
        ended = await until_done(lambda: ends(log))
        assert [marker.base_offset for marker in ended.markers] == [1]
        assert (await log.view(p)).last_stable_offset == 2
        assert await log.groups.fetch_offsets("g", None) == [offset(3)]

    alone(tmp_path, body)


async def until_done(work: Callable[[], Any]) -> Any:
    """A blob takes the place of the one that failed, in its own time."""
    while True:
        try:
            return await work()
        except StoreUnavailable:
            await asyncio.sleep(0.01)


def test_a_metadata_store_that_takes_nothing_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moldau.log.journal.NOTES_MAX", 20)
    monkeypatch.setattr("moldau.log.journal._RETRY_SECONDS", 0.01)

    async def body(log: Embedded, p: int) -> None:
        faults.arm("metadata.sqlite.begin=fail")
        taken = 0
        with pytest.raises(StoreUnavailable, match="rows wait for the metadata store"):  # noqa: PT012  one of many
            while taken < 100:
                await log.groups.write([], [offset(taken)], [])
                taken += 1
        assert taken == 21
        with pytest.raises(StoreUnavailable):
            await log.groups.fetch_offsets("g", None)
        faults.arm("")
        await until_done(lambda: log.groups.write([], [offset(500)], []))
        assert await log.groups.fetch_offsets("g", None) == [offset(500)]

    alone(tmp_path, body)


def test_what_cannot_be_written_down_harms_nobody_else(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        await begins(log, "t", [p])
        await log.view(p)
        odd = offset(1)._replace(leader_epoch=1 << 40)
        works = [
            log.groups.write([], [odd], []),
            log.txns.change("t", do(on("t", state=COMMITTED), offsets=[odd], end=End(True, 5, 0))),
            log.groups.write([], [offset(2)], []),
        ]
        one, two, three = await asyncio.gather(*works, return_exceptions=True)
        assert (isinstance(one, Exception), isinstance(two, Exception), three) == (True, True, None)
        assert (await log.view(p)).next_offset == 0
        assert [marker.base_offset for marker in (await ends(log)).markers] == [0]
        assert await log.groups.fetch_offsets("g", None) == [offset(2)]

    alone(tmp_path, body)


def test_more_transactional_ids_than_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moldau.log.journaled_txns.KNOWN_MAX", 3)

    async def body(log: Embedded, p: int) -> None:
        names = [f"t{n}" for n in range(10)]
        await asyncio.gather(*[begins(log, name, [p], producer_id=n) for n, name in enumerate(names)])
        await asyncio.gather(*[ends(log, name, producer_id=n) for n, name in enumerate(names)])
        assert len(log.txns.known) == 3
        assert [row.state for row in await log.txns.all("", 99)] == [COMMITTED] * 10
        assert (await log.view(p)).high_watermark == 10

    alone(tmp_path, body)


def test_a_caller_that_goes_away_changes_nothing(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        await begins(log, "t", [p])
        faults.arm("blobs.local.sync=sleep:0.1")
        end = asyncio.ensure_future(ends(log))
        await asyncio.sleep(0.02)
        end.cancel()
        faults.arm("")
        described = await log.txns.load("t")
        assert described is not None
        assert (described.row.state, (await log.view(p)).high_watermark) == (COMMITTED, 1)

    alone(tmp_path, body)


@pytest.mark.parametrize("seed", range(3))
def test_many_producers(tmp_path: Path, seed: int) -> None:
    """Each batch is where it was said to be, whatever ends meanwhile, and the views are what the rows say; after a death, too."""

    async def main() -> None:
        async with embedded(tmp_path / "data") as log:
            ids = await log.it.topic(partitions=2)
            rng = random.Random(seed)

            async def producer(number: int) -> None:
                sequences = dict.fromkeys(ids, 0)
                for seq in range(1, 9):
                    await begins(log, f"t{number}", ids, producer_id=number, seq=seq)
                    guards = {p: TxnGuard(p, f"t{number}", seq) for p in ids}
                    log.open |= set(guards.values())
                    appends: list[asyncio.Future[Append]] = []
                    for _ in range(rng.randrange(1, 6)):
                        p = rng.choice(ids)
                        size = rng.choice((20, 20, 3000))
                        appends.append(log.submit(await log.view(p), sequences[p], guards[p], size, (number, 0)))
                        sequences[p] += 1
                        if rng.random() < 0.3:
                            await asyncio.sleep(0)
                    assert [each.error_code for each in await asyncio.gather(*appends)] == [0] * len(appends)
                    log.open -= set(guards.values())
                    await ends(log, f"t{number}", rng.random() < 0.5, number)

            await asyncio.wait_for(asyncio.gather(*map(producer, range(6))), 30)
            for p in ids:
                view, fresh = await log.view(p), await log.fresh(p)
                assert view.high_watermark == view.last_stable_offset == fresh.high_watermark
                assert view.producers.transactions.aborted == fresh.producers.transactions.aborted
                assert not fresh.producers.transactions.open
                assert fresh.producers.transactions.aborted
                bases = await log.read(view)
                assert bases == list(range(view.high_watermark))
            killed = copy(tmp_path / "data", tmp_path / "killed")
            expected = {p: snapshot.pack((await log.view(p)).producers) for p in ids}
        async with embedded(killed) as log:
            for p in ids:
                view = await log.view(p)
                assert view.last_stable_offset == view.high_watermark
                assert without_times(snapshot.pack(view.producers)) == without_times(expected[p])

    run(main())


def test_readers_of_what_is_committed_wait_until_the_end_is_stored(tmp_path: Path) -> None:
    async def body(log: Embedded, p: int) -> None:
        view = await log.view(p)
        for name, producer_id in (("t", 5), ("u", 6)):
            guard = TxnGuard(p, name, 1)
            log.open.add(guard)
            await begins(log, name, [p], producer_id=producer_id)
            await log.submit(view, 0, guard, producer=(producer_id, 0))
        held: list[Any] = []
        append, log.blobs.append = log.blobs.append, lambda *of: held.append(of)  # type: ignore[method-assign]
        log.wal.append_now = lambda *_: None  # type: ignore[method-assign]
        told = [asyncio.ensure_future(ends(log, *which)) for which in (("u", True, 6), ("t", False, 5))]
        seen = [(2, 0, [])]
        while not all(each.done() for each in told):
            await asyncio.sleep(0)
            now = (view.high_watermark, view.last_stable_offset, await log.read(view))
            if now != seen[-1]:
                seen.append(now)
            if held and now == seen[0]:
                append(*held.pop())
        assert seen == [(2, 0, []), (4, 4, [0, 1, 2, 3])]
        assert view.ending == []

    alone(tmp_path, body)


def copy(folder: Path, to: Path) -> Path:
    """As a process that is killed now leaves it."""
    shutil.copytree(folder, to)
    (to / "metadata.sqlite-shm").unlink(missing_ok=True)
    return to


def test_an_end_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """Whatever byte of its section was the last that was written: markers, row and offsets are there together, or none of them is."""

    async def main() -> None:
        async with embedded(tmp_path / "data") as log:
            ids = await log.it.topic(partitions=3)
            for p in ids:
                log.open.add(TxnGuard(p, "t", 1))
            await begins(log, "t", ids, [offset(7)])
            for p in ids:
                await log.submit(await log.view(p), 0, TxnGuard(p, "t", 1))
            await log.journal.drained()
            before = copy(tmp_path / "data", tmp_path / "before")
            first = (await ends(log, commits=True)).markers[0]
            blob = tmp_path / "data" / "blobs" / f"{first.blob_id:016x}"
            (path,) = [each for each in blob.parent.iterdir() if each.name.startswith(blob.name)]
            whole = path.read_bytes()
            end = first.position + 3 * first.length
            last = len(whole[:end])
            start = (before / "blobs" / path.name).read_bytes()
            begun = next(at for at in range(last) if whole[at] != start[at])
        seen = set()
        for cut in (*range(begun, last, 13), last - 1, last):
            folder = copy(before, tmp_path / f"cut{cut}")
            (folder / "blobs" / path.name).write_bytes(whole[:cut] + bytes(len(whole) - cut))
            async with embedded(folder) as log:
                described = await log.txns.load("t")
                assert described is not None
                offsets = await log.groups.fetch_offsets("g", None)
                stable = [(await log.view(p)).last_stable_offset for p in ids]
                state = (described.row.state, len(described.partitions), offsets, stable)
                assert state in ((ONGOING, 3, [], [0, 0, 0]), (COMMITTED, 0, [offset(7)], [2, 2, 2]))
                seen.add(described.row.state)
            shutil.rmtree(folder)
        assert seen == {ONGOING, COMMITTED}

    run(main())


def test_an_abort_of_what_another_run_began(tmp_path: Path) -> None:
    async def main() -> None:
        async with embedded(tmp_path) as log:
            p, q = await log.it.topic(partitions=2)
            await begins(log, "t", [p, q], [offset(1)])
        async with embedded(tmp_path) as log:
            row = on("t", state=ABORTED, epoch=1)
            changed = await log.txns.change("t", do(row, end=End(False, 5, 1)))
            assert [marker.partition_id for marker in changed.markers] == [p, q]
            assert await log.txns.pending_offsets("g", None) == []
        async with embedded(tmp_path) as log:
            described = await log.txns.load("t")
            assert described is not None
            assert (described.row, described.partitions) == (row, [])
            assert (await log.view(q)).high_watermark == 1

    run(main())


def without_times(packed: bytes) -> bytes:
    """The journal has the time of its sections, a view that of the commit."""
    states = snapshot.unpack(packed)
    for producer in states.by_id.values():
        producer.appended_at = 0
    return snapshot.pack(states)
