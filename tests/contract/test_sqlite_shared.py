"""The stores on a SQLite file that other processes write, too, keep the contracts."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from catalog_store import CatalogStoreContract
from cluster_store import ClusterStoreContract
from group_store import *  # noqa: F403
from lease_store import LeaseStoreContract
from log_store import LogStoreContract
from maintenance_store import MaintenanceStoreContract
from recovery_store import RecoveryStoreContract
from support.aio import run
from support.many_writers import PARTITIONS, Story, check, collect, create_and_delete, merge, retain, write
from support.noise import Noise
from support.stores import FORMAT, entry, url_opener
from topic_store import TopicStoreContract

from moldau.coordination.ports import GroupStore
from moldau.metadata.opening import open_stores, sqlite_url
from moldau.metadata.rows import APPENDED, KIND_WAL, BlobRow
from moldau.metadata.sqlite.connection import WalIndex
from moldau.metadata.sqlite.turns import Turns
from moldau.metadata.sqlite.wal_check import check_wal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def noise() -> Iterator[Noise]:
    noise = Noise()
    yield noise
    noise.end()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "metadata.sqlite")


@asynccontextmanager
async def beside(noise: Noise, url: str, opened: Any) -> AsyncIterator[Any]:
    async with opened as it:
        noise.open(url)
        yield it
        assert noise.close() > 0


@pytest.fixture
def opener(url: str, noise: Noise) -> Any:
    opener = url_opener(url)
    return lambda: beside(noise, url, opener())


@pytest.fixture
def store(url: str, noise: Noise) -> Callable[[], AbstractAsyncContextManager[GroupStore]]:
    @asynccontextmanager
    async def opened() -> AsyncIterator[GroupStore]:
        stores = await open_stores(url, FORMAT, 1)
        yield stores.groups
        await stores.close()

    return lambda: beside(noise, url, opened())


class TestLogStore(LogStoreContract):
    pass


class TestMaintenanceStore(MaintenanceStoreContract):
    pass


class TestRecoveryStore(RecoveryStoreContract):
    pass


class TestTopicStore(TopicStoreContract):
    pass


class TestClusterStore(ClusterStoreContract):
    pass


class TestCatalogStore(CatalogStoreContract):
    pass


class TestLeaseStore(LeaseStoreContract):
    pass


# -- several writers --------------------------------------------------------------------------------------------------------


def child(*args: object) -> subprocess.Popen[str]:
    folder = Path(__file__).parents[1]
    return subprocess.Popen([sys.executable, "-m", *map(str, args)], stdout=subprocess.PIPE, text=True, cwd=folder)


def test_processes_that_write_at_once(url: str) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")

    async def main() -> None:
        async with url_opener(url)() as it:
            ids = await it.topic("t", PARTITIONS)
            for blob_id in (1, 2):
                await it.log.register_blob(BlobRow(blob_id, KIND_WAL, -1, 0))
            others = [child("support.many_writers", url, seed + n, n << 30, *ids) for n in (1, 2)]
            story = Story(ids, seed)
            starts: dict[int, int] = {}
            doomed: list[int] = []
            await asyncio.gather(
                *(write(it, story, blob, doomed) for blob in (None, None, 1)),
                merge(it, story),
                retain(it, story, starts),
                collect(it, story),
                create_and_delete(it, story, doomed),
            )
            for other in others:
                told, _ = await asyncio.to_thread(other.communicate)
                assert other.returncode == 0
                story.add(told)
            print(dict(story.counts))
            await check(it, story, starts)
            assert await it.maintenance.live_counts() == []

    run(main())


def test_a_writer_that_was_killed_leaves_a_whole_log(url: str, tmp_path: Path) -> None:
    """In its commit, again and again; the others go on, and a look at the log before the next start finds nothing wrong."""
    file = tmp_path / "metadata.sqlite"

    async def main() -> None:
        async with url_opener(url)() as it:
            (p,) = await it.topic()
            await it.log.register_blob(BlobRow(2, KIND_WAL, -1, 0))
            end = 0
            for _ in range(6):
                others = await it.topic(f"o{end}", 5)
                other = child("support.many_writers", url, 1, (1 << 40) + (end << 30), *others)
                while (await it.row(others[0])).end_offset == 0:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(random.random() / 20)
                other.kill()
                other.communicate()
                assert other.returncode == -signal.SIGKILL
                for _ in range(20):
                    (result,) = await it.append(entry(p, end))
                    assert result.status == APPENDED
                    end += 1
            await with_another(url)

    async def with_another(url: str) -> None:
        async with url_opener(url)():
            found = check_wal(file)
            assert found.frames > 0
            assert found.whole
            assert found.behind == 0

    run(main())


def leave_commit(file: Path, index: WalIndex) -> None:
    """Pages behind the end, the last of which ends a commit that nobody knows of."""
    with open(f"{file}-wal", "r+b") as wal:
        for n in range(3):
            wal.seek(32 + (index.frames() + n) * 4120)
            wal.write(bytes(4) + (n == 2).to_bytes(4, "big") + index.salts() + bytes(8) + b"p" * 4096)


def test_what_a_dead_writer_left_is_wiped_out(url: str, tmp_path: Path) -> None:
    file = tmp_path / "metadata.sqlite"

    async def main() -> None:
        async with url_opener(url)() as it:
            (p,) = await it.topic()
            await it.append(entry(p, 0, 5))
            leave_commit(file, it.engine._wal)
            assert check_wal(file).behind == 1
            async with url_opener(url)() as other:
                assert check_wal(file).behind == 0
                assert (await other.append(entry(p, 5), blob_id=9))[0].status == APPENDED
            assert (await it.row(p)).end_offset == 6

    run(main())


# -- turns ------------------------------------------------------------------------------------------------------------------

TAKER = """
import sys, time
from pathlib import Path
from moldau.metadata.sqlite.turns import Turns
turns, until, count = Turns(Path(sys.argv[1])), time.monotonic() + 1.5, 0
while time.monotonic() < until:
    turns.take()
    time.sleep(0.001)
    turns.give()
    count += 1
print(count)
"""


def test_turns_are_shared_fairly(tmp_path: Path) -> None:
    for processes in (2, 3):
        takers = [
            subprocess.Popen([sys.executable, "-c", TAKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        counts = [int(taker.communicate()[0]) for taker in takers]
        assert min(counts) > max(counts) / 3, counts


def test_a_turn_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            TAKER.replace("time.sleep(0.001)", "print(1, flush=True); time.sleep(60)"),
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    turns = Turns(tmp_path)
    assert not turns.try_take()
    os.kill(holder.pid, signal.SIGKILL)
    began = time.monotonic()
    turns.take()
    assert time.monotonic() - began < 5
    turns.give()
    assert turns.try_take()
    other = Turns(tmp_path)
    assert not other.try_take()
    turns.give()
    assert other.try_take()
    for each in (turns, other):
        each.close()
    holder.communicate()


def test_only_the_last_one_takes_the_log_in(url: str, tmp_path: Path) -> None:
    wal = tmp_path / "metadata.sqlite-wal"

    async def main() -> None:
        async with url_opener(url)() as one:
            (p,) = await one.topic()
            async with url_opener(url)() as two:
                await two.append(entry(p, 0), blob_id=9)
            assert wal.exists()
            assert (await one.row(p)).end_offset == 1
            assert await one.engine.checkpoint() > 0  # type: ignore[union-attr]
        assert not wal.exists()
        async with url_opener(url)() as three:
            assert (await three.row(p)).end_offset == 1

    run(main())
