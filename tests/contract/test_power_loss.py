"""After a power cut at any moment: acknowledged durable appends are there, and no row is without its bytes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.aio import run
from support.powerloss import PowerCut, Writer, check_survivors
from support.stores import sqlite_opener

from moldau import faults
from moldau.blobs.local import LocalBlobs

PARTITIONS = 4
APPENDS = 25


@pytest.fixture(autouse=True)
def unwatch() -> Iterator[None]:
    yield
    faults.watch(None)


async def cut_and_look(folder: Path, seed: int) -> tuple[int, int]:
    """One life with a cut somewhere in it, and the look at what is left: (acknowledged, rows)."""
    rng = random.Random(seed)
    before, after = folder / f"before{seed}", folder / f"after{seed}"
    before.mkdir()
    async with sqlite_opener(before)() as it:
        assert it.engine is not None
        blobs = LocalBlobs(before / "blobs")
        it.engine.before_sync = blobs.sync
        partition_ids = await it.topic(partitions=PARTITIONS)
        cut = PowerCut(it.engine, blobs, rng.randrange(1, 500), after, rng)
        await asyncio.gather(*(Writer(it, blobs, cut, p, rng).work(APPENDS) for p in partition_ids))
        cut.cut()
        faults.watch(None)
        it.engine.before_sync = lambda: None
        await blobs.close()
    async with sqlite_opener(after)() as it:
        blobs = LocalBlobs(after / "blobs")
        try:
            rows = await check_survivors(it, blobs, partition_ids, cut.acknowledged)
        finally:
            await blobs.close()
    return len(cut.acknowledged), rows


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_power_cut_at_any_moment(tmp_path: Path, seed: int) -> None:
    run(cut_and_look(tmp_path, seed))


@pytest.mark.parametrize("syncs_bytes", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_fast_append_and_then_a_durable_one(tmp_path: Path, seed: int, syncs_bytes: bool) -> None:
    """Without the sync of bytes before the durable commit, the fast one's row would be there without its bytes."""

    async def main() -> None:
        rng = random.Random(seed)
        after = tmp_path / "after"
        async with sqlite_opener(tmp_path)() as it:
            assert it.engine is not None
            blobs = LocalBlobs(tmp_path / "blobs")
            if syncs_bytes:
                it.engine.before_sync = blobs.sync
            fast, durable = await it.topic(partitions=2)
            cut = PowerCut(it.engine, blobs, 1 << 30, after, rng)
            await Writer(it, blobs, cut, fast, rng).append(durable=False, inline=False)
            await Writer(it, blobs, cut, durable, rng).append(durable=True, inline=True)
            cut.cut()
            faults.watch(None)
            it.engine.before_sync = lambda: None
            await blobs.close()
        assert len(cut.acknowledged) == 1
        async with sqlite_opener(after)() as it:
            blobs = LocalBlobs(after / "blobs")
            try:
                assert await check_survivors(it, blobs, [fast, durable], cut.acknowledged) == 2
            finally:
                await blobs.close()

    if syncs_bytes:
        run(main())
    else:
        with pytest.raises(AssertionError, match="bytes"):
            run(main())
