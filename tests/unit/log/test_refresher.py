"""Two brokers over the same stores: what one writes the other sees when it asks."""

from __future__ import annotations

import asyncio

import pytest
from support.aio import Opener, run
from support.logs import Log
from support.stores import memory_opener

from moldau.log import refresher as module
from moldau.log.refresher import Refresher
from moldau.log.tail_cache import TailCache
from moldau.records.batch import iter_headers


def pair(it: object) -> tuple[Log, Log, Refresher]:
    one = Log(it)  # type: ignore[arg-type]
    two = Log(it, one.blobs)  # type: ignore[arg-type]
    one.ids.add(100)
    two.ids.add(200)
    for _ in range(1000):
        two.ids.take()
    return one, two, Refresher(two.it.log, two.views)


def test_a_view_catches_up(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            (p,) = await it.topic()
            view = await two.views.load(p)
            assert view is not None
            woken: list[int] = []
            view.waiters.add(lambda view: woken.append(view.high_watermark))
            await one.append(p, [b"a", b"b"], producer=(5, 0, 0))
            await one.append(p, [b"c"], producer=(5, 0, 2))
            assert view.high_watermark == 0
            assert await refresher.refresh(p) is view
            assert (view.high_watermark, view.next_offset, woken, refresher.caught_up) == (3, 3, [3], 2)
            assert await two.read_all(p) == [(0, b"a"), (1, b"b"), (2, b"c")]
            fresh = await Log(it, one.blobs).views.load(p)
            assert fresh is not None
            assert (view.bytes_total, view.max_timestamp) == (fresh.bytes_total, fresh.max_timestamp)
            await two.append(p, [b"d"], producer=(5, 0, 3))  # the sequence is known here now
            assert two.it is one.it

    run(main())


def test_one_that_gives_up_disturbs_no_other(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            (p,) = await it.topic()
            await two.views.load(p)
            await one.append(p, [b"a"])
            asking = [asyncio.ensure_future(refresher.refresh(p)) for _ in range(3)]
            for _ in range(3):
                await asyncio.sleep(0)
            asking[0].cancel()
            first, *others = await asyncio.gather(*asking, return_exceptions=True)
            assert isinstance(first, asyncio.CancelledError)
            assert [getattr(view, "high_watermark", view) for view in others] == [1, 1]

    run(main())


def test_polling_finds_ends_log_starts_and_deaths(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            p, q = await it.topic("t", 2)
            await one.append(p, [b"a", b"b", b"c"])
            views = [await two.views.load(each) for each in (p, q)]
            await it.log.raise_log_start(p, 2)
            await one.append(q, [b"x"])
            await refresher.poll()
            assert [(view.log_start_offset, view.high_watermark) for view in views if view] == [(2, 3), (0, 1)]
            await it.topics.delete_topic(b"t".ljust(16, b"\0"), 5)
            await refresher.poll()
            assert two.views.get(p) is None
            assert await refresher.refresh(p) is None

    run(main())


def test_a_view_that_is_far_behind_is_built_anew(opener: Opener, monkeypatch: object) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            (p,) = await it.topic()
            view = await two.views.load(p)
            for _ in range(4):
                await one.append(p, [b"a"])
            fresh = await refresher.refresh(p)
            assert fresh is not None
            assert fresh is not view
            assert fresh.high_watermark == 4

    monkeypatch.setattr(module, "_EXTENTS_MAX", 3)  # type: ignore[attr-defined]
    run(main())


def test_rows_that_somebody_read_anyway_are_taken_over(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            (p,) = await it.topic()
            view = await two.views.load(p)
            assert view is not None
            for n in range(4):
                await one.append(p, [b"%d" % n])
            row, extents = await it.row(p), await it.extents(p)
            await it.log.raise_log_start(p, 1)
            later = await it.row(p)
            early = extents[:2]
            row.end_offset = 2
            assert refresher.take_over(row, early) is view
            assert view.high_watermark == 2
            assert refresher.take_over(later, extents) is view  # of which two are known
            assert (view.high_watermark, view.log_start_offset, refresher.caught_up) == (4, 1, 4)
            assert refresher.take_over(row, early) is view  # older than what is known
            assert view.high_watermark == 4
            await one.append(p, [b"4"])
            await one.append(p, [b"5"])
            assert refresher.take_over(await it.row(p), (await it.extents(p))[5:]) is None  # 4 is missing
            assert two.views.get(p) is None
            assert refresher.take_over(await it.row(p), []) is None

    run(main())


def test_a_store_that_went_back_is_told_loudly(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with memory_opener()() as it:
            one, two, refresher = pair(it)
            (p,) = await it.topic()
            await one.append(p, [b"a", b"b"])
            view = await two.views.load(p)
            it.log._state.partitions[p].end_offset = 1
            await refresher.poll()
            assert (two.views.get(p), refresher.went_back) == (None, 1)
            assert view is not None
            assert view.dropped

    run(main())
    assert "event=store_went_back" in caplog.text


def test_hints_and_askers_share_a_query(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            ids = await it.topic("t", 5)
            for each in ids:
                await two.views.load(each)
                await one.append(each, [b"a"])
            queries = 0
            changed = it.log.changed

            async def counted(seen: list[object]) -> object:
                nonlocal queries
                queries += 1
                return await changed(seen)

            refresher._store = type(
                "Counted", (), {"changed": staticmethod(counted), "extents_from": staticmethod(it.log.extents_from)}
            )()  # type: ignore[assignment]
            for each in ids:
                refresher.hint(each, 1)
                refresher.hint(each, 0)
            refresher.hint(999, 1)
            views = await asyncio.gather(*map(refresher.refresh, ids))
            assert [view.high_watermark for view in views if view] == [1] * 5
            assert queries == 2  # of those who only hinted, and of those who asked after that

    run(main())


def test_batches_of_others_between_cached_ones_are_not_passed_over(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            one, two, refresher = pair(it)
            cache = two.views.cache = two.cache = TailCache(1 << 20)
            two.reader._cache = cache
            (p,) = await it.topic()
            view = await two.views.load(p)
            assert view is not None

            async def own(value: bytes) -> None:
                base = await two.append(p, [value])
                extent = view.extents[-1]
                cache.add(view, base, bytearray(await two.reader.extent_bytes(extent)))

            await own(b"a")
            await one.views.load(p)
            await one.append(p, [b"b"])
            await refresher.refresh(p)
            await own(b"c")
            assert await two.read_all(p) == [(0, b"a"), (1, b"b"), (2, b"c")]
            assert cache.read(view, 0, 1 << 20, True) is None
            cached = cache.read(view, 2, 1 << 20, True)
            assert cached is not None
            assert [header.base_offset for _, header in iter_headers(cached[0][0])] == [2]

    run(main())


def test_who_asks_hears_of_an_error_of_any_kind(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            _, two, refresher = pair(it)
            (p,) = await it.topic()
            await two.views.load(p)

            async def refuses(seen: object) -> object:
                raise ValueError("a row that cannot be")

            refresher._store = type("Damaged", (), {"changed": staticmethod(refuses)})()  # type: ignore[assignment]
            refresher.hint(p, 1)
            with pytest.raises(ValueError, match="cannot be"):
                await asyncio.wait_for(refresher.refresh(p), 5)

    run(main())


def test_without_a_shared_store_nothing_is_asked(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            _, two, _ = pair(it)
            (p,) = await it.topic()
            alone = Refresher(None, two.views)
            view = await alone.refresh(p)
            alone.hint(p, 9)
            assert (view is two.views.get(p), alone.shared) == (True, False)

    run(main())
