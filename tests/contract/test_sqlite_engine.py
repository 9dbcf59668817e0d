"""What is SQLite's own: group commit, durability, errors of the world and of ours, checkpoints, life and death."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.aio import opened, run
from support.stores import Stores, entry, sqlite_opener, submit

from moldau import faults
from moldau.blobs.ports import BlobError
from moldau.metadata.errors import Conflict, FormatTooNew, StoreCorrupt, StoreError, StoreUnavailable
from moldau.metadata.rows import APPENDED, KIND_WAL, BlobRow
from moldau.metadata.sqlite import engine as engine_module
from moldau.metadata.sqlite.connection import WAL_PRIME_BYTES
from moldau.metadata.sqlite.engine import CHECKPOINT_BYTES, SqliteEngine


@pytest.fixture
def opener(tmp_path: Path) -> Any:
    return sqlite_opener(tmp_path)


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")
    faults.watch(None)


def engine_of(it: Stores) -> SqliteEngine:
    assert it.engine is not None
    return it.engine


def submitted(
    engine: SqliteEngine, operation: Callable[[sqlite3.Cursor], Any], durable: bool = True, cheap: bool = False
) -> asyncio.Future[Any]:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(result: Any, error: Exception | None) -> None:
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    engine.submit(operation, done, durable=durable, cheap=cheap)
    return future


class Held:
    """Keeps the writer's thread inside a transaction, so that what is submitted meanwhile queues up."""

    def __init__(self, engine: SqliteEngine) -> None:
        self._inside, self._go = threading.Event(), threading.Event()
        self.future = submitted(engine, self._hold)
        assert self._inside.wait(5)

    def _hold(self, cursor: sqlite3.Cursor) -> str:
        self._inside.set()
        assert self._go.wait(5)
        return "held"

    def release(self) -> None:
        self._go.set()


def note(text: str) -> Callable[[sqlite3.Cursor], str]:
    def operation(cursor: sqlite3.Cursor) -> str:
        cursor.execute("INSERT INTO entity (kind, name, configs) VALUES ('note', ?, '{}')", (text,))
        return text

    return operation


async def notes(it: Stores) -> list[str]:
    return sorted(name for _, name, _ in await it.cluster.load_entities())


