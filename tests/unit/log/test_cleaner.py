"""The log cleaner: what goes, what stays, and what it does where others are at work."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from support.aio import run
from support.keyed_log import RULE, KeyedLog, Pair
from support.logs import Log
from support.stores import Stores

from moldau.log import reader, snapshot, transactions
from moldau.log.blob_ids import BlobIds
from moldau.log.cleaner import CleanerLimits
from moldau.log.inspection import Inspection
from moldau.log.refold import Refold
from moldau.log.segment_plan import BuildRule
from moldau.metadata.errors import Conflict
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL
from moldau.records.batch import BatchHeader
from moldau.records.builder import build_batch
from moldau.records.record import Record


def pairs(*keys: str, value: bytes | None = b"v") -> list[Pair]:
    return [(key.encode(), value) for key in keys]


def told(records: list[Record]) -> list[tuple[int, str]]:
    return [(record.offset, (record.key or b"-").decode()) for record in records]


async def opened(it: Stores) -> KeyedLog:
    (p,) = await it.topic()
    return KeyedLog(it, p)


def test_the_last_record_of_each_key_stays_as_it_was(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b", "a", "c"), pairs("b", "d"))
            await log.write(pairs("a", "e"))
            assert await log.compact()
            left = await log.there()
            assert told(left) == [(3, "c"), (4, "b"), (5, "d"), (6, "a"), (7, "e")]
            assert left == [log.writes[record.offset].record for record in left]
            assert await log.cleaned_to() == 8
            assert not await log.compact()  # nothing is dirty

    run(body())


@pytest.mark.parametrize("codec", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("stamped", [False, True])
def test_batches_keep_codec_offsets_timestamps_and_producer(opener: Any, codec: int, stamped: bool) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            how: dict[str, Any] = {"log_append_time": 77} if stamped else {}
            many = [*pairs(*[f"key-{n % 40}" for n in range(100)]), (b"gone", None)]
            await log.write(many, codec=codec, producer_id=9, producer_epoch=3, base_sequence=5, **how)
            await log.write(pairs("key-1", "key-2", "x"), codec=codec)
            assert await log.compact()
            left = await log.there()
            assert left == [log.writes[record.offset].record for record in left]
            assert len(left) == 40 + 1 + 1
            header = BatchHeader((await log.batches())[0])
            assert (header.codec, header.producer_id, header.producer_epoch, header.base_sequence) == (codec, 9, 3, 5)
            assert header.is_log_append_time == stamped
            assert header.delete_horizon_ms == log.log.now + RULE.delete_retention_ms
            assert header.record_count == 38 + 1

    run(body())


def test_a_tombstone_goes_when_its_time_has_come_and_not_before(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b"))
            await log.write(pairs("a", value=None))
            log.log.now += 10_000
            assert await log.compact()
            assert told(await log.there()) == [(1, "b"), (2, "a")]
            log.log.now += RULE.delete_retention_ms - 1
            await log.write(pairs("c"))
            assert await log.compact()
            assert told(await log.there()) == [(1, "b"), (2, "a"), (3, "c")]
            log.log.now += 1
            await log.write(pairs("d"))
            assert await log.compact()
            assert told(await log.there()) == [(1, "b"), (3, "c"), (4, "d")]

    run(body())


def test_records_without_a_key_go(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write([(None, b"1"), (b"a", b"2"), (None, b"3")])
            assert await log.compact()
            assert told(await log.there()) == [(1, "a")]

    run(body())


def test_a_small_memory_means_more_rounds(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            rng = random.Random(1)
            for _ in range(60):
                await log.write(pairs(*[f"{rng.randrange(300)}" for _ in range(20)]), inline=rng.random() < 0.5)
            expected = [r.offset for r in sorted((await log.last_values()).values(), key=lambda r: r.offset)]
            assert await log.compact(limits=CleanerLimits(key_bytes=9000))
            assert log.log.cleaner.rounds >= 4
            assert [record.offset for record in await log.there()] == expected

    run(body())


def test_open_transactions_bound_it_and_aborted_records_go(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b"))
            await log.write(pairs("a", "c"), producer=1)
            await log.write(pairs("b"), producer=2)
            await log.end(1, commit=False)
            await log.write(pairs("b"))
            assert await log.compact()
            assert await log.cleaned_to() == 4, "the transaction of 2 is open"
            assert told(await log.there()) == [(0, "a"), (1, "b"), (4, "b"), (6, "b")]
            await log.end(2, commit=True)
            assert await log.compact()
            assert told(await log.committed()) == [(0, "a"), (6, "b")]

    run(body())


def test_markers_go_as_tombstones_do(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for number in range(6):
                await log.write(pairs("a", f"{number}"), producer=1)
                await log.end(1, commit=number % 2 == 0)
            for _ in range(3):
                await log.write(pairs("z"))
                assert await log.compact()
                assert told(await log.committed()) == [
                    (1, "0"),
                    (7, "2"),
                    (12, "a"),
                    (13, "4"),
                    told(await log.there())[-1],
                ]
                log.log.now += 2000
            assert not any(BatchHeader(batch).is_control for batch in await log.batches())

    run(body())


def test_a_marker_of_an_abort_goes_when_what_was_aborted_is_gone_and_its_time_has_come(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a"), producer=1)
            await log.end(1, commit=False)
            await log.write(pairs("a", "b"), producer=1)
            await log.end(1, commit=True)

            async def markers() -> list[int]:
                return [
                    BatchHeader(batch).base_offset for batch in await log.batches() if BatchHeader(batch).is_control
                ]

            expected = [(2, "a"), (3, "b")]
            for ms, left in ((0, [1, 4]), (RULE.delete_retention_ms - 1, [1, 4]), (1, [])):
                log.log.now += ms
                await log.write(pairs("z"))
                assert await log.compact()
                assert (await markers(), told(await log.committed())[:2]) == (left, expected)
            # who is not told of the range does not wait for its marker; the snapshot forgets it, and the rows agree
            assert await log.log.snapshots.take(log.p) == 8
            state = await it.log.load_partition(log.p)
            assert state is not None
            assert snapshot.unpack(state.snapshot).transactions.aborted == []
            refold = Refold(state, await log.cleaned_to())
            for extent in await log.extents():
                refold.add(extent)
            assert refold.problems() == []
            log.restarted()
            assert told(await log.committed())[:2] == expected

    run(body())


def test_an_inspection_finds_nothing_wrong_with_what_was_compacted(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(4):
                await log.write(pairs("a", f"{n % 2}"), producer=1)
            await log.write(pairs("b"), producer=1)
            await log.end(1, commit=True)
            assert await log.compact()
            assert len(await log.there()) == 4
            inspection = Inspection(it.log, it.maintenance, log.log.blobs)
            assert [problem async for problem in inspection.partition(await it.row(log.p), deep=True)] == []

    run(body())


def test_what_was_aborted_goes_also_where_only_the_rows_remember(opener: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "ABORTED_MAX", 2)

    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(9):
                await log.write(pairs(f"{n}", "x"), producer=n % 2)
                await log.end(n % 2, commit=n % 3 == 0)
            view = await log.log.views.load(log.p)
            assert view is not None
            assert (len(view.producers.transactions.aborted), view.producers.transactions.complete_from) == (2, 18)
            expected = [(0, "0"), (1, "x"), (9, "3"), (10, "x"), (18, "6"), (19, "x")]
            assert told(await log.committed()) == told(await log.committed(200)) == expected
            await log.log.builder.build(log.p, BuildRule(1000, 10_000, 0, 1 << 40))
            assert told(await log.committed(200)) == expected
            assert await log.compact()
            assert told(await log.there()) == told(await log.committed()) == [(0, "0"), (9, "3"), (18, "6"), (19, "x")]

    run(body())


def test_small_results_stay_in_the_store_and_large_ones_become_segments(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(12):
                await log.write([(b"%d" % (n % 3), b"x" * 5000), (b"k%d" % n, b"y" * 60_000)], inline=False)
            assert await log.compact(RULE._replace(segment_bytes=400_000))
            extents = await log.extents()
            assert [extent.kind for extent in extents] == [KIND_SEGMENT, KIND_SEGMENT, *[KIND_WAL] * 3]
            assert sum(extent.length for extent in extents) == (await it.row(log.p)).bytes_total
            for n in range(12):
                await log.write([(b"k%d" % n, b"small")], inline=False)
            assert await log.compact(RULE._replace(segment_bytes=400_000))
            assert [extent.kind for extent in await log.extents()] == [KIND_INLINE, *[KIND_WAL] * 12]
            assert len(await log.there()) == 15
            assert await it.maintenance.live_counts() == []

    run(body())


def test_what_loses_nothing_is_not_written_again(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(5):
                await log.write(pairs(f"{n}"))
            before = await log.extents()
            assert await log.compact()
            assert await log.extents() == before
            assert log.log.cleaner.bytes_written == 0

    run(body())


def test_a_conflict_ends_the_run_and_the_next_one_goes_through(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(30):
                await log.write(pairs("a", f"{n}"))
            real = it.maintenance.replace_extents
            calls = 0

            async def conflict(*args: Any) -> None:
                nonlocal calls
                calls += 1
                if calls == 2:
                    raise Conflict("somebody was here")
                await real(*args)

            it.maintenance.replace_extents = conflict  # type: ignore[method-assign]
            rule = RULE._replace(segment_bytes=700)
            assert not await log.compact(rule)
            assert await log.cleaned_to() == 0
            assert not log.log.cleaner.wants(log.p, rule), "not at once"
            assert await log.compact(rule)
            assert [record.offset for record in await log.there()] == sorted(
                record.offset for record in (await log.last_values()).values()
            )

    run(body())


def test_rows_that_were_merged_under_its_hands_end_the_run(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for n in range(400):
                await log.write(pairs("a", f"{n % 7}"))
            await log.log.snapshots.take(log.p)
            real = it.log.extents_before
            pages = 0

            async def page(partition_id: int, offset: int, limit: int) -> Any:
                nonlocal pages
                pages += 1
                if pages == 2:
                    await log.log.builder.build(log.p, BuildRule(30_000, 40_000, 0, 1 << 40))
                return await real(partition_id, offset, limit)

            it.log.extents_before = page  # type: ignore[method-assign]
            assert not await log.compact()
            assert await log.cleaned_to() == 0
            assert await log.compact()
            assert len(await log.there()) == 8

    run(body())


def test_what_others_have_compacted_counts_as_they_left_it(opener: Any) -> None:
    """A broker that has the partition in memory, and becomes its leader after others have compacted it."""

    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            mine, other = log.log, Log(it, log.log.blobs)
            other.ids = other.cleaner._ids = other.builder._ids = BlobIds(8)
            rule = RULE._replace(min_ratio=0.3)
            for _ in range(20):
                await log.write(pairs("a", "b", "c", value=b"v" * 300))
            log.log = other
            assert await log.compact(rule)
            log.log = mine
            await log.write(pairs("a", "d", value=b"v" * 300))
            assert await log.compact(rule)
            assert told(await log.there()) == [(58, "b"), (59, "c"), (60, "a"), (61, "d")]

    run(body())


def test_a_reader_far_behind_sees_what_others_have_compacted_after_a_while(
    opener: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for _ in range(30):
                await log.write(pairs("a", "b"), inline=False)
            mine, log.log = log.log, Log(it, log.log.blobs)
            log.log.ids = log.log.cleaner._ids = BlobIds(8)
            view = await mine.views.load(log.p)
            assert view is not None
            view.extents.clear()
            view.last_offsets.clear()
            view.tail_start = view.high_watermark  # as of a partition with a long past
            before = await mine.read_all(log.p)
            assert len(before) == 60
            assert await log.compact()
            assert await mine.read_all(log.p) == before
            monkeypatch.setattr(reader, "WINDOW_SECONDS", 0.0)
            assert [offset for offset, *_ in await mine.read_all(log.p)] == [58, 59]

    run(body())


def test_looks_by_time_find_what_is_left(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b"), timestamp=9000)
            await log.write(pairs("c"), timestamp=100)
            await log.write(pairs("a", "b"), timestamp=500)
            assert await log.compact()
            view = await log.log.views.load(log.p)
            assert view is not None
            assert await log.log.lookup.by_timestamp(view, 101) == (3, 500)
            assert await log.log.lookup.by_timestamp(view, 502) is None
            assert await log.log.lookup.max_timestamp(view) == (4, 501)

    run(body())


def test_an_emptied_partition_still_takes_up_its_offsets(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b", value=None))
            assert await log.compact()
            log.log.now += 5000
            await log.write(pairs("a", "b", value=None))
            assert await log.compact()
            log.log.now += 5000
            await log.write(pairs("c"), producer=3)
            await log.end(3, commit=False)
            assert await log.compact()
            assert await log.there() == []
            assert [BatchHeader(batch).is_control for batch in await log.batches()] == [False, True]
            view = await log.log.reloaded(log.p)
            assert (view.log_start_offset, view.high_watermark) == (0, 6)
            await log.write(pairs("d"))
            assert told(await log.there()) == [(6, "d")]

    run(body())


@pytest.mark.parametrize("inline", [True, False])
def test_offsets_that_were_guessed_are_put_right(opener: Any, inline: bool) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            view = await log.log.views.load(log.p)
            assert view is not None
            for n in range(4):
                batch = build_batch(
                    [Record(0, 5, b"a", b"%d" % n), Record(1, 5, b"%d" % n, b"")], base_offset=1000 + n, leader_epoch=9
                )
                await log.log.append_batches(view, 2 * n, bytes(batch), 2, 5, b"", inline=inline)
            assert await log.compact()
            log.log.reader._guesses = (
                True  # as where brokers share their stores: the last extent lost nothing and is as it was
            )
            assert told(await log.there()) == [(1, "0"), (3, "1"), (5, "2"), (6, "a"), (7, "3")]

    run(body())


def test_damage_ends_the_run_for_an_hour(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            view = await log.log.views.load(log.p)
            assert view is not None
            batch = build_batch([Record(0, 5, b"a", b"x"), Record(1, 5, b"a", b"y")], leader_epoch=0)
            batch[-1] ^= 1
            await log.log.append_batches(view, 0, bytes(batch), 2, 5, b"")
            await log.write(pairs("b"))
            assert not await log.compact()
            assert await log.cleaned_to() == 0
            await log.write(pairs("b"))
            log.log.now += 3_599_999
            assert not log.log.cleaner.wants(log.p, RULE)
            log.log.now += 1
            assert log.log.cleaner.wants(log.p, RULE)

    run(body())


def test_a_batch_that_does_not_parse_stays(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            await log.write(pairs("a", "b"))
            view = await log.log.views.load(log.p)
            assert view is not None
            from moldau.records.batch import HEADER_BYTES, pack_header

            batch = bytearray(HEADER_BYTES) + b"\x7f\x01nonsense"
            pack_header(
                batch,
                0,
                len(batch),
                base_offset=2,
                leader_epoch=0,
                attributes=0,
                last_offset_delta=0,
                base_timestamp=0,
                max_timestamp=0,
                producer_id=-1,
                producer_epoch=-1,
                base_sequence=-1,
                record_count=1,
            )
            await log.log.append_batches(view, 2, bytes(batch), 1, 0, b"")
            await log.write(pairs("a"))
            assert await log.compact()
            assert [BatchHeader(each).base_offset for each in await log.batches()] == [0, 2, 3]
            assert bytes(batch) in await log.batches()

    run(body())


def test_while_others_work_it_sleeps_after_each_slice(opener: Any) -> None:
    async def body() -> None:
        async with opener() as it:
            log = await opened(it)
            for _ in range(30):
                await log.write(pairs(*[f"key-{n}" for n in range(300)]))
            pauses: list[float] = []

            async def pause(seconds: float) -> None:
                pauses.append(seconds)
                await asyncio.sleep(0)

            async def others() -> None:
                while True:
                    until = time.thread_time() + 0.0005
                    while time.thread_time() < until:
                        pass
                    await asyncio.sleep(0)

            log.log.cleaner._pause = pause
            at_work = asyncio.create_task(others())
            assert await log.compact()
            at_work.cancel()
            assert len(await log.there()) == 300
            assert len(pauses) >= 10
            assert min(pauses) >= 0.001

    run(body())
