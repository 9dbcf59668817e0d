"""Local files keep the contract, and what is their own: descriptors, syncs, failures, growth."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from appendable_blobs import KeptAppendableBlobsContract, append
from blob_store import KeptBlobStoreContract, assert_missing, read_all
from support.aio import opened, run

from moldau import faults
from moldau.blobs import appendable, files
from moldau.blobs.appendable import GROW_BYTES, SMALL_BYTES, WRITE_BYTES, ZERO_BYTES, write_all
from moldau.blobs.files import OPEN_MAX
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobError, BlobMissing


@pytest.fixture
def opener(tmp_path: Path) -> Any:
    @asynccontextmanager
    async def opened() -> AsyncIterator[LocalBlobs]:
        blobs = LocalBlobs(tmp_path / "blobs")
        try:
            yield blobs
        finally:
            await blobs.close()

    return opened


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")
    faults.watch(None)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class TestLocalBlobs(KeptBlobStoreContract, KeptAppendableBlobsContract):
    pass


class TestGrowth:
    @opened
    async def test_a_file_is_grown_ahead_and_cut_when_sealed(self, it: LocalBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc")
        assert it.path(1).stat().st_size == GROW_BYTES
        assert await it.sizes() == {1: 3}
        await append(it, 1, bytes(GROW_BYTES))
        assert it.path(1).stat().st_size == 2 * GROW_BYTES
        await assert_missing(it, 1, 0, GROW_BYTES + 4)
        await it.seal(1)
        assert it.path(1).stat().st_size == GROW_BYTES + 3

    @opened
    async def test_zeros_lie_ahead_of_small_durable_appends(self, it: LocalBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc", durable=False)
        (file,) = it._appendable.values()
        assert file.zeroed == 0, "nothing is synced"
        await append(it, 1, b"def")
        assert file.zeroed == 6 + ZERO_BYTES
        end = 6
        while file.zeroed == 6 + ZERO_BYTES:
            assert file.zeroed - end >= SMALL_BYTES
            await append(it, 1, b"x" * SMALL_BYTES)
            end += SMALL_BYTES
        assert file.zeroed == 6 + 2 * ZERO_BYTES
        await append(it, 1, b"y" * (2 * ZERO_BYTES))
        end += 2 * ZERO_BYTES
        assert file.zeroed < end, "a large one needs none"
        await append(it, 1, b"z")
        assert file.zeroed == end + 1 + ZERO_BYTES
        whole = b"abcdef" + b"x" * (end - 6 - 2 * ZERO_BYTES) + b"y" * (2 * ZERO_BYTES) + b"z"
        assert await read_all(it, 1, 0, end + 1) == whole
        assert it.path(1).read_bytes() == whole + bytes(GROW_BYTES - end - 1)
        await it.seal(1)
        assert it.path(1).read_bytes() == whole

    @opened
    async def test_zeros_stay_within_what_was_grown(self, it: LocalBlobs) -> None:
        await it.create(1)
        await append(it, 1, bytes(GROW_BYTES - ZERO_BYTES))
        await append(it, 1, b"abc")
        (file,) = it._appendable.values()
        assert (file.zeroed, it.path(1).stat().st_size) == (0, GROW_BYTES)

    @opened
    async def test_without_zeros_appends_go_on(self, it: LocalBlobs) -> None:
        await it.create(1)
        faults.arm("blobs.local.zero=full")
        assert await append(it, 1, b"abc") == 0
        faults.arm("")
        assert await append(it, 1, b"def") == 3
        assert it.path(1).read_bytes() == b"abcdef" + bytes(GROW_BYTES - 6)

    @opened
    async def test_without_room_for_a_step_appends_go_on(self, it: LocalBlobs) -> None:
        await it.create(1)
        faults.arm("blobs.local.grow=full")
        assert await append(it, 1, b"abc") == 0
        assert it.path(1).stat().st_size == 3
        faults.arm("")
        assert await append(it, 1, b"de") == 3
        assert await it.seal(1) == 5

    @opened
    async def test_where_files_cannot_be_grown(self, it: LocalBlobs) -> None:
        original, appendable._allocate = appendable._allocate, None
        try:
            await it.create(1)
            assert await append(it, 1, b"abc") == 0
            assert it.path(1).stat().st_size == 3
        finally:
            appendable._allocate = original


class TestSyncs:
    @opened
    async def test_appends_that_wait_share_a_sync(self, it: LocalBlobs) -> None:
        await it.create(1)
        with it._lock:
            futures = [append(it, 1, b"x") for _ in range(100)]
        await asyncio.gather(*futures)
        assert it.syncs <= 2
        assert it.synced_bytes == 100

    @opened
    async def test_fast_appends_are_not_synced_until_asked(self, it: LocalBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"abc", durable=False)
        assert it.syncs == 0
        it.sync()
        assert (it.syncs, it.synced_bytes) == (1, 3)
        it.sync()
        assert it.syncs == 1

    @opened
    async def test_a_durable_append_syncs_every_file_with_unsynced_bytes(self, it: LocalBlobs) -> None:
        """The commit that follows makes earlier rows durable too, whatever blob they name."""
        await it.create(1)
        await it.create(2)
        await append(it, 1, b"abc", durable=False)
        await append(it, 2, b"d")
        assert it.synced_bytes == 4

    @opened
    async def test_later_appends_do_not_hold_up_the_sync(self, it: LocalBlobs) -> None:
        """A group is what was queued when it began; endless arrivals must not starve the first one."""
        await it.create(1)
        loop = asyncio.get_running_loop()
        told: asyncio.Future[int] = loop.create_future()
        arrived = 0

        def more(name: str) -> None:
            nonlocal arrived
            if name == "blobs.local.write" and not told.done() and arrived < 10_000:
                arrived += 1
                it.append(1, [b"y"], False, lambda position, error: None)

        faults.watch(more)
        it.append(1, [b"x"], True, lambda position, error: loop.call_soon_threadsafe(told.set_result, position))
        assert await told == 0
        faults.watch(None)
        assert arrived < 10_000


class TestFailures:
    @pytest.mark.parametrize("point", ["blobs.local.write", "blobs.local.written", "blobs.local.sync"])
    @pytest.mark.parametrize("kind", ["full", "fail"])
    def test_a_failed_append_ends_the_appends_to_its_blob(self, opener: Any, point: str, kind: str) -> None:
        async def main() -> None:
            async with opener() as it:
                await it.create(1)
                await it.create(2)
                await append(it, 1, b"kept")
                faults.arm(f"{point}={kind}")
                with pytest.raises(BlobError):
                    await append(it, 1, b"lost")
                faults.arm("")
                with pytest.raises(BlobError):
                    await append(it, 1, b"refused")
                assert await append(it, 2, b"fine") == 0
                assert await it.read(1, 0, 4) == b"kept"
                size = await it.seal(1)
                assert size in (4, 8)
                assert it.path(1).stat().st_size == size
                assert (await it.read(1, 0, size))[:4] == b"kept"

        run(main())

    @opened
    async def test_only_those_whose_file_was_not_synced_hear_of_it(self, it: LocalBlobs) -> None:
        await it.create(1)
        await it.create(2)
        faults.arm("blobs.local.sync=fail:2")
        with it._lock:
            futures = [append(it, 1, b"a"), append(it, 2, b"b")]
        first, second = await asyncio.gather(*futures, return_exceptions=True)
        faults.arm("")
        assert first == 0
        assert isinstance(second, BlobError)
        assert await append(it, 1, b"c") == 1

    @opened
    async def test_bytes_of_a_failed_sync_are_written_again_before_they_count_as_durable(self, it: LocalBlobs) -> None:
        await it.create(1)
        await append(it, 1, b"safe")
        await append(it, 1, b"fast", durable=False)
        faults.arm("blobs.local.sync=fail")
        with pytest.raises(BlobError):
            it.sync()
        with pytest.raises(BlobError):
            it.sync()
        faults.arm("")
        passed: list[str] = []
        faults.watch(passed.append)
        it.sync()
        assert passed == ["blobs.local.sync", "blobs.local.write", "blobs.local.synced"]
        assert await it.read(1, 0, 8) == b"safefast"
        with pytest.raises(BlobError):
            await append(it, 1, b"more")

    @pytest.mark.parametrize("point", ["blobs.local.seal", "blobs.local.cut", "blobs.local.sync"])
    def test_sealing_may_be_tried_again(self, opener: Any, point: str) -> None:
        async def main() -> None:
            async with opener() as it:
                await it.create(1)
                await append(it, 1, b"abc", durable=False)
                faults.arm(f"{point}=fail")
                for _ in range(2):
                    with pytest.raises(BlobError):
                        await it.seal(1)
                faults.arm("")
                with pytest.raises(BlobError):
                    await append(it, 1, b"more")
                assert await it.seal(1) == 3

        run(main())

    @pytest.mark.parametrize("point", ["blobs.local.create", "blobs.local.created", "blobs.local.sync_folder"])
    def test_a_failed_create_leaves_nothing(self, opener: Any, point: str) -> None:
        async def main() -> None:
            async with opener() as it:
                before = descriptors()
                faults.arm(f"{point}=full")
                with pytest.raises(BlobError):
                    await it.create(1)
                faults.arm("")
                assert descriptors() == before
                await it.create(1)
                assert await append(it, 1, b"abc") == 0

        run(main())

    @opened
    async def test_a_callback_that_raises_harms_nobody(self, it: LocalBlobs) -> None:
        await it.create(1)

        def bad(position: int, error: Exception | None) -> None:
            raise KeyError("in the callback")

        it.append(1, [b"abc"], True, bad)
        assert await append(it, 1, b"d") == 3

    @opened
    async def test_what_cannot_be_written_at_all_harms_only_its_blob(self, it: LocalBlobs) -> None:
        await it.create(1)
        await it.create(2)
        with pytest.raises(BlobError):
            await append(it, 1, "text")
        assert await append(it, 2, b"d") == 0

    @opened
    async def test_a_blob_that_cannot_be_sealed_does_not_keep_the_store_from_closing(self, it: LocalBlobs) -> None:
        before = descriptors()
        await it.create(1)
        await append(it, 1, b"abc")
        faults.arm("blobs.local.seal=fail")
        await it.close()
        assert descriptors() < before + 1


class TestPut:
    @pytest.mark.parametrize("point", ["blobs.local.put", "blobs.local.put_written", "blobs.local.sync_folder"])
    def test_a_failed_put_leaves_no_half_blob(self, opener: Any, point: str) -> None:
        async def main() -> None:
            async with opener() as it:
                await it.put(1, [b"old"])
                faults.arm(f"{point}=full")
                with pytest.raises(BlobError):
                    await it.put(1, [b"newer"])
                with pytest.raises(BlobError):
                    await it.put(2, [b"newer"])
                faults.arm("")
                renamed = point == "blobs.local.sync_folder"
                assert await it.sizes() == ({1: 5, 2: 5} if renamed else {1: 3})
                assert not [name for name in os.listdir(it.folder) if name.endswith(".tmp")]
                assert await it.put(2, [b"newer"]) == 5

        run(main())

    def test_a_kill_between_write_and_rename_leaves_no_half_blob(self, tmp_path: Path) -> None:
        script = (
            "import asyncio, pathlib, sys\n"
            "from moldau.blobs.local import LocalBlobs\n"
            "asyncio.run(LocalBlobs(pathlib.Path(sys.argv[1])).put(1, [b'x' * 100000]))\n"
        )
        environment = {**os.environ, "MOLDAU_FAULTS": "blobs.local.put_written=kill"}
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=False)
        assert done.returncode == -9
        assert [file.suffix for file in tmp_path.iterdir()] == [".tmp"]

        async def main() -> None:
            it = LocalBlobs(tmp_path)
            assert await it.sizes() == {}
            assert not list(tmp_path.iterdir())
            await it.close()

        run(main())


class TestReads:
    @opened
    async def test_descriptors_are_bounded(self, it: LocalBlobs) -> None:
        for n in range(OPEN_MAX + 40):
            it.path(n).write_bytes(b"abc")
        before = descriptors()
        for n in range(OPEN_MAX + 40):
            it.read_now(n, 0, 3)
        assert descriptors() - before == OPEN_MAX
        for n in range(OPEN_MAX + 40):
            assert await it.read(n, 0, 3) == b"abc"
        assert descriptors() - before <= OPEN_MAX

    @opened
    async def test_the_descriptor_that_is_used_most_stays_open(self, it: LocalBlobs) -> None:
        for n in range(OPEN_MAX + 40):
            it.path(n).write_bytes(b"abc")
        it.read_now(0, 0, 3)
        inode = os.fstat(it._readable[0]).st_ino
        os.replace(it.path(1), it.path(0))  # who opened it again would see the other file
        for n in range(2, OPEN_MAX + 40):
            it.read_now(n, 0, 3)
            it.read_now(0, 0, 3)
        assert os.fstat(it._readable[0]).st_ino == inode

    @opened
    async def test_a_deleted_file_is_not_held_open(self, it: LocalBlobs) -> None:
        await it.put(1, [b"abc"])
        before = descriptors()
        reached, go = threading.Event(), threading.Event()

        def hold(name: str) -> None:
            if name == "blobs.local.delete":
                reached.set()
                assert go.wait(5)

        faults.watch(hold)
        deletion = asyncio.ensure_future(it.delete(1))
        assert await asyncio.to_thread(reached.wait, 5)
        it.read_now(1, 0, 3)  # a fetch that comes before the file is unlinked
        go.set()
        await deletion
        assert descriptors() <= before
        with pytest.raises(BlobMissing):
            it.read_now(1, 0, 3)

    @opened
    async def test_reading_while_appending(self, it: LocalBlobs) -> None:
        await it.create(1)
        futures = [append(it, 1, n.to_bytes(4, "big") * 256, durable=False) for n in range(400)]
        for n, future in enumerate(futures):
            position = await future
            assert await it.read(1, position, 1024) == n.to_bytes(4, "big") * 256

    @opened
    async def test_a_file_that_is_too_short(self, it: LocalBlobs) -> None:
        await it.put(1, [b"abcdef"])
        os.truncate(it.path(1), 4)
        await assert_missing(it, 1, 2, 4)

    @opened
    async def test_what_the_page_cache_does_not_have_is_left_to_read(self, it: LocalBlobs) -> None:
        await it.put(1, [b"abcdef"])

        def busy(*_: Any) -> int:
            raise OSError(errno.EAGAIN, "not now")

        original, os.preadv = os.preadv, busy  # type: ignore[assignment]
        try:
            assert it.read_now(1, 0, 3) is None
        finally:
            os.preadv = original
        assert await it.read(1, 0, 3) == b"abc"

    @opened
    async def test_without_such_reads_everything_is_left_to_read(self, it: LocalBlobs) -> None:
        await it.put(1, [b"abcdef"])
        original, files._RWF_NOWAIT = files._RWF_NOWAIT, 0
        try:
            assert it.read_now(1, 0, 3) is None
        finally:
            files._RWF_NOWAIT = original


class TestFolder:
    def test_leftovers_of_puts_go_and_strangers_stay(self, tmp_path: Path) -> None:
        (tmp_path / "0000000000000001.tmp").write_bytes(b"half")
        (tmp_path / "notes.blob").write_bytes(b"whose?")

        async def main() -> None:
            it = LocalBlobs(tmp_path)
            assert await it.sizes() == {}
            await it.close()

        run(main())
        assert [file.name for file in tmp_path.iterdir()] == ["notes.blob"]

    def test_a_folder_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(BlobError, match="file"):
            LocalBlobs(tmp_path / "file" / "blobs")


class TestWriteAll:
    @pytest.mark.parametrize("step", [1, 3, 1000])
    def test_short_writes_are_gone_on_with(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
        original = os.pwritev

        def short(fd: int, buffers: Any, position: int) -> int:
            return original(fd, [b"".join(buffers)[:step]], position)

        monkeypatch.setattr(os, "pwritev", short)
        self._check(tmp_path, [bytes([n]) * (n % 7) for n in range(40)])

    def test_more_buffers_than_one_call_takes(self, tmp_path: Path) -> None:
        self._check(tmp_path, [bytes([n % 256]) for n in range(3000)])

    @pytest.mark.parametrize("length", [WRITE_BYTES, WRITE_BYTES + 1, 2 * WRITE_BYTES, 3 * WRITE_BYTES - 1])
    @pytest.mark.parametrize("parts", [1, 3, 1025])
    def test_no_write_takes_more_than_it_may(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, parts: int
    ) -> None:
        original, sizes = os.pwritev, []

        def counted(fd: int, buffers: Any, position: int) -> int:
            sizes.append(sum(len(buffer) for buffer in buffers))
            return original(fd, buffers, position)

        monkeypatch.setattr(os, "pwritev", counted)
        whole = random.Random(length).randbytes(length)
        step = -(-length // parts)
        self._check(tmp_path, [whole[at : at + step] for at in range(0, length, step)])
        assert max(sizes) <= WRITE_BYTES
        assert len(sizes) <= -(-length // WRITE_BYTES) + 1

    def test_a_write_that_gets_nowhere_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "pwritev", _nothing)
        with pytest.raises(OSError, match="space"):
            self._check(tmp_path, [b"abc"])

    def _check(self, tmp_path: Path, buffers: list[bytes]) -> None:
        whole = b"".join(buffers)
        fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
        try:
            write_all(fd, buffers, 5, len(whole))
            assert os.pread(fd, len(whole) + 9, 0) == bytes(5) + whole
        finally:
            os.close(fd)


_nothing: Callable[..., int] = lambda fd, buffers, position: 0  # noqa: E731
