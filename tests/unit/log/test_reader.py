"""Reading without waiting: runs of whole extents in one buffer, rows kept for who is far behind, nothing damaged handed out."""

from __future__ import annotations

import pytest
from support.aio import Opener, run
from support.logs import Log, values_of
from support.stores import Stores

from moldau.blobs.memory import MemoryBlobs
from moldau.log import view as view_module
from moldau.log.damage import DamagedLog
from moldau.log.extent_run import run_length
from moldau.log.reader import _whole_batches
from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.rows import KIND_INLINE, KIND_SEGMENT, KIND_WAL, Extent
from moldau.records.batch import iter_headers


async def long_log(it: Stores, count: int = 40) -> tuple[Log, int]:
    log = Log(it)
    (p,) = await it.topic()
    for n in range(count):
        await log.append(p, [b"%d-%d" % (n, each) * 10 for each in range(2)], inline=False)
    return log, p


def test_a_run_ends_before_what_does_not_fit_or_is_inline_or_no_neighbour() -> None:
    def extent(offset: int, length: int, kind: int = KIND_WAL) -> Extent:
        return Extent(1, offset, offset, 1, 0, length, 0, 0, 1, 0, kind, 0)

    extents = [extent(0, 10), extent(1, 20), extent(2, 30), extent(3, 5, KIND_INLINE), extent(4, 1)]
    assert run_length(extents, 0, 9) == (0, 0)
    assert run_length(extents, 0, 10) == (1, 10)
    assert run_length(extents, 0, 59) == (2, 30)
    assert run_length(extents, 1, 1000) == (3, 50)
    assert run_length(extents, 3, 1000) == (3, 0)
    assert run_length(extents, 4, 1000) == (5, 1)
    assert run_length([extent(0, 10), extent(1, 10), extent(3, 10)], 0, 1000) == (2, 20)
    assert run_length(extents, 5, 1000) == (5, 0)


def test_whoever_is_far_behind_asks_for_rows_once(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "TAIL_EXTENTS_MAX", 4)

    async def main() -> None:
        async with opener() as it:
            log, p = await long_log(it)
            view = await log.reloaded(p)
            assert view.tail_start > 60
            assert log.reader.read_now(view, 0, 400, True) is None, "nobody has asked for these rows"
            found, offset = [], 0
            buffers, _ = await log.reader.read(view, 0, 400, True)
            while offset < view.high_watermark:
                for buffer in buffers:
                    for position, header in iter_headers(buffer):
                        found += values_of(bytes(buffer[position : position + header.size]))
                        offset = header.next_offset
                now = log.reader.read_now(view, offset, 400, True)
                assert now is not None, f"at {offset} without waiting"
                buffers = now[0]
            assert found == [(offset, value) for offset, value, _ in log.records]

    run(main())


