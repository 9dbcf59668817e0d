"""Appends and transactions on PostgreSQL whose connection dies before or after the commit: once each, and told truly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from support.aio import run
from support.postgres import Postgres, waiting_for_locks
from support.stores import Stores, entry, postgres_opener, submit
from support.tcp_proxy import FaultProxy, fault_proxy
from support.transactions import begin, do, markers_of, new, offset, on

from moldau.metadata.errors import StoreUnavailable
from moldau.metadata.postgres.log_store import PostgresLogStore
from moldau.metadata.rows import APPENDED, GONE, KIND_WAL, MOVED, AppendCommit, BlobRow, LockedPartition
from moldau.metadata.rows_txn import COMMITTED, ONGOING, End, TxnChange, TxnRow

Body = Callable[[Stores, FaultProxy, Stores], Coroutine[Any, Any, None]]


class Behind:
    """A store behind a proxy, and the same store without one: another broker."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres = postgres
        self.database = postgres.database()

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[tuple[Stores, FaultProxy, Stores]]:
        async with fault_proxy(self.postgres.port) as proxy:
            url = self.postgres.url(self.database)
            near = postgres_opener(self.postgres.url(self.database, proxy.port) + "?sslmode=disable", **options)
            async with near() as it, postgres_opener(url)() as other:
                yield it, proxy, other

    def run(self, body: Body, **options: Any) -> None:
        async def main() -> None:
            async with self.opened(**options) as (it, proxy, other):
                await body(it, proxy, other)

        run(main())


@pytest.fixture
def behind(postgres: Postgres) -> Behind:
    return Behind(postgres)


async def warm(it: Stores, name: str = "warm") -> None:
    """A connection that knows the statement: from now on a commit is one request and one answer."""
    (p,) = await it.topic(name)
    for n in range(3):
        await it.append(entry(p, n))


def doubts(it: Stores) -> int:
    assert isinstance(it.log, PostgresLogStore)
    return it.log.appends.in_doubt