class TestGroupCommit:
    @opened
    async def test_what_queues_up_shares_one_commit(self, it: Stores) -> None:
        engine = engine_of(it)
        held = Held(engine)
        futures = [submitted(engine, note(f"{n:03}")) for n in range(200)]
        before = engine.commits
        held.release()
        assert await asyncio.gather(*futures) == [f"{n:03}" for n in range(200)]
        assert engine.commits - before == 2
        assert len(await notes(it)) == 200

    @opened
    async def test_what_is_asked_for_at_the_same_time_shares_one_commit(self, it: Stores) -> None:
        """The writer's thread is woken when all that was ready has asked, not by the first: 40 % less CPU for 100 small commits."""
        engine = engine_of(it)
        before = engine.commits

        async def asks(number: int) -> str:
            await asyncio.sleep(0)
            return await engine.operate(lambda cursor, _: note(f"{number:03}")(cursor))

        assert await asyncio.gather(*map(asks, range(100))) == [f"{n:03}" for n in range(100)]
        assert engine.commits - before == 1
        assert len(await notes(it)) == 100

    @opened
    async def test_what_is_asked_for_too_late_is_refused(self, it: Stores) -> None:
        engine = engine_of(it)
        engine.close()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(engine.operate(lambda cursor, _: note("late")(cursor)), 5)

    @opened
    async def test_a_cheap_operation_runs_at_once_when_nothing_else_does(self, it: Stores) -> None:
        future = submitted(engine_of(it), note("now"), cheap=True)
        assert future.done()
        assert await notes(it) == ["now"]

    @opened
    async def test_a_cheap_operation_never_overtakes(self, it: Stores) -> None:
        engine = engine_of(it)
        held = Held(engine)
        order: list[str] = []
        futures = [submitted(engine, note("a")), submitted(engine, note("b"), cheap=True)]
        for future in futures:
            future.add_done_callback(lambda done: order.append(done.result()))
        assert not any(future.done() for future in futures)
        held.release()
        pause = threading.Event()
        while engine._queue or engine._lock.locked():
            pause.wait(0.001)  # the loop stands still
        # the thread has committed; should nobody have been told yet, this one must wait its turn
        futures.append(submitted(engine, note("c"), cheap=True))
        assert not futures[2].done()
        futures[2].add_done_callback(lambda done: order.append(done.result()))
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        assert order == ["a", "b", "c"]

    @opened
    async def test_operations_may_come_from_other_threads(self, it: Stores) -> None:
        engine, loop = engine_of(it), asyncio.get_running_loop()
        told: list[tuple[Any, bool]] = []
        finished = asyncio.Event()

        def done(result: Any, error: Exception | None) -> None:
            told.append((result, asyncio.get_running_loop() is loop))
            if len(told) == 100:
                finished.set()

        def work(name: str) -> None:
            for n in range(50):
                engine.submit(note(f"{name}{n}"), done)

        await asyncio.gather(asyncio.to_thread(work, "x"), asyncio.to_thread(work, "y"))
        await finished.wait()
        assert all(on_loop for _, on_loop in told)
        assert [r for r, _ in told if r[0] == "x"] == [f"x{n}" for n in range(50)]

    @opened
    async def test_a_callback_that_raises_does_not_keep_others_from_being_told(self, it: Stores) -> None:
        engine, loop = engine_of(it), asyncio.get_running_loop()
        stray: list[Any] = []
        loop.set_exception_handler(lambda _, context: stray.append(context["exception"]))
        held = Held(engine)

        def bad(result: Any, error: Exception | None) -> None:
            raise KeyError("in the callback")

        engine.submit(note("a"), bad)
        after = submitted(engine, note("b"))
        held.release()
        assert await after == "b"
        assert [type(error) for error in stray] == [KeyError]
        assert await notes(it) == ["a", "b"]


class TestDefects:
    @pytest.mark.parametrize("cheap", [False, True])
    @pytest.mark.parametrize(
        ("raised", "told"),
        [
            (AssertionError("story"), AssertionError),
            (KeyError("k"), KeyError),
            (Conflict("moved"), Conflict),
            (sqlite3.IntegrityError("unique"), StoreCorrupt),
            (sqlite3.ProgrammingError("binding"), StoreUnavailable),
        ],
    )
    def test_an_operation_that_raises_is_alone(
        self, opener: Any, raised: Exception, told: type[Exception], cheap: bool
    ) -> None:
        async def main() -> None:
            async with opener() as it:
                engine = engine_of(it)

                def bad(cursor: sqlite3.Cursor) -> None:
                    note("half")(cursor)
                    raise raised

                if cheap:
                    futures = [submitted(engine, op, cheap=True) for op in (note("a"), bad, note("b"))]
                else:
                    held = Held(engine)
                    futures = [submitted(engine, op) for op in (note("a"), bad, note("b"), bad, note("c"))]
                    held.release()
                answers = await asyncio.gather(*futures, return_exceptions=True)
                assert isinstance(answers[1], told)
                assert [a for a in answers if isinstance(a, str)] == (["a", "b"] if cheap else ["a", "b", "c"])
                assert await notes(it) == [a for a in answers if isinstance(a, str)]
                assert await submitted(engine, note("later")) == "later"

        run(main())

    @opened
    async def test_a_wrong_statement_is_alone_too(self, it: Stores) -> None:
        engine = engine_of(it)
        held = Held(engine)
        futures = [submitted(engine, op) for op in (note("a"), lambda c: c.execute("SELECT nothing FROM nowhere"))]
        held.release()
        good, bad = await asyncio.gather(*futures, return_exceptions=True)
        assert good == "a"
        assert isinstance(bad, StoreError)
        assert await notes(it) == ["a"]


