"""What is PostgreSQL's own: restarts, settings, the schema and its migrations, errors in the words of the port."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from support.aio import opened, run
from support.postgres import FOLDERS, Postgres, waiting_for_locks
from support.stores import Stores, entry, postgres_opener, submit
from support.tcp_proxy import fault_proxy

from moldau.metadata.errors import FormatTooNew, StoreCorrupt, StoreUnavailable
from moldau.metadata.postgres import errors, schema
from moldau.metadata.postgres.appends import IN_FLIGHT
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.postgres.errors import ConnectRefused, InDoubt, TryAgain, store_error
from moldau.metadata.postgres.log_store import WARM_READS
from moldau.metadata.rows import APPENDED
from moldau.metadata.sql.named import load_migrations


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.url(postgres.database())


@pytest.fixture
def opener(url: str) -> Any:
    return postgres_opener(url)


def engine_of(it: Stores) -> PostgresEngine:
    assert isinstance(it.engine, PostgresEngine)
    return it.engine


async def ask(engine: PostgresEngine, sql: str) -> Any:
    """One value, on a connection of the engine's."""
    session = await engine._query_pool.acquire(asyncio.get_running_loop().time() + 5)
    try:
        return await session.connection.fetchval(sql)
    finally:
        engine._query_pool.release(session)


@pytest.fixture(scope="module", params=sorted(FOLDERS), ids=lambda version: f"pg{version}")
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """One that a test may stop."""
    server = Postgres(request.param)
    server.start()
    yield server
    server.remove()


def test_what_is_warm_has_its_connections_and_writes_nothing(opener: Any) -> None:
    async def main() -> None:
        async with opener() as it:
            engine = engine_of(it)
            (p,) = await it.topic()
            rows = "SELECT (SELECT count(*) FROM blob) + (SELECT count(*) FROM inline_blob) + (SELECT count(*) FROM extent)"
            commits = engine.commits
            assert engine.commit_pool.connects == 0
            await it.log.warm()  # type: ignore[attr-defined]
            assert (engine.commit_pool.connects, engine._query_pool.connects) == (IN_FLIGHT, WARM_READS)
            assert (engine.commits, await ask(engine, rows)) == (commits, 0)
            (answer,) = await it.append(entry(p, 0, 2))
            assert answer.status == APPENDED
            assert (engine.commit_pool.connects, await ask(engine, rows)) == (IN_FLIGHT, 2)

    run(main())