def test_damage_in_a_run_is_told(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log, p = await long_log(it, 6)
            view = await log.reloaded(p)
            assert log.reader.read_now(view, 0, 1 << 20, True) is not None
            extent = view.extents[3]
            blobs = log.blobs
            assert isinstance(blobs, MemoryBlobs)
            blobs._blobs[extent.blob_id][extent.position + extent.length - 3] ^= 1
            with pytest.raises(DamagedLog, match=f"batch at {extent.base_offset} .*wrong checksum"):
                log.reader.read_now(view, 0, 1 << 20, True)
            before = log.reader.read_now(view, 0, sum(each.length for each in view.extents[:3]), True)
            assert before is not None

    run(main())


def test_a_row_that_is_gone_is_an_error_and_no_gap(opener: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_module, "TAIL_EXTENTS_MAX", 4)

    async def main() -> None:
        async with opener() as it:
            log, p = await long_log(it, 20)
            view = await log.reloaded(p)
            rows = await it.log.extents_from(p, 0, 100)

            class Lacking:
                """The store without its fourth row."""

                async def extents_from(self, partition_id: int, offset: int, limit: int) -> list[Extent]:
                    return [row for row in rows if row.last_offset >= offset and row is not rows[3]][:limit]

            monkeypatch.setattr(log.reader, "_store", Lacking())
            gap = rows[3].base_offset
            _, size = await log.reader.read(view, 0, 1 << 20, True)
            assert size == sum(row.length for row in rows[:3])
            with pytest.raises(DamagedLog, match=f"offset {gap}: no row holds it"):
                await log.reader.read(view, gap, 1 << 20, True)
            view.raise_log_start(rows[4].base_offset)  # retention came between: no damage
            buffers, _ = await log.reader.read(view, gap, 1 << 20, True)
            assert next(iter_headers(buffers[0]))[1].base_offset == rows[4].base_offset

    run(main())


GUESSES = ({1: 7}, {0: 1000}, {2: 0, 3: 0}, {n: n + 1 for n in range(6)})
"""Number of the append -> base offset that is stored where another was given."""


@pytest.mark.parametrize("wrong", GUESSES)
@pytest.mark.parametrize("inline", [True, False])
def test_a_wrong_guess_of_an_offset_does_no_harm_where_brokers_share_the_stores(
    opener: Opener, wrong: dict[int, int], inline: bool
) -> None:
    async def main() -> None:
        async with opener() as it:
            log = Log(it, guesses=True)
            (p,) = await it.topic()
            for n in range(6):
                await log.append(p, [b"%d-%d" % (n, each) * 10 for each in range(2)], inline=inline, guess=wrong.get(n))
            expected = [(offset, value) for offset, value, _ in log.records]
            for max_bytes in (1, 400, 1 << 20):
                assert await log.read_all(p, max_bytes) == expected
            view = await log.reloaded(p)
            now = log.reader.read_now(view, 0, 1 << 20, True)
            if not inline:
                assert now is not None
                bases = [header.base_offset for buffer in now[0] for _, header in iter_headers(buffer)]
                assert bases == list(range(0, 12, 2))
            for offset, _, timestamp in log.records[::3]:
                found = await log.lookup.by_timestamp(view, timestamp)
                assert found is not None
                assert found[0] <= offset

    run(main())


@pytest.mark.parametrize("what", ["gap", "end", "start"])
def test_rows_that_contradict_each_other_make_no_view(opener: Opener, what: str) -> None:
    async def main() -> None:
        async with opener() as it:
            log, p = await long_log(it, 6)
            state = await it.log.load_partition(p)
            assert state is not None
            view_module.PartitionView(state)
            if what == "gap":
                del state.extents[2]
            elif what == "end":
                state.row.end_offset += 4
            else:
                state.extents.clear()
            with pytest.raises(ValueError, match=r"nothing is at|the log ends at"):
                view_module.PartitionView(state)

            async def load(partition_id: int) -> object:
                return state

            log.views.store = type("Store", (), {"load_partition": staticmethod(load)})()  # type: ignore[assignment]
            log.views.drop(p)
            with pytest.raises(StoreCorrupt, match=f"rows of partition {p} say what cannot be"):
                await log.views.load(p)

    run(main())


def test_a_guess_that_was_right_is_not_copied(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log = Log(it, guesses=True)
            (p,) = await it.topic()
            await log.append(p, [b"x" * 100], inline=False)
            await log.append(p, [b"y" * 100], inline=False, guess=0)
            view = await log.reloaded(p)
            right, wrong = view.extents
            data = await log.blobs.read(right.blob_id, right.position, right.length)
            assert _whole_batches(data, 0, right, True) == (right.length, 1, None)
            data = await log.blobs.read(wrong.blob_id, wrong.position, wrong.length)
            kept, _, patched = _whole_batches(data, 1, wrong, True)
            assert patched is not None
            assert kept == wrong.length

    run(main())


def test_offsets_that_no_guess_explains_are_damage(opener: Opener) -> None:
    async def main() -> None:
        async with opener() as it:
            log = Log(it, guesses=True)
            (p,) = await it.topic()
            first = await log.append(p, [b"x" * 100], inline=False)
            await log.append(p, [b"y" * 100], inline=False, guess=5)
            view = await log.reloaded(p)
            one, two = view.extents
            both = Extent(
                p, first, two.last_offset, one.blob_id, one.position, one.length + two.length, 0, 0, 2, 0, KIND_WAL, 0
            )
            data = await log.blobs.read(both.blob_id, both.position, both.length)
            with pytest.raises(DamagedLog, match="says it is at 5"):
                _whole_batches(data, first, both, True)
            strict = Log(it, log.blobs)
            with pytest.raises(DamagedLog, match="says it is at 5"):
                await strict.reader.read(view, 1, 1000, True)
            segment = Extent(p, 1, 1, two.blob_id, two.position, two.length, 0, 0, 1, 0, KIND_SEGMENT, 0)
            with pytest.raises(DamagedLog, match="says it is at 5"):
                await log.reader.extent_bytes(segment)

    run(main())