class TestTheWorld:
    @pytest.mark.parametrize("point", ["metadata.sqlite.begin", "metadata.sqlite.commit"])
    @pytest.mark.parametrize("kind", ["full", "fail"])
    def test_a_refused_commit_fails_all_and_the_next_works(self, opener: Any, point: str, kind: str) -> None:
        async def main() -> None:
            async with opener() as it:
                (p,) = await it.topic()
                await it.append(entry(p, 0))
                faults.arm(f"{point}={kind}")
                futures = [submit(it.log, it.flush(entry(p, 1))) for _ in range(3)]
                for answer in await asyncio.gather(*futures, return_exceptions=True):
                    assert isinstance(answer, StoreUnavailable)
                with pytest.raises(StoreUnavailable):
                    await it.topic("u")
                assert (await it.row(p)).end_offset == 1
                faults.arm("")
                assert [a.status for a in await it.append(entry(p, 1))] == [APPENDED]
                assert [e.base_offset for e in await it.extents(p)] == [0, 1]
                await it.topic("u")

        run(main())

    @opened
    async def test_a_lost_reply_is_found_out_by_reading(self, it: Stores) -> None:
        (p,) = await it.topic()
        faults.arm("metadata.sqlite.committed=fail")
        with pytest.raises(StoreUnavailable):
            await it.append(entry(p, 0))
        faults.arm("")
        assert (await it.row(p)).end_offset == 1

    @opened
    async def test_a_disk_that_is_really_full(self, it: Stores) -> None:
        """SQLite rolls such a transaction back by itself, in the middle of a statement."""
        (p,) = await it.topic()
        engine = engine_of(it)
        assert engine._writer is not None
        pages = engine._writer.execute("PRAGMA page_count").fetchone()[0]
        engine._writer.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreUnavailable, match="full"):
            await it.append(entry(p, 0), inline=bytes(1 << 20))
        held = Held(engine)
        futures = [submitted(engine, note("small")), submit(it.log, it.flush(entry(p, 0), inline=bytes(1 << 20)))]
        held.release()
        assert all(isinstance(a, StoreUnavailable) for a in await asyncio.gather(*futures, return_exceptions=True))
        assert await held.future == "held"
        engine._writer.execute("PRAGMA max_page_count=1000000")
        assert (await it.append(entry(p, 0), inline=bytes(1 << 20)))[0].status == APPENDED

    @opened
    async def test_reads_tell_when_pages_are_damaged(self, it: Stores) -> None:
        ids = await it.topic(partitions=200)
        for p in ids:
            await it.append(entry(p, 0))
        engine = engine_of(it)
        await engine.checkpoint()
        assert engine._reader.connection is not None
        engine._reader.connection.execute("PRAGMA cache_size=0")
        page = int(
            engine._reader.connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'extent'").fetchone()[0]
        )
        with engine.path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
        with pytest.raises(StoreCorrupt):
            await asyncio.gather(*(it.log.extents_from(p, 0, 10) for p in ids))


