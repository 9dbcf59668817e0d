"""A directory that several brokers share keeps the contract, with other processes in it, and on file servers that are slow or away."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blob_store import KeptBlobStoreContract, read_all
from support.aio import opened, run

from moldau import faults
from moldau.blobs import shared_files
from moldau.blobs.object_url import BadUrl
from moldau.blobs.open_blobs import folder_of, open_blobs
from moldau.blobs.ports import BlobError, BlobMissing
from moldau.blobs.shared_files import SharedFiles


@pytest.fixture
def opener(tmp_path: Path) -> Any:
    @asynccontextmanager
    async def opened() -> AsyncIterator[SharedFiles]:
        blobs = await open_blobs(f"file://{tmp_path}/shared")
        assert isinstance(blobs, SharedFiles)
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


class TestSharedFiles(KeptBlobStoreContract):
    @opened
    async def test_what_is_there_is_not_put_again(self, it: SharedFiles) -> None:
        await it.put(1, [b"abc"])
        inode = it.path(1).stat().st_ino
        assert await it.put(1, [b"abc"]) == 3
        assert it.path(1).stat().st_ino == inode
        with pytest.raises(BlobError, match="another one of 3 bytes is there"):
            await it.put(1, [b"other"])
        assert await read_all(it, 1, 0, 3) == b"abc"

    @opened
    async def test_a_put_that_comes_twice_at_once(self, it: SharedFiles) -> None:
        assert await asyncio.gather(*(it.put(1, [b"abc", b"d"]) for _ in range(8))) == [4] * 8
        assert await read_all(it, 1, 0, 4) == b"abcd"
        assert os.listdir(it.folder) == [it.path(1).name]

    @pytest.mark.parametrize("point", ["blobs.local.put", "blobs.local.put_written", "blobs.local.sync_folder"])
    def test_a_put_that_failed_may_be_tried_again(self, opener: Any, point: str) -> None:
        async def main() -> None:
            async with opener() as it:
                faults.arm(f"{point}=full")
                with pytest.raises(BlobError):
                    await it.put(1, [b"abc"])
                assert not list(it.folder.glob("*.tmp"))
                faults.arm("")
                passed: list[str] = []
                faults.watch(passed.append)
                assert await it.put(1, [b"abc"]) == 3
                assert "blobs.local.sync_folder" in passed, "the name is made durable, whoever gave it"
                assert await read_all(it, 1, 0, 3) == b"abc"

        run(main())

    @opened
    async def test_nothing_is_opened_on_the_loops_thread(self, it: SharedFiles) -> None:
        await it.put(1, [b"abcdef"])
        original, here = os.open, threading.get_ident()

        def elsewhere(*arguments: Any, **named: Any) -> int:
            assert threading.get_ident() != here
            return original(*arguments, **named)

        os.open = elsewhere
        try:
            assert it.read_now(1, 0, 3) is None
            assert await it.read(1, 0, 3) == b"abc"
            assert it.read_now(1, 3, 3) == b"def"
        finally:
            os.open = original

    @opened
    async def test_files_that_nobody_reads_are_closed(self, it: SharedFiles) -> None:
        before = descriptors()
        for n in range(3):
            await it.put(n, [b"abc"])
            await it.read(n, 0, 3)
        assert descriptors() == before + 3
        it._close_idle()
        assert descriptors() == before + 3, "read since the last time"
        it.read_now(1, 0, 3)
        it._close_idle()
        assert descriptors() == before + 1
        it._close_idle()
        assert descriptors() == before
        assert it._sweep is None
        assert await read_all(it, 1, 0, 3) == b"abc"

    @opened
    async def test_a_read_that_is_given_up_leaves_no_descriptor(self, it: SharedFiles) -> None:
        await it.put(1, [b"abc"])
        before = descriptors()
        task = asyncio.ensure_future(it.read(1, 0, 3))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await it.read(1, 0, 3)
        it._close_idle()
        it._close_idle()
        assert descriptors() == before

    @opened
    async def test_a_handle_that_another_host_made_stale(self, it: SharedFiles) -> None:
        await it.put(1, [b"abc"])
        await it.read(1, 0, 3)

        def stale(*_: Any) -> int:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        kept = os.preadv, os.pread
        os.preadv = os.pread = stale  # type: ignore[assignment]
        try:
            with pytest.raises(BlobMissing, match="deleted on another host"):
                it.read_now(1, 0, 3)
            with pytest.raises(BlobMissing, match="deleted on another host"):
                await it.read(1, 0, 3)
        finally:
            os.preadv, os.pread = kept
        assert await read_all(it, 1, 0, 3) == b"abc"


class TestManyProcesses:
    SCRIPT = (
        "import asyncio, sys\n"
        "from moldau.blobs.open_blobs import open_blobs\n"
        "async def main(url, first):\n"
        "    it = await open_blobs(url)\n"
        "    for n in range(first, first + 40):\n"
        "        await it.put(n, [b'%d-' % n * 1000])\n"
        "        await it.put(1, [b'both put this'])\n"
        "    await it.close()\n"
        "asyncio.run(main(sys.argv[1], int(sys.argv[2])))\n"
    )

    @pytest.mark.slow
    @opened
    async def test_two_put_and_a_third_reads_and_deletes(self, it: SharedFiles) -> None:
        url = f"file://{it.folder}"
        commands = [(sys.executable, "-c", self.SCRIPT, url, str(n)) for n in (100, 200)]
        writers = [await asyncio.create_subprocess_exec(*command) for command in commands]
        seen: set[int] = set()
        while len(seen) < 81:
            for blob_id in await it.sizes():
                whole = b"both put this" if blob_id == 1 else b"%d-" % blob_id * 1000
                assert await it.read(blob_id, 0, len(whole)) == whole, "a blob is there whole or not at all"
                if blob_id not in seen and blob_id % 2 == 0:
                    await it.delete(blob_id)
                seen.add(blob_id)
            await asyncio.sleep(0.01)
        assert [await writer.wait() for writer in writers] == [0, 0]
        assert sorted(await it.sizes()) == [1, *range(101, 140, 2), *range(201, 240, 2)]

    @pytest.mark.slow
    def test_one_that_starts_leaves_what_another_is_putting(self, tmp_path: Path) -> None:
        environment = {**os.environ, "MOLDAU_FAULTS": "blobs.local.put_written=kill"}
        command = [sys.executable, "-c", self.SCRIPT, f"file://{tmp_path}", "100"]
        assert subprocess.run(command, env=environment, check=False).returncode == -9

        async def main() -> None:
            (left,) = tmp_path.iterdir()
            for _ in range(2):
                it = await open_blobs(f"file://{tmp_path}")
                assert await it.sizes() == {}
                await it.close()
                assert [file.name for file in tmp_path.iterdir()] == [left.name]
            old = left.stat().st_mtime - shared_files.LEFT_SECONDS - 5
            os.utime(left, (old, old))
            await (await open_blobs(f"file://{tmp_path}")).close()
            assert list(tmp_path.iterdir()) == [], "a day old: nobody's any more"

        run(main())


class TestUrls:
    def test_where_it_is(self) -> None:
        assert folder_of("file:///srv/moldau/") == Path("/srv/moldau")
        assert folder_of("file://localhost/srv/a%20b%3f") == Path("/srv/a b?")

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("file://srv/moldau", "expected file:///DIR, with three slashes"),
            ("file:srv", "expected file:///DIR, with three slashes"),
            ("file:/srv", "expected file:///DIR, with three slashes"),
            ("file:///", "there is no directory"),
            ("file:///srv?x=1", "has no options"),
            ("ftp://host/dir", "ftp://host/dir: expected s3://BUCKET/PREFIX, .* or file:///DIR"),
            ("bucket", "expected s3://BUCKET/PREFIX"),
            ("", "expected s3://BUCKET/PREFIX"),
            ("s3:///prefix", "there is no bucket"),
            ("s3://b/p?endpoint=here", "endpoint=here: expected http://"),
        ],
    )
    def test_urls_that_cannot_be_right(self, url: str, why: str) -> None:
        with pytest.raises(BadUrl, match=why):
            run(open_blobs(url))

    def test_a_folder_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(BlobError, match=f"cannot use the folder {tmp_path}/file/blobs: "):
            run(open_blobs(f"file://{tmp_path}/file/blobs"))
