"""Large blobs in pieces: all bytes in order, and what the device is asked for."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from support.aio import run

from moldau.blobs import files
from moldau.blobs.local import LocalBlobs
from moldau.blobs.pieces import IOV_MAX, PIECE_BYTES, pieces, push
from moldau.blobs.ports import BlobError
from moldau.blobs.shared_files import SharedFiles


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0, 0],
        [1],
        [PIECE_BYTES],
        [PIECE_BYTES, 1],
        [PIECE_BYTES - 1, 2],
        [3, PIECE_BYTES * 3, 0, 5],
        [100_000] * 40,
        [7] * 3000,
    ],
)
def test_pieces_are_all_bytes_in_order(sizes: list[int]) -> None:
    whole = os.urandom(sum(sizes))
    buffers, at = [], 0
    for size in sizes:
        buffers.append(whole[at : at + size])
        at += size
    made = list(pieces(buffers))
    assert b"".join(b"".join(piece) for piece, _ in made) == whole
    assert [sum(map(len, piece)) for piece, _ in made] == [size for _, size in made]
    assert all(len(piece) <= IOV_MAX for piece, _ in made)
    assert all(size == PIECE_BYTES or len(piece) == IOV_MAX for piece, size in made[:-1])
    assert all(0 < size <= PIECE_BYTES for _, size in made[-1:])


def test_a_push_leaves_the_bytes_as_they_are_and_takes_any_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    fd = os.open(file, os.O_RDWR)
    push(fd, 0, 3)
    os.close(fd)
    assert file.read_bytes() == b"abc"
    first, second = os.pipe()
    push(second, 0, 3)  # there is no such call for it
    os.close(first)
    os.close(second)


SIZE = PIECE_BYTES * 2 + 10
PUSHED = [(0, PIECE_BYTES), (PIECE_BYTES, PIECE_BYTES), (PIECE_BYTES * 2, 10)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is asked for: ranges to push, and the sync of the bytes."""
    found: list[object] = []
    sync = files.sync_data

    def synced(fd: int) -> None:
        found.append("sync")
        sync(fd)

    monkeypatch.setattr(files, "push", lambda fd, position, length: found.append((position, length)))
    monkeypatch.setattr(files, "sync_data", synced)
    return found


def test_a_large_put_beside_appends_is_pushed_piece_by_piece_and_synced_at_the_end(
    tmp_path: Path, asked: list[object]
) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path)
        data = os.urandom(SIZE)
        assert await it.put(1, [data[:5], data[5:]]) == SIZE
        assert asked == [*PUSHED, "sync"]
        assert await it.read(1, 0, SIZE) == data
        del asked[:]
        await it.put(2, [b"x" * PIECE_BYTES])
        assert asked == ["sync"]
        await it.close()

    run(main())


def test_a_put_that_others_wait_for_is_not(tmp_path: Path, asked: list[object]) -> None:
    async def main() -> None:
        it = SharedFiles(tmp_path)
        await it.put(1, [bytes(SIZE)])
        assert asked == ["sync"]
        await it.close()

    run(main())


def test_data_that_go_with_the_broker_are_never_waited_for(tmp_path: Path, asked: list[object]) -> None:
    async def main() -> None:
        it = LocalBlobs(tmp_path, syncs=False)
        await it.put(1, [bytes(SIZE)])
        assert asked == []
        await it.close()

    run(main())


def test_bytes_that_the_device_refuses_fail_the_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, position: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "push", refuse)

    async def main() -> None:
        it = LocalBlobs(tmp_path)
        with pytest.raises(BlobError):
            await it.put(1, [bytes(SIZE)])
        assert await it.sizes() == {}
        assert list(tmp_path.iterdir()) == []
        await it.close()

    run(main())