class TestRestart:
    @pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["clean", "crash"])
    def test_a_restart_is_a_pause(self, server: Postgres, how: signal.Signals) -> None:
        async def main() -> None:
            async with postgres_opener(server.url(server.database()))() as it:
                ids = await it.topic("t", 3)
                stop = asyncio.Event()
                ends = dict.fromkeys(ids, 0)

                async def write(p: int) -> None:
                    while not stop.is_set():
                        (answer,) = await it.append(entry(p, ends[p], 2))
                        assert (answer.status, answer.offset) == (APPENDED, ends[p])
                        ends[p] += 2

                async def look() -> None:
                    while not stop.is_set():
                        assert (await it.row(ids[0])).end_offset <= ends[ids[0]] + 2
                        await it.cluster.reserve_blob_block()
                        await asyncio.sleep(0.005)

                work = [asyncio.ensure_future(each) for each in (*map(write, ids), look())]
                before = 0
                for _ in range(2):
                    while sum(ends.values()) < before + 60:
                        await asyncio.sleep(0.01)
                    await asyncio.get_running_loop().run_in_executor(None, server.restart, how)
                    before = sum(ends.values())
                while sum(ends.values()) < before + 60:
                    await asyncio.sleep(0.01)
                stop.set()
                outcome = await asyncio.gather(*work, return_exceptions=True)
                # the blocks of ids are transactions: one whose COMMIT was cut off is in doubt, and says so
                assert outcome[:3] == [None] * 3
                assert outcome[3] is None or isinstance(outcome[3], InDoubt)
                for p in ids:
                    extents = await it.extents(p)
                    assert [e.base_offset for e in extents] == list(range(0, ends[p], 2))
                assert await it.maintenance.live_counts() == []

        run(main())

    def test_a_server_that_is_not_there(self, server: Postgres) -> None:
        async def main() -> None:
            engine = PostgresEngine(server.url("nowhere"), retry_seconds=0.1)
            with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
                await engine.open()
            secret = "postgresql://me:secret@127.0.0.1:1/db?sslmode=disable"
            with pytest.raises(StoreUnavailable, match=r"postgresql://me@127\.0\.0\.1:1/db") as caught:
                await PostgresEngine(secret, retry_seconds=0.1).open()
            assert "secret" not in str(caught.value)

        run(main())

    def test_a_server_that_comes_is_waited_for(
        self, url: str, postgres: Postgres, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            async with fault_proxy(postgres.port) as proxy:
                proxy.refusing = True
                loop.call_later(0.6, setattr, proxy, "refusing", False)
                engine = PostgresEngine(url.replace(str(postgres.port), str(proxy.port)))
                began = loop.time()
                await engine.open()
                assert 0.5 < loop.time() - began < 5
                await engine.close()

        run(main())
        assert caplog.text.count("event=waits_for_metadata_store seconds=10") == 1


class TestSettings:
    @opened
    async def test_every_connection_has_its_timeouts(self, it: Stores) -> None:
        engine = engine_of(it)
        found = {
            name: await ask(engine, f"SHOW {name}")
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "plan_cache_mode",
                "application_name",
                "client_connection_check_interval",
            )
        }
        assert list(found.values()) == ["4s", "2s", "5s", "force_generic_plan", "moldau", "1s"]

    def test_what_the_url_says_counts(self, url: str) -> None:
        async def main() -> None:
            engine = PostgresEngine(f"{url}?application_name=mine&lock_timeout=700&work_mem=5MB&connect_timeout=3")
            await engine.open()
            assert await ask(engine, "SHOW application_name") == "mine"
            assert await ask(engine, "SHOW lock_timeout") == "700ms"
            assert await ask(engine, "SHOW work_mem") == "5MB"
            assert engine.address.connect_timeout == 3
            await engine.close()
            # this server has no TLS
            with pytest.raises(StoreUnavailable, match="SSL"):
                await PostgresEngine(f"{url}?sslmode=require", retry_seconds=0.1).open()

        run(main())

    @opened
    async def test_how_tables_are_stored(self, it: Stores) -> None:
        engine = engine_of(it)
        assert "fillfactor=30" in await ask(engine, "SELECT reloptions FROM pg_class WHERE relname = 'partition'")
        assert (
            await ask(
                engine,
                "SELECT attstorage FROM pg_attribute WHERE attrelid = 'inline_blob'::regclass AND attname = 'data'",
            )
            == b"e"
        )

    @opened
    async def test_appends_change_no_index_of_the_hot_row(self, it: Stores) -> None:
        (p,) = await it.topic()
        for n in range(200):
            await it.append(entry(p, n))
        engine = engine_of(it)
        await ask(engine, "SELECT pg_stat_force_next_flush()")
        for _ in range(100):
            sql = "SELECT n_tup_upd || ' ' || n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'partition'"
            updates, hot = map(int, (await ask(engine, sql)).split())
            if updates >= 190:
                break
            await it.append(entry(p, 0))
            await asyncio.sleep(0.05)
        assert hot >= 0.9 * updates > 100

    @opened
    async def test_connections_are_bounded(self, it: Stores) -> None:
        engine = engine_of(it)
        ids = await it.topic("t", 40)
        await asyncio.gather(
            *(it.append(entry(p, 0)) for p in ids),
            *(it.row(p) for p in ids for _ in range(5)),
            *(it.maintenance.partition_heads(0, 9) for _ in range(20)),
        )
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'moldau'"
        assert 4 <= await ask(engine, sql) <= 12
        assert engine.connections <= 12

    def test_the_stores_own_clock(self, url: str) -> None:
        async def main() -> None:
            engine = PostgresEngine(url)
            await engine.open()
            first = await engine.now()
            server = await ask(engine, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
            assert first <= server + 1 <= first + 5000
            seen = await engine.write(lambda tx: tx.now())
            assert seen >= first
            await engine.close()

        run(main())


class TestSchema:
    def test_another_broker_makes_the_tables_between_two_looks(self, url: str) -> None:
        class Late:
            """The first look is of before, all others of after."""

            def __init__(self, connection: Any) -> None:
                self._connection = connection
                self.looks = 0

            def __getattr__(self, name: str) -> Any:
                return getattr(self._connection, name)

            async def fetchval(self, *arguments: Any) -> Any:
                self.looks += 1
                found = await self._connection.fetchval(*arguments)
                if self.looks == 1:
                    other = await asyncpg.connect(url)
                    await schema.migrate(other)
                    await other.close()
                return found

        async def main() -> None:
            connection = await asyncpg.connect(url)
            assert await schema.migrate(Late(connection)) == load_migrations()[-1][0]
            await connection.close()

        run(main())

    def test_another_broker_makes_the_tables_once_the_transaction_has_begun(self, url: str) -> None:
        """A session that has looked for a table remembers that it was not there: until its next transaction, or a question to the catalog itself."""

        class Late:
            def __init__(self, connection: Any) -> None:
                self._connection = connection
                self._alone = True

            def __getattr__(self, name: str) -> Any:
                return getattr(self._connection, name)

            async def fetchval(self, query: str, *arguments: Any) -> Any:
                if "advisory" in query and self._alone:
                    self._alone = False
                    other = await asyncpg.connect(url)
                    await schema.migrate(other, load_migrations()[:1])
                    await other.close()
                return await self._connection.fetchval(query, *arguments)

        async def main() -> None:
            connection = await asyncpg.connect(url)
            async with connection.transaction():  # from then on this needs no look into the catalog
                await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", 0)
            assert await schema.migrate(Late(connection)) == load_migrations()[-1][0]
            await connection.close()

        run(main())

    def test_an_older_broker_serves_while_a_newer_one_changes_the_schema(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        newest = load_migrations()[-1][0]
        following = (newest + 1, f"-- serves: {newest}\nALTER TABLE partition ADD COLUMN note TEXT;\n")

        async def main() -> None:
            async with postgres_opener(url)() as it:
                (p,) = await it.topic()
                stop = asyncio.Event()
                end = 0

                async def write() -> None:
                    nonlocal end
                    while not stop.is_set():
                        (answer,) = await it.append(entry(p, end))
                        assert answer.status == APPENDED
                        await it.log.raise_log_start(p, end)
                        end += 1

                task = asyncio.ensure_future(write())
                while end < 20:
                    await asyncio.sleep(0.005)
                connection = await asyncpg.connect(url)
                assert await schema.migrate(connection, [*load_migrations(), following]) == newest + 1
                before = end
                while end < before + 20:
                    await asyncio.sleep(0.005)
                stop.set()
                await task
                await connection.close()
                assert len(await it.extents(p)) == end
            async with postgres_opener(url)() as it:  # and starts, too
                await it.append(entry(p, end), blob_id=1 << 40)

        run(main())

    def test_a_lock_that_is_held_is_not_waited_for_in_front_of_others(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(schema, "_LOCK_MS", 50)
        number = load_migrations()[-1][0] + 1
        following = (number, "ALTER TABLE partition ADD COLUMN note TEXT;")

        async def main() -> None:
            async with postgres_opener(url)() as it:
                (p,) = await it.topic()
                reader, migrator = await asyncpg.connect(url), await asyncpg.connect(url)
                transaction = reader.transaction()
                await transaction.start()
                await reader.fetch("SELECT * FROM partition")  # a long report holds the table
                task = asyncio.ensure_future(schema.migrate(migrator, [*load_migrations(), following]))
                for n in range(20):
                    assert (await it.append(entry(p, n)))[0].status == APPENDED
                    await asyncio.sleep(0.01)
                assert not task.done()
                await transaction.rollback()
                assert await task == number
                await reader.close()
                await migrator.close()

        run(main())

    def test_many_that_start_at_once_make_one_schema(self, url: str) -> None:
        async def main() -> None:
            engines = [PostgresEngine(url) for _ in range(4)]
            await asyncio.gather(*(engine.open() for engine in engines))
            assert await ask(engines[0], "SELECT count(*) FROM moldau_schema") == len(load_migrations())
            for engine in engines:
                await engine.close()

        run(main())

    def test_a_schema_that_this_release_cannot_serve(self, url: str) -> None:
        newest = load_migrations()[-1][0]

        async def main() -> None:
            async with postgres_opener(url)() as it:
                await it.topic()
            connection = await asyncpg.connect(url)
            await schema.migrate(connection, [*load_migrations(), (newest + 1, "DROP TABLE entity;")])
            await connection.close()
            with pytest.raises(FormatTooNew, match=f"knows up to {newest}"):
                await PostgresEngine(url).open()

        run(main())

    def test_a_database_of_somebody_else(self, url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(url)
            await connection.execute("CREATE TABLE partition (x INT)")
            with pytest.raises(StoreCorrupt, match="a database of its own"):
                await PostgresEngine(url).open()
            assert await connection.fetchval("SELECT to_regclass('moldau_schema')") is None
            await connection.close()

        run(main())


class TestErrors:
    @pytest.mark.parametrize(
        ("state", "made"),
        [
            ("40001", TryAgain),
            ("40P01", TryAgain),
            ("55P03", TryAgain),
            ("57014", TryAgain),
            ("25006", TryAgain),
            ("53300", TryAgain),
            ("53100", TryAgain),
            ("57P03", TryAgain),
            ("57P01", InDoubt),
            ("57P02", InDoubt),
            ("08006", InDoubt),
            ("25P03", InDoubt),
            ("23505", StoreCorrupt),
            ("XX001", StoreCorrupt),
            ("42P01", StoreCorrupt),
            ("42501", StoreUnavailable),
            ("58030", StoreUnavailable),
        ],
    )
    def test_states(self, state: str, made: type[Exception]) -> None:
        error = asyncpg.PostgresError("it says")
        error.sqlstate = state
        assert type(store_error(error, "what", committing=True)) is made
        before = store_error(error, "what", committing=False)
        assert type(before) is (TryAgain if made is InDoubt else made)
        assert str(before) == f"what: it says (SQLSTATE {state})"

    def test_connections(self) -> None:
        for error in (ConnectionResetError(), TimeoutError(), asyncpg.InterfaceError("connection is closed")):
            assert type(store_error(error, "what", committing=True)) is InDoubt
            assert type(store_error(error, "what", committing=False)) is TryAgain
        assert type(store_error(ConnectRefused("no"), "what", committing=True)) is TryAgain
        kept = StoreCorrupt("as it is")
        assert store_error(kept, "what", committing=True) is kept
        with pytest.raises(ZeroDivisionError):
            store_error(ZeroDivisionError(), "what", committing=True)
        assert errors.is_worlds_fault(TimeoutError())

    @opened
    async def test_a_blob_that_is_doomed_while_a_commit_names_it(self, it: Stores) -> None:
        (p,) = await it.topic()
        flush = it.flush(entry(p, 0), blob_id=50, inline=None, new_blob_bytes=10)
        engine = engine_of(it)
        other = await asyncpg.connect(engine.address.url)
        transaction = other.transaction()
        await transaction.start()
        # the row is not committed yet when the append looks for it, and is when it wants to write it
        await other.execute("INSERT INTO blob (blob_id, kind, size, created_ms, doomed_ms) VALUES (50, 0, 0, 1, 1)")
        answer = submit(it.log, flush)
        while not await waiting_for_locks(other):
            await asyncio.sleep(0.01)
        await transaction.commit()
        await other.close()
        assert [result.status for result in await answer] == [3]
        assert (await it.row(p)).end_offset == 0
        assert await it.extents(p) == []
        assert engine.retries >= 1