def test_a_commit_is_one_round_trip_however_many_partitions(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        ids = await it.topic("t", 200)
        before = proxy.requests
        for n in range(10):
            answers = await it.append(*[entry(p, n) for p in ids[: 1 + 20 * n]])
            assert {answer.status for answer in answers} == {APPENDED} if n == 0 else True
        assert proxy.requests - before == 10

    behind.run(body)


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("after", [True, False])
def test_a_connection_that_dies_around_the_commit(behind: Behind, inline: bool, after: bool) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        a, b, c = await it.topic("t", 3)
        (dead,) = await it.topic("dead")
        await it.topics.delete_topic((await it.row(dead)).topic_id, 5)
        await it.append(entry(c, 0, 7))
        how: dict[str, Any] = {"blob_id": 500}
        if not inline:
            await it.log.register_blob(BlobRow(500, KIND_WAL, -1, 0))
            how["inline"] = None
        flush = it.flush(entry(b, 0, 2, position=10), entry(a, 0, 3), entry(dead, 0), entry(c, 0, position=99), **how)
        (proxy.lose_reply if after else proxy.lose_request)()
        answers = await submit(it.log, flush)
        assert [(r.status, r.offset) for r in answers] == [(APPENDED, 0), (APPENDED, 0), (GONE, -1), (MOVED, 7)]
        assert (answers[0].leader_epoch, answers[0].running_max_timestamp) == (0, 100)
        assert doubts(it) == 1
        for p, end in ((a, 3), (b, 2), (c, 7)):
            assert [(e.base_offset, e.last_offset + 1) for e in await it.extents(p)] == [(0, end)]
            assert (await it.row(p)).end_offset == end
        assert await it.maintenance.live_counts() == []

    behind.run(body)


def test_another_broker_goes_on_before_the_lost_reply_is_found_out(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        proxy.lose_reply()
        mine = submit(it.log, it.flush(entry(p, 0, 3), blob_id=500))
        await proxy.lost.wait()
        assert [r.status for r in await other.append(entry(p, 3, 4), blob_id=600)] == [APPENDED]
        assert [(r.status, r.offset) for r in await mine] == [(APPENDED, 0)]
        assert [(e.blob_id, e.base_offset) for e in await it.extents(p)] == [(500, 0), (600, 3)]

    behind.run(body)


def test_another_broker_wins_where_the_request_was_lost(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        proxy.lose_request()
        proxy.refusing = True
        mine = submit(it.log, it.flush(entry(p, 0, 3), blob_id=500))
        await proxy.lost.wait()
        assert [r.status for r in await other.append(entry(p, 0, 3), blob_id=600)] == [APPENDED]
        proxy.refusing = False
        assert [(r.status, r.offset) for r in await mine] == [(MOVED, 3)]
        assert [e.blob_id for e in await it.extents(p)] == [600]
        assert await it.log.read_inline(500) is None

    behind.run(body)


def test_a_statement_that_still_waits_for_a_lock_when_its_connection_dies(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        holder = await asyncpg.connect(behind.postgres.url(behind.database))
        transaction = holder.transaction()
        await transaction.start()
        await holder.fetch("SELECT 1 FROM partition WHERE partition_id = $1 FOR UPDATE", p)
        mine = submit(it.log, it.flush(entry(p, 0, 3), blob_id=500))
        while await waiting_for_locks(holder) < 1:
            await asyncio.sleep(0.01)
        proxy.cut_all()
        while await waiting_for_locks(holder) < 1 or not doubts(it):
            await asyncio.sleep(0.01)
        await transaction.rollback()
        await holder.close()
        assert [(r.status, r.offset) for r in await mine] == [(APPENDED, 0)]
        assert [(e.blob_id, e.last_offset) for e in await it.extents(p)] == [(500, 2)]

    behind.run(body)


def test_what_cannot_be_found_out_in_time_is_told_so(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        proxy.lose_reply()
        mine = submit(it.log, it.flush(entry(p, 0, 3)))
        proxy.refusing = True
        await proxy.lost.wait()
        with pytest.raises(StoreUnavailable):
            await mine
        proxy.cut_all()
        with pytest.raises(StoreUnavailable, match="PostgreSQL"):
            await it.extents(p)
        proxy.refusing = False
        assert [r.status for r in await it.append(entry(p, 0))] == [MOVED], "it had been committed, and this one is new"
        assert len(await other.extents(p)) == 1

    behind.run(body, retry_seconds=0.3)


def test_a_network_that_swallows_everything_is_given_up(behind: Behind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moldau.metadata.postgres.appends.client_timeout", lambda _: 0.2)

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        proxy.stalled = True
        mine = submit(it.log, it.flush(entry(p, 0, 3)))
        while not doubts(it):
            await asyncio.sleep(0.01)
        proxy.stalled = False
        assert [(r.status, r.offset) for r in await mine] == [(APPENDED, 0)]
        assert len(await it.extents(p)) == 1

    behind.run(body)


def test_a_server_that_fell_silent_is_not_asked_on_its_other_connections(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would take as long to find out."""
    monkeypatch.setattr("moldau.metadata.postgres.appends.client_timeout", lambda _: 0.2)

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        ids = await it.topic("t", 4)
        for _ in range(3):  # side by side, so that there are several connections
            ends = [(await it.row(p)).end_offset for p in ids]
            await asyncio.gather(*(submit(it.log, it.flush(entry(p, end))) for p, end in zip(ids, ends, strict=True)))
        assert isinstance(it.log, PostgresLogStore)
        pool = it.log.appends._engine.commit_pool
        before = len(pool._idle)
        assert before > 1
        proxy.stalled = True
        mine = submit(it.log, it.flush(entry(ids[0], 3)))
        while not doubts(it):
            await asyncio.sleep(0.01)
        assert not pool._idle
        proxy.stalled = False
        assert [r.status for r in await mine] == [APPENDED]

    behind.run(body)


def test_a_commit_that_no_standby_confirmed_is_confirmed_before_it_is_told(behind: Behind) -> None:
    postgres = behind.postgres

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        admin = await asyncpg.connect(postgres.url(), server_settings={"synchronous_commit": "local"})

        cancelled: list[int] = []

        async def cancel_wait() -> None:
            sql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid <> ALL ($1)"
            while not (pids := await admin.fetch(sql, cancelled)):
                await asyncio.sleep(0.01)
            cancelled.append(pids[0][0])
            await admin.fetch("SELECT pg_cancel_backend($1)", pids[0][0])

        try:
            await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await admin.execute("SELECT pg_reload_conf()")
            while await admin.fetchval("SHOW synchronous_standby_names") != "nobody":
                await asyncio.sleep(0.01)
            for end in range(0, 1000, 3):  # until the setting acts everywhere
                mine = submit(it.log, it.flush(entry(p, end, 3)))
                if not (await asyncio.wait([mine], timeout=0.1))[0]:
                    break
            await cancel_wait()
            await cancel_wait()  # the barrier, on a connection of its own
            assert not mine.done()
            assert doubts(it) >= 1
        finally:
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()
        assert [(r.status, r.offset) for r in await mine] == [(APPENDED, end)]
        assert (await it.extents(p))[-1].base_offset == end

    behind.run(body)


def test_a_commit_that_waits_for_its_standby_is_never_seen_before(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it gives up and asks again, and must not end the server's wait: the standby may be the next primary, and would not have it."""
    monkeypatch.setattr("moldau.metadata.postgres.appends.client_timeout", lambda _: 0.3)
    postgres = behind.postgres

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await warm(it)
        (p,) = await it.topic()
        admin = await asyncpg.connect(postgres.url(), server_settings={"synchronous_commit": "local"})
        look = await asyncpg.connect(postgres.url(behind.database))
        try:
            await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
            await admin.execute("SELECT pg_reload_conf()")
            for end in range(0, 1000, 3):  # until the setting acts everywhere
                mine = submit(it.log, it.flush(entry(p, end, 3)))
                if not (await asyncio.wait([mine], timeout=0.1))[0]:
                    break
            await asyncio.sleep(1.5)
            assert doubts(it) >= 1
            assert not mine.done()
            assert await look.fetchval("SELECT end_offset FROM partition WHERE partition_id = $1", p) == end
        finally:
            await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
            await admin.execute("SELECT pg_reload_conf()")
            await admin.close()
        assert [(r.status, r.offset) for r in await mine] == [(APPENDED, end)]
        assert await look.fetchval("SELECT end_offset FROM partition WHERE partition_id = $1", p) == end + 3
        await look.close()

    behind.run(body)


def test_a_transaction_is_tried_again_unless_its_commit_is_in_doubt(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, 10))
        await it.log.raise_log_start(p, 1)
        for step in (0, 1):  # BEGIN, the statement
            for lose in (proxy.lose_request, proxy.lose_reply):
                await it.log.raise_log_start(p, 1)  # on a connection that knows the statement
                lose(skip=step)
                assert await it.log.raise_log_start(p, 2) == (2, 10)
        for start, lose in ((3, proxy.lose_request), (4, proxy.lose_reply)):
            await it.log.raise_log_start(p, 1)
            lose(skip=2)  # COMMIT
            with pytest.raises(StoreUnavailable):
                await it.log.raise_log_start(p, start)
        assert (await it.row(p)).log_start_offset == 4

    behind.run(body)


def test_the_writes_of_groups_are_sent_again(behind: Behind) -> None:
    from moldau.metadata.rows_groups import OffsetRow

    def row(offset: int) -> OffsetRow:
        return OffsetRow("g", b"t" * 16, 0, offset, -1, "", 1000, -1)

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        for n in range(3):
            await it.groups.write([], [row(n)], [])
        for n, lose in ((10, proxy.lose_request), (11, proxy.lose_reply)):
            lose()
            await asyncio.gather(*(it.groups.write([], [row(n * 10 + k)], []) for k in range(5)))
            assert await other.groups.fetch_offsets("g", None) == [row(n * 10 + 4)]

    behind.run(body)


@pytest.mark.parametrize("after", [True, False])
def test_the_end_of_a_transaction_is_asked_for_again(behind: Behind, after: bool) -> None:
    """BEGIN, the row, what takes part, the end: tried again. COMMIT: whoever asks again sees what became of it."""

    def end(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange | None:
        assert row is not None
        if row.state != ONGOING:
            return None
        return TxnChange(row._replace(state=COMMITTED), end=End(True, row.producer_id, row.epoch))

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        a, b = await it.topic("t", 2)
        lose = proxy.lose_reply if after else proxy.lose_request
        for n in range(3):  # the connection knows all statements
            await begin(it, "t", [a, b], [offset(n)], epoch=n)
            await it.txns.change("t", end)
        for step in range(5):
            await begin(it, "t", [a, b], [offset(10 + step)], epoch=10 + step)
            before = (await other.row(a)).end_offset
            lose(skip=step)
            if step < 4:
                assert len((await it.txns.change("t", end)).markers) == 2
            else:
                with pytest.raises(StoreUnavailable):
                    await it.txns.change("t", end)
                again = await it.txns.change("t", end)
                assert len(again.markers) == (0 if after else 2)
                assert again.row == on("t", state=COMMITTED, epoch=10 + step)
            assert (await other.row(a)).end_offset == before + 1
            assert [row.offset for row in await other.groups.fetch_offsets("g", None)] == [10 + step]
            await begin(it, "t", [])  # on whichever connection: it knows the statements again
            await it.txns.change("t", end)
        for p in (a, b):
            assert [marker.producer_epoch for marker in await markers_of(other, p)] == [0, 1, 2, 10, 11, 12, 13, 14]
        assert await other.maintenance.live_counts() == []

    behind.run(body)


@pytest.mark.parametrize("after", [True, False])
def test_the_first_change_of_an_id_is_asked_for_again(behind: Behind, after: bool) -> None:
    def bump(row: TxnRow | None, partitions: frozenset[int], now: int) -> TxnChange:
        return TxnChange(new("t") if row is None else row._replace(epoch=row.epoch + 1))

    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        await it.txns.change("warm", do(new("warm")))
        (proxy.lose_reply if after else proxy.lose_request)(
            skip=4
        )  # BEGIN, the row, what takes part, the new row, COMMIT
        with pytest.raises(StoreUnavailable):
            await it.txns.change("t", bump)
        changed = await it.txns.change("t", bump)
        assert changed.row == new("t", epoch=1 if after else 0)

    behind.run(body)


def test_a_read_is_asked_again(behind: Behind) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        (p,) = await it.topic()
        await it.append(entry(p, 0, 10))
        for lose in (proxy.lose_request, proxy.lose_reply):
            lose()
            assert (await it.row(p)).end_offset == 10
            lose(skip=1)
            extent = await it.log.extent_by_time(p, 5)
            assert extent is not None
            assert len(await it.maintenance.partition_heads(0, 9)) == 1

    behind.run(body)


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("overtaken", [True, False])
def test_a_commit_under_locks_whose_reply_is_lost(behind: Behind, after: bool, overtaken: bool) -> None:
    async def body(it: Stores, proxy: FaultProxy, other: Stores) -> None:
        a, b = await it.topic("t", 2)
        await other.append(entry(a, 0, 3))
        decided: list[list[int]] = []

        def decide(locked: list[LockedPartition]) -> AppendCommit:
            ends = [each.row.end_offset for each in locked]
            decided.append(ends)
            if len(decided) == 2:
                # the statement that follows is answered; after it comes COMMIT
                (proxy.lose_reply if after else proxy.lose_request)(1)
            return it.flush(
                *[entry(p, end, 2, position=40) for p, end in zip((a, b), ends, strict=True)],
                blob_id=600 + len(decided),
            )

        await it.log.append_locked({a: 0, b: 0}, -1, decide)  # from now on each statement is one request
        mine = asyncio.create_task(it.log.append_locked({a: 0, b: 0}, -1, decide))
        await proxy.lost.wait()
        if overtaken:
            while (await other.append(entry(b, (await other.row(b)).end_offset)))[0].status != APPENDED:
                pass
        answers = await mine
        assert [r.status for r in answers] == [APPENDED, APPENDED]
        assert doubts(it) == 1
        assert len(decided) == (2 if after else 3)
        assert [r.offset for r in answers] == decided[-1]
        ours = [(e.base_offset, e.blob_id) for p in (a, b) for e in await it.extents(p) if e.blob_id > 600]
        assert [base for base, blob_id in ours if blob_id == 600 + len(decided)] == decided[-1]
        assert not any(blob_id == 602 for _, blob_id in ours) or after

    behind.run(body)
