"""Brokers that share their stores append to the same partitions: one order, no loss, no duplicate, and no refusal decided on a stale view."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from support.aio import Opener, run
from support.postgres import Postgres
from support.shared import Broker, SlowBlobs, hammer, persistent
from support.stores import Stores, memory_opener, postgres_opener, topic_id
from support.tcp_proxy import fault_proxy

from moldau import faults
from moldau.log.sections import NO_BLOB, unpack_header
from moldau.log.storage import AUTO, EXPRESS, STANDARD, AppendRules, Storage
from moldau.metadata.postgres.engine import PostgresEngine
from moldau.metadata.rows import KIND_INLINE, KIND_WAL
from moldau.protocol import error_codes

Body = Callable[[Stores, SlowBlobs, Broker, Broker], Coroutine[Any, Any, None]]


def two(opener: Opener, body: Body, mode: str = EXPRESS, **rules: int) -> None:
    """Two brokers over the same stores."""

    async def main() -> None:
        async with opener() as it:
            blobs = SlowBlobs()
            brokers = [
                Broker(it, number, blobs, mode, AppendRules(**{"upload_linger_ms": 1, **rules})) for number in (10, 20)
            ]
            await asyncio.wait_for(body(it, blobs, *brokers), 20)

    run(main())


def memory(body: Body, mode: str = EXPRESS, **rules: int) -> None:
    two(memory_opener(), body, mode, **rules)


# -- many at once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD, AUTO])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_all_at_once(opener: Opener, mode: str, count: int) -> None:
    async def main() -> None:
        async with opener() as it:
            blobs = SlowBlobs()
            rules = AppendRules(inline_max_bytes=2000, upload_linger_ms=1, fast_bytes_per_second=20_000)
            brokers = [Broker(it, 10 * n, blobs, mode, rules) for n in range(1, count + 1)]
            await asyncio.wait_for(hammer(brokers, await it.topic("t", 2), count), 60)

    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("mode", [EXPRESS, STANDARD, AUTO])
@pytest.mark.parametrize("count", [2, 3])
def test_all_at_once_on_postgresql(postgres: Postgres, mode: str, count: int) -> None:
    """Each broker with connections of its own."""

    async def main() -> None:
        url = postgres.url(postgres.database())
        opener = postgres_opener(url)
        async with opener() as one, opener() as other, opener() as third:
            blobs = SlowBlobs()
            rules = AppendRules(inline_max_bytes=2000, upload_linger_ms=5, fast_bytes_per_second=20_000)
            stores = [one, other, third][:count]
            brokers = [Broker(it, 10 * n, blobs, mode, rules) for n, it in enumerate(stores, 1)]
            await asyncio.wait_for(hammer(brokers, await one.topic("t", 2), count), 60)
            assert sum(broker.store.locked for broker in brokers)

    run(main())


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD, AUTO])
def test_stores_that_leave_everything_in_doubt(opener: Opener, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with opener() as it:
            blobs = SlowBlobs()
            chance = random.Random(mode)
            rules = AppendRules(inline_max_bytes=2000, upload_linger_ms=1, fast_bytes_per_second=20_000)
            brokers = [Broker(it, 10 * n, blobs, mode, rules) for n in (1, 2)]

            async def trouble() -> None:
                while True:
                    store = chance.choice(brokers).store
                    store.doubts, store.happens = chance.randint(0, 1), chance.random() < 0.5
                    blobs.failures, blobs.stored = chance.choice((0, 0, 1, 4)), chance.random() < 0.5
                    await asyncio.sleep(0.002)

            job = asyncio.create_task(trouble())
            tries = await asyncio.wait_for(persistent(brokers, await it.topic("t", 2), 1), 60)
            job.cancel()
            assert tries

    monkeypatch.setattr("moldau.log.uploads._PAUSE_SECONDS", 0.001)
    run(main())


@pytest.mark.slow
@pytest.mark.parametrize("mode", [EXPRESS, STANDARD])
def test_connections_to_postgresql_that_die_again_and_again(postgres: Postgres, mode: str) -> None:
    async def main() -> None:
        async with fault_proxy(postgres.port) as proxy:
            database = postgres.database()
            far = postgres_opener(postgres.url(database, proxy.port) + "?sslmode=disable")
            async with far() as one, postgres_opener(postgres.url(database))() as other:
                blobs = SlowBlobs()
                brokers = [Broker(it, 10 * n, blobs, mode) for n, it in enumerate((one, other), 1)]
                chance = random.Random(3)

                async def trouble() -> None:
                    for _ in range(6):
                        await asyncio.sleep(0.2)
                        chance.choice((proxy.cut_all, proxy.lose_reply, proxy.lose_reply, proxy.lose_request))()

                job = asyncio.create_task(trouble())
                seed = 0
                while not job.done():
                    seed += 1
                    await asyncio.wait_for(persistent(brokers, await other.topic(str(seed), 2), seed), 40)
                assert isinstance(one.engine, PostgresEngine)
                assert one.engine.retries

    run(main())


# -- producers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD])
def test_a_producer_that_moves_to_the_other_broker(opener: Opener, mode: str) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await other.views.load(p)
        assert [await one.append(p, b"%d" % n, producer=(5, 0, n)) for n in range(3)] == [(0, 0), (0, 1), (0, 2)]
        assert one.told == {p: 3}
        # its view is empty: without a look at the store the sequence would be out of order
        assert await other.append(p, b"3", producer=(5, 0, 3)) == (0, 3)
        assert await other.append(p, b"2", producer=(5, 0, 2)) == (0, 2)  # a retry of what the other one committed
        assert (await other.append(p, b"9", producer=(5, 0, 9)))[0] == error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await one.append(p, b"4", producer=(5, 1, 0)) == (0, 4)
        assert (await other.append(p, b"x", producer=(5, 0, 4)))[0] == error_codes.INVALID_PRODUCER_EPOCH
        assert await one.read(p) == [(n, b"%d" % n) for n in range(5)]

    two(opener, body, mode)


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD])
def test_a_refused_batch_does_not_drag_the_others_down(opener: Opener, mode: str) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        sent = [(5, 0, 0), (6, 0, 0), (5, 0, 1), (5, 0, 7), (6, 0, 1), (5, 0, 1), (5, 0, 2), (-1, -1, -1)]
        answers = await asyncio.gather(*[one.begin(p, b"%d" % n, producer=each) for n, each in enumerate(sent)])
        refused = error_codes.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert answers == [(0, 0), (0, 1), (0, 2), (refused, -1), (0, 3), (0, 2), (0, 4), (0, 5)]
        assert await other.read(p) == [(0, b"0"), (1, b"1"), (2, b"2"), (3, b"4"), (4, b"6"), (5, b"7")]
        assert len(blobs.puts) == (mode == STANDARD)

    two(opener, body, mode)


def test_a_repeated_batch_waits_for_the_one_that_is_being_stored() -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        gate = asyncio.Event()
        blobs.before = lambda _: gate.wait()
        first = one.begin(p, b"a", b"b", producer=(5, 0, 0))
        await turns()
        one.mode = EXPRESS
        again = one.begin(p, b"a", b"b", producer=(5, 0, 0))
        await turns()
        assert not first.done()
        assert not again.done()
        gate.set()
        assert (await first, await again) == ((0, 0), (0, 0))
        assert await one.read(p) == [(0, b"a"), (1, b"b")]

    memory(body, STANDARD)


def test_a_race_that_is_lost_is_won_under_locks(opener: Opener) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        for n in range(3):
            await other.append(p, b"other%d" % n)
        assert await one.append(p, b"one") == (0, 3)
        assert (one.appender.lost_races, one.store.locked, one.store.most_lost) == (1, 1, 1)
        view = one.views.get(p)
        assert view is not None
        assert (view.high_watermark, len(view.extents)) == (4, 4)
        assert one.refresher.caught_up == 3
        assert await one.append(p, b"two") == (0, 4)  # still with locks
        assert await one.append(p, b"three") == (0, 5)  # nobody else wrote
        assert one.store.locked == 2
        assert [value for _, value in await one.read(p, fresh=False)] == [
            b"other0",
            b"other1",
            b"other2",
            b"one",
            b"two",
            b"three",
        ]

    two(opener, body)


def test_who_is_too_far_behind_for_the_locks_catches_up_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from moldau.metadata.memory import log_store

    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        for n in range(5):
            await other.append(p, b"%d" % n, producer=(5, 0, n))
        assert await one.append(p, b"5", producer=(5, 0, 5)) == (0, 5)
        assert one.store.locked == 2

    monkeypatch.setattr(log_store, "LOCKED_EXTENTS_MAX", 3)
    memory(body)


def test_a_refusal_under_locks() -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        assert await one.append(p, b"0", producer=(5, 0, 0)) == (0, 0)
        assert await other.append(p, b"1", producer=(5, 1, 0)) == (0, 1)
        futures = [one.begin(p, b"x", producer=(5, 0, 1)), one.begin(p, b"y", producer=(5, 1, 1)), one.begin(p, b"z")]
        answers = [await future for future in futures]
        assert answers == [(error_codes.INVALID_PRODUCER_EPOCH, -1), (0, 2), (0, 3)]

    memory(body)


# -- where the bytes go -----------------------------------------------------------------------------------------------


def test_small_ones_ride_along_and_large_ones_do_not(opener: Opener) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        p, q = await it.topic("t", 2)
        await one.views.load(p)
        await one.views.load(q)
        assert await asyncio.gather(one.append(p, b"a"), one.append(q, b"b"), one.append(p, b"c" * 2000)) == [
            (0, 0),
            (0, 0),
            (0, 1),
        ]
        assert [extent.kind for extent in await it.extents(p)] == [KIND_INLINE, KIND_WAL]
        assert [len(commit.entries) for commit in one.store.commits] == [2, 1]
        assert (await it.maintenance.blobs())[0].size == blobs.puts[0]

    two(opener, body, inline_max_bytes=1000)


def test_an_object_explains_itself() -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        p, q = await it.topic("t", 2)
        await other.append(p, b"before")
        await asyncio.gather(*[one.append(each, b"%d" % n) for n, each in enumerate((p, q, p, p))])
        extents = [*await it.extents(p), *await it.extents(q)]
        (blob,) = {extent.blob_id for extent in extents if extent.blob_id >> 32 == 10}
        data = await blobs.read(blob, 0, blobs.puts[-1])
        section = unpack_header(data, NO_BLOB)
        assert section.size == len(data)
        assert [(row[0], row[1]) for row in section.table] == [(p, 1), (q, 0)]
        assert one.appender.lost_races == 0
        assert sum(extent.length for extent in extents[1:]) == sum(row[2] for row in section.table)

    memory(body, STANDARD)


@pytest.mark.parametrize("stale", [False, True])
def test_guessed_offsets_are_put_right_by_readers(opener: Opener, stale: bool) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        for n in range(4):
            await other.append(p, b"%d" % n)
        assert await asyncio.gather(*[one.begin(p, b"4", b"5"), one.begin(p, b"6")]) == [(0, 4), (0, 6)]
        for broker in (one, other):
            assert await broker.read(p, fresh=stale or broker is other) == [(n, b"%d" % n) for n in range(7)]

    two(opener, body, STANDARD)


def test_order_is_kept_while_a_topic_changes_its_storage(opener: Opener) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        futures = []
        for n in range(120):
            one.mode = (EXPRESS, STANDARD)[n // 7 % 2]
            futures.append(one.begin(p, b"%d" % n, producer=(5, 0, n)))
            if n % 3 == 0:
                await asyncio.sleep(0)
        assert await asyncio.gather(*futures) == [(0, n) for n in range(120)]
        assert await other.read(p) == [(n, b"%d" % n) for n in range(120)]
        one.mode = EXPRESS
        await one.append(p, b"last")
        assert (await it.extents(p))[-1].kind == KIND_INLINE

    two(opener, body)


def test_a_mebibyte_is_put_at_once_and_little_lingers() -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        ids = await it.topic("t", 4)
        gate = asyncio.Event()
        blobs.before = lambda _: gate.wait()
        for p in ids:
            await one.views.load(p)
        futures = [one.begin(p, b"x" * 600_000) for p in ids]
        await turns()
        # all of them are one object: they came in one turn
        assert [size // 600_000 for size in blobs.puts] == [4]
        futures.append(one.begin(ids[0], b"little"))
        await turns()
        assert len(blobs.puts) == 1
        futures += [one.begin(ids[1], b"y" * 1_100_000)]
        await turns()
        assert len(blobs.puts) == 2
        futures += [one.begin(ids[1], b"z" * 1_100_000)]
        await turns()
        assert len(blobs.puts) == 2  # two are under way: it waits for more
        assert one.appender.pending_batches == 7
        assert one.appender.pending_bytes > 4_600_000
        gate.set()
        answers = await asyncio.gather(*futures)
        assert [code for code, _ in answers] == [0] * 7
        assert [offset for _, offset in answers] == [0, 0, 0, 0, 1, 1, 2]
        assert (one.appender.pending_bytes, one.appender.idle, blobs.most) == (0, True, 2)

    memory(body, STANDARD, upload_linger_ms=3_600_000)


def test_uploads_overlap_and_are_bounded() -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        gates = [asyncio.Event() for _ in range(6)]
        ids: list[int] = []

        async def before(blob_id: int) -> None:
            ids.append(blob_id)
            await gates[len(ids) - 1].wait()

        blobs.before = before
        futures = [one.begin(p, b"%d" % n * 600) for n in range(6)]
        await turns()
        assert blobs.running == 3
        for gate in gates[1:]:
            gate.set()
        await turns(20)
        assert len(blobs.puts) == 6
        assert not any(future.done() for future in futures)  # the first is still being put
        gates[0].set()
        assert await asyncio.gather(*futures) == [(0, n) for n in range(6)]
        assert [value[:1] for _, value in await one.read(p)] == [b"%d" % n for n in range(6)]

    memory(body, STANDARD, upload_max_bytes=500, uploads_max=3)


# -- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
def test_a_put_that_fails_is_made_again(opener: Opener, stored: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        blobs.failures, blobs.stored = 2, stored
        assert await one.append(p, b"a") == (0, 0)
        assert len(blobs.puts) == 3
        assert await other.read(p) == [(0, b"a")]

    monkeypatch.setattr("moldau.log.uploads._PAUSE_SECONDS", 0.001)
    two(opener, body, STANDARD)


def test_a_put_that_goes_on_failing_is_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        gate = asyncio.Event()

        async def before(_: int) -> None:
            await (gate.wait() if len(blobs.puts) == 1 else asyncio.sleep(0))

        blobs.before = before
        told: list[int] = []
        futures = []
        for n in range(4):
            future = one.begin(p, b"%d" % n * 600, producer=(5, 0, n))
            future.add_done_callback(lambda _, n=n: told.append(n))
            futures.append(future)
        await turns(20)
        blobs.failures = 3  # of the first, which is still under way
        gate.set()
        answers = await asyncio.gather(*futures)
        assert told == [0, 1, 2, 3]
        # this partition does not know the producer, which may begin anywhere, but not behind a batch that it has to send again
        assert answers == [(error_codes.KAFKA_STORAGE_ERROR, -1)] * 4
        again = [one.begin(p, b"%d" % n * 600, producer=(5, 0, n)) for n in range(4)]
        assert await asyncio.gather(*again) == [(0, 0), (0, 1), (0, 2), (0, 3)]

    monkeypatch.setattr("moldau.log.uploads._PAUSE_SECONDS", 0.001)
    memory(body, STANDARD, upload_max_bytes=500)


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD])
@pytest.mark.parametrize("happens", [False, True])
def test_a_commit_in_doubt(opener: Opener, mode: str, happens: bool) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        assert await one.append(p, b"a", producer=(5, 0, 0)) == (0, 0)
        one.store.doubts, one.store.happens = 1, happens
        assert await one.append(p, b"b", producer=(5, 0, 1)) == (error_codes.KAFKA_STORAGE_ERROR, -1)
        assert one.views.get(p) is None
        assert await one.append(p, b"b", producer=(5, 0, 1)) == (0, 1)
        assert await one.append(p, b"c", producer=(5, 0, 2)) == (0, 2)
        assert await other.read(p) == [(0, b"a"), (1, b"b"), (2, b"c")]

    two(opener, body, mode)


@pytest.mark.parametrize("happens", [False, True])
def test_a_commit_under_locks_in_doubt(opener: Opener, happens: bool) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        await one.views.load(p)
        await other.append(p, b"a", producer=(5, 0, 0))
        await one.append(p, b"b", producer=(5, 0, 1))  # from now on with locks
        one.store.doubts, one.store.happens = 1, happens
        assert await one.append(p, b"c", producer=(5, 0, 2)) == (error_codes.KAFKA_STORAGE_ERROR, -1)
        assert one.views.get(p) is None
        assert await one.append(p, b"c", producer=(5, 0, 2)) == (0, 2)
        assert await other.read(p) == [(0, b"a"), (1, b"b"), (2, b"c")]
        assert one.store.locked >= 2

    two(opener, body)


@pytest.mark.parametrize("contended", [False, True])
def test_a_view_that_is_caught_up_before_the_answer_of_our_own_commit(opener: Opener, contended: bool) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        view = await one.views.load(p)
        assert view is not None
        if contended:
            await other.append(p, b"-")
            await one.append(p, b"-")
        start = view.high_watermark
        one.store.hold()
        answer = one.begin(p, b"a", producer=(5, 0, 0))
        await one.store.held.wait()
        await other.append(p, b"b")
        assert await one.refresher.refresh(p) is view
        assert view.high_watermark == start + 2
        assert not answer.done()
        one.store.release()
        assert await answer == (0, start)
        assert await one.append(p, b"a", producer=(5, 0, 0)) == (0, start)
        assert await one.append(p, b"c", producer=(5, 0, 1)) == (0, start + 2)
        assert view is one.views.get(p)
        expected = [(n, b"-") for n in range(start)] + [(start + n, b"abc"[n : n + 1]) for n in range(3)]
        assert await one.read(p, fresh=False) == await other.read(p) == expected

    two(opener, body)


@pytest.mark.parametrize("point", ["log.append.commit", "log.append.committed", "log.upload.put", "log.upload.stored"])
def test_a_fault_at_each_point(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        faults.arm(f"{point}=fail")
        try:
            first = await one.append(p, b"a", producer=(5, 0, 0))
        finally:
            faults.arm("")
        assert first == (error_codes.KAFKA_STORAGE_ERROR, -1)
        assert await one.append(p, b"a", producer=(5, 0, 0)) == (0, 0)
        assert await other.read(p) == [(0, b"a")]

    monkeypatch.setattr("moldau.log.uploads._PAUSE_SECONDS", 0.001)
    memory(body, STANDARD)


def test_an_object_that_was_collected_before_its_commit_is_put_again(opener: Opener) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        p, q = await it.topic("t", 2)
        await one.views.load(p)
        await one.views.load(q)

        async def before(blob_id: int) -> None:
            if len(blobs.puts) == 1:
                assert await it.maintenance.doom_orphans([blob_id], 5) == [blob_id]

        blobs.before = before
        answers = await asyncio.gather(one.append(p, b"a"), one.append(q, b"b"), one.append(p, b"c"))
        assert answers == [(0, 0), (0, 0), (0, 1)]
        assert len(blobs.puts) == 2
        assert await other.read(p) == [(0, b"a"), (1, b"c")]
        assert await it.maintenance.live_counts() == []

    two(opener, body, STANDARD)


@pytest.mark.parametrize("mode", [EXPRESS, STANDARD])
@pytest.mark.parametrize("contended", [False, True])
def test_a_topic_that_is_deleted_meanwhile(opener: Opener, mode: str, contended: bool) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        (stays,) = await it.topic("stays")
        await one.append(p, b"a")
        if contended:
            await other.append(p, b"b")
            await one.append(p, b"c")
        await it.topics.delete_topic(topic_id("t"), 5)
        futures = [one.begin(p, b"x"), one.begin(stays, b"y"), one.begin(p, b"z")]
        gone = (error_codes.UNKNOWN_TOPIC_OR_PARTITION, -1)
        assert await asyncio.gather(*futures) == [gone, (0, 0), gone]
        assert one.views.get(p) is None
        assert one.appender.idle

    two(opener, body, mode)


def test_a_store_that_went_back(caplog: pytest.LogCaptureFixture) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        (p,) = await it.topic()
        for n in range(3):
            await one.append(p, b"%d" % n)
        state = it.log._state  # type: ignore[attr-defined]
        state.partitions[p].end_offset = 2
        del state.extents[p][2:]
        assert await one.append(p, b"new") == (0, 2)
        assert one.refresher.went_back == 1
        assert await other.read(p) == [(0, b"0"), (1, b"1"), (2, b"new")]

    memory(body)
    assert "event=store_went_back" in caplog.text


def test_an_answer_that_fails_does_not_stop_the_others() -> None:
    async def main() -> None:
        stray: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: stray.append(context))
        async with memory_opener()() as it:
            one = Broker(it, 10, SlowBlobs(), EXPRESS)
            (p,) = await it.topic()
            await one.views.load(p)
            future = one.begin(p, b"a")
            future.cancel()  # `set_result` raises
            assert await one.append(p, b"b") == (0, 1)
        assert [context["message"] for context in stray] == ["an answer to an append failed"]

    asyncio.run(main())


# -- the end ----------------------------------------------------------------------------------------------------------


def test_drain_lets_nothing_linger(opener: Opener) -> None:
    async def body(it: Stores, blobs: SlowBlobs, one: Broker, other: Broker) -> None:
        p, q = await it.topic("t", 2)
        await one.views.load(p)
        await one.views.load(q)
        futures = [one.begin(each, b"%d" % n) for n in range(5) for each in (p, q)]
        await turns()
        assert not blobs.puts
        await one.appender.drain()
        assert [future.result() for future in futures] == [(0, n // 2) for n in range(10)]
        assert one.appender.idle
        await one.appender.drain()

    two(opener, body, STANDARD, upload_linger_ms=3_600_000)


# -- express or standard ----------------------------------------------------------------------------------------------


def test_a_fast_topic_becomes_standard_and_express_again() -> None:
    storage = Storage(lambda _: AUTO, AppendRules(inline_max_bytes=50_000, fast_bytes_per_second=100_000))
    chosen = [storage.is_express(b"t", 10_000, 0, n * 0.05) for n in range(60)]
    assert chosen[0]
    assert not chosen[-1]
    assert storage.is_express(b"other", 10_000, 0, 3.0)
    assert not storage.is_express(b"other", 10_000, 45_000, 3.0)
    assert not storage.is_express(b"t", 1, 0, 3.5)
    assert storage.is_express(b"t", 1, 0, 6.5)
    for mode, expected in ((EXPRESS, [True, False]), (STANDARD, [False, False])):
        fixed = Storage(lambda _, mode=mode: mode, AppendRules(inline_max_bytes=50_000))
        assert [fixed.is_express(b"t", size, 1 << 30, 0) for size in (50_000, 50_001)] == expected


async def turns(count: int = 6) -> None:
    """Of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