class TestDurability:
    @staticmethod
    def story(engine: SqliteEngine) -> list[str]:
        story: list[str] = []
        engine.before_sync = lambda: story.append("sync bytes")
        wanted = {"metadata.sqlite.commit": "commit", "metadata.sqlite.checkpoint": "checkpoint"}

        def watch(name: str) -> None:
            if name in wanted:
                durable = engine._full and name == "metadata.sqlite.commit"
                story.append(f"durable {wanted[name]}" if durable else wanted[name])

        faults.watch(watch)
        return story

    @opened
    async def test_bytes_are_synced_before_the_first_durable_commit_after_fast_ones(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        story = self.story(engine)
        for n, durable in enumerate((True, False, False, True, True, False)):
            await it.append(entry(p, n), durable=durable)
        assert story == [
            "durable commit",
            "commit",
            "commit",
            "sync bytes",
            "durable commit",
            "durable commit",
            "commit",
        ]
        assert not engine.synced

    @opened
    async def test_a_mixed_group_is_durable_and_syncs_bytes_of_its_own_fast_ones(self, it: Stores) -> None:
        engine = engine_of(it)
        held = Held(engine)
        story = self.story(engine)
        futures = [submitted(engine, note("fast"), durable=False), submitted(engine, note("safe"))]
        held.release()
        await asyncio.gather(*futures)
        assert story == ["durable commit", "sync bytes", "durable commit"]
        assert engine.synced

    @opened
    async def test_bytes_are_synced_before_a_checkpoint(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        story = self.story(engine)
        await it.append(entry(p, 0), durable=False)
        assert await engine.checkpoint() > 0
        assert story == ["commit", "checkpoint", "sync bytes"]

    @opened
    async def test_a_fast_commit_during_a_checkpoint_is_durable(self, it: Stores) -> None:
        """The checkpoint syncs the WAL, and with it rows that came after the bytes were synced."""
        engine = engine_of(it)
        (p,) = await it.topic()
        reached, go = threading.Event(), threading.Event()
        first = [True]
        story = self.story(engine)

        def before_sync() -> None:
            story.append("sync bytes")
            if first.pop() if first else False:
                reached.set()
                assert go.wait(5)

        engine.before_sync = before_sync
        checkpoint = asyncio.ensure_future(engine.checkpoint())
        assert await asyncio.to_thread(reached.wait, 5)
        await it.append(entry(p, 0), durable=False)
        go.set()
        await checkpoint
        assert story == ["checkpoint", "sync bytes", "sync bytes", "durable commit"]

    @opened
    async def test_no_durable_commit_without_the_bytes(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        await it.append(entry(p, 0), durable=False)

        def fails() -> None:
            raise BlobError("sync failed")

        engine.before_sync = fails
        with pytest.raises(StoreUnavailable, match="sync failed"):
            await it.append(entry(p, 1))
        with pytest.raises(StoreUnavailable):
            await engine.checkpoint()
        assert (await it.append(entry(p, 1), durable=False))[0].status == APPENDED
        engine.before_sync = lambda: None
        assert (await it.append(entry(p, 2)))[0].status == APPENDED


class TestCheckpoints:
    @pytest.mark.slow
    @opened
    async def test_the_wal_of_a_busy_writer_stays_bounded(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        left: list[int] = []

        def watch(name: str) -> None:
            if name == "metadata.sqlite.checkpointed":
                assert engine._wal is not None
                left.append(engine._wal.backlog())

        faults.watch(watch)
        end, data = 0, bytes(60_000)
        while end < 1200:
            batch = [it.flush(entry(p, end + n), inline=data, durable=False) for n in range(20)]
            await asyncio.gather(*(submit(it.log, flush) for flush in batch))
            end += 20
        faults.watch(None)
        assert len(left) > 1
        assert set(left) == {0}  # nothing is left in it, so the next commit begins it anew

    @opened
    async def test_an_idle_checkpoint_does_nothing(self, it: Stores) -> None:
        engine = engine_of(it)
        await it.topic()
        assert await engine.checkpoint() > 0
        syncs: list[int] = []
        engine.before_sync = lambda: syncs.append(1)
        assert await engine.checkpoint() == 0
        assert not syncs

    @opened
    async def test_a_failed_checkpoint_leaves_everything_usable(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        for point in ("metadata.sqlite.checkpoint=fail", "metadata.sqlite.checkpointed=fail"):
            faults.arm(point)
            await it.append(entry(p, (await it.row(p)).end_offset))
            with pytest.raises(StoreUnavailable):
                await engine.checkpoint()
        faults.arm("")
        await it.append(entry(p, 2), durable=False)
        assert not engine.synced
        await engine.checkpoint()
        assert len(await it.extents(p)) == 3

    @opened
    async def test_one_that_is_due_runs_by_itself(self, it: Stores) -> None:
        engine = engine_of(it)
        await submitted(engine, note("small"))
        await engine.scan(_nothing)
        assert engine.checkpoints == 0
        (p,) = await it.topic()
        await it.append(entry(p, 0), inline=bytes(CHECKPOINT_BYTES))
        await engine.scan(_nothing)
        assert engine.checkpoints == 1

    @opened
    async def test_reads_do_not_wait_for_a_scan(self, it: Stores) -> None:
        engine = engine_of(it)
        (p,) = await it.topic()
        inside, go = threading.Event(), threading.Event()

        async def long(tx: Any) -> None:
            inside.set()
            assert go.wait(5)

        scan = asyncio.ensure_future(engine.scan(long))
        assert await asyncio.to_thread(inside.wait, 5)
        assert await it.extents(p) == []
        go.set()
        await scan


async def _nothing(tx: Any) -> None:
    await tx.run("cluster_get")


def entities(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "m.sqlite")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM entity").fetchone()
    return int(count)


class TestLife:
    def test_what_is_queued_at_close_is_committed_and_told(self, tmp_path: Path) -> None:
        async def main() -> None:
            engine = SqliteEngine(tmp_path / "m.sqlite", asyncio.get_running_loop())
            engine.open()
            futures = [submitted(engine, note(f"{n:03}")) for n in range(700)]
            engine.close()
            assert await asyncio.gather(*futures) == [f"{n:03}" for n in range(700)]

        run(main())
        assert entities(tmp_path) == 700

    @pytest.mark.parametrize("cheap", [False, True])
    def test_what_comes_after_close_is_refused(self, tmp_path: Path, cheap: bool) -> None:
        async def main() -> None:
            engine = SqliteEngine(tmp_path / "m.sqlite", asyncio.get_running_loop())
            engine.open()
            engine.close()
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await asyncio.wait_for(submitted(engine, note("late"), cheap=cheap), 5)
                with pytest.raises(StoreUnavailable):
                    await engine.read(_nothing)
                with pytest.raises(StoreUnavailable):
                    await engine.checkpoint()
                engine.close()

        run(main())

    def test_a_closed_loop_does_not_keep_rows_from_being_committed(self, tmp_path: Path) -> None:
        loop = asyncio.new_event_loop()
        engine = SqliteEngine(tmp_path / "m.sqlite", loop)
        engine.open()
        loop.close()
        for n in range(3):
            engine.submit(note(str(n)), lambda result, error: None)
        engine.close()
        assert entities(tmp_path) == 3

    def test_each_start_primes_the_wal(self, tmp_path: Path) -> None:
        async def main() -> None:
            for n in range(2):
                engine = SqliteEngine(tmp_path / "m.sqlite", asyncio.get_running_loop())
                engine.open()
                assert (tmp_path / "m.sqlite-wal").stat().st_size >= WAL_PRIME_BYTES
                await submitted(engine, note(str(n)))
                engine.close()
            assert (tmp_path / "m.sqlite").stat().st_size < WAL_PRIME_BYTES / 4

        run(main())

    def test_a_wal_that_was_left_is_read(self, tmp_path: Path) -> None:
        """As after a kill: the zeros behind the last commit are no commits, and priming again harms nothing."""

        async def main() -> None:
            engine = SqliteEngine(tmp_path / "m.sqlite", asyncio.get_running_loop())
            engine.open()
            for n in range(5):
                await submitted(engine, note(str(n)))
            copy = tmp_path / "copy"
            copy.mkdir()
            for name in ("m.sqlite", "m.sqlite-wal"):
                (copy / name).write_bytes((tmp_path / name).read_bytes())
            engine.close()
            for _ in range(2):
                wal = copy / "m.sqlite-wal"
                if wal.exists():
                    os.truncate(wal, min(wal.stat().st_size, 1_000_000))
                again = SqliteEngine(copy / "m.sqlite", asyncio.get_running_loop())
                again.open()
                assert await again.read(_count_entities) == 5
                again.close()

        run(main())


async def _count_entities(tx: Any) -> int:
    return len(await tx.run("entities"))


def open_and_close(path: Path) -> None:
    async def main() -> None:
        engine = SqliteEngine(path, asyncio.get_running_loop())
        try:
            engine.open()
        finally:
            engine.close()

    run(main())


class TestFiles:
    def test_a_newer_schema_is_refused_untouched(self, tmp_path: Path) -> None:
        path = tmp_path / "m.sqlite"
        open_and_close(path)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version=99")
        connection.close()
        before = path.read_bytes()
        with pytest.raises(FormatTooNew, match="99"):
            open_and_close(path)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("journal", ["delete", "wal"])
    def test_somebody_elses_database_is_refused_untouched(self, tmp_path: Path, journal: str) -> None:
        path = tmp_path / "m.sqlite"
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()
        before = path.read_bytes()
        with pytest.raises(StoreCorrupt, match="not a metadata file"):
            open_and_close(path)
        assert path.read_bytes() == before

    def test_what_is_no_database_is_refused_untouched(self, tmp_path: Path) -> None:
        path = tmp_path / "m.sqlite"
        path.write_bytes(b"no database at all " * 500)
        with pytest.raises(StoreCorrupt):
            open_and_close(path)
        assert path.read_bytes() == b"no database at all " * 500

    def test_a_damaged_header_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "m.sqlite"
        open_and_close(path)
        with path.open("r+b") as file:
            file.write(b"\0" * 16)
        with pytest.raises(StoreCorrupt):
            open_and_close(path)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match=r"m\.sqlite"):
            open_and_close(tmp_path / "nowhere" / "m.sqlite")

    @pytest.mark.parametrize("kind", ["full", "fail"])
    def test_a_schema_that_could_not_be_made_is_made_next_time(self, tmp_path: Path, kind: str) -> None:
        faults.arm(f"metadata.sqlite.migrate={kind}")
        with pytest.raises(StoreUnavailable):
            open_and_close(tmp_path / "m.sqlite")
        faults.arm(f"metadata.sqlite.prime={kind}")
        open_and_close(tmp_path / "m.sqlite")
        faults.arm("")
        open_and_close(tmp_path / "m.sqlite")

    def test_a_schema_step_is_all_or_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from moldau.metadata.sqlite import connection as module

        good = module.load_migrations()
        bad = [*good, (good[-1][0] + 1, "CREATE TABLE extra (x); CREATE TABLE extra (x);")]
        monkeypatch.setattr(module, "load_migrations", lambda: bad)
        with pytest.raises(StoreError, match="extra"):
            open_and_close(tmp_path / "m.sqlite")
        monkeypatch.setattr(module, "load_migrations", lambda: good)
        open_and_close(tmp_path / "m.sqlite")


def test_the_cluster_row_that_is_missing_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            await submitted(engine_of(it), lambda cursor: cursor.execute("DELETE FROM cluster"))
            with pytest.raises(StoreCorrupt):
                await it.cluster.load_cluster()

    run(main())


def test_a_blob_stays_doomed_since_the_first_time(tmp_path: Path) -> None:
    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            await it.log.register_blob(BlobRow(1, KIND_WAL, 0, 0))
            assert await it.maintenance.doom_unreferenced(100, 0, 9) == [1]
            engine = engine_of(it)
            await engine.write(lambda tx: tx.run_many("blob_doom", [{"blob_id": 1, "now": 500}]))
            assert (await it.maintenance.blobs())[0].doomed_ms == 100

    run(main())


def test_the_average_commit_decides_who_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow disk the loop does not wait for the sync."""
    monkeypatch.setattr(engine_module, "_INLINE_NS", 0)

    async def main() -> None:
        async with sqlite_opener(tmp_path)() as it:
            future = submitted(engine_of(it), note("x"), cheap=True)
            assert not future.done()
            assert await future == "x"

    run(main())
