"""Blobs in memory: for `--ephemeral`, and the verified fake of every other test."""

from __future__ import annotations

from collections.abc import Sequence

from .ports import AppendDone, BlobError, BlobMissing, Buffer


class MemoryBlobs:
    """See `moldau.blobs.ports.AppendableBlobs`."""

    def __init__(self) -> None:
        self._blobs: dict[int, bytearray] = {}
        self._appendable: set[int] = set()

    async def create(self, blob_id: int) -> None:
        if blob_id in self._blobs:
            raise BlobError(f"blob {blob_id:016x} exists")
        self._blobs[blob_id] = bytearray()
        self._appendable.add(blob_id)

    def append(self, blob_id: int, buffers: Sequence[Buffer], durable: bool, done: AppendDone) -> None:
        try:
            position = self.append_now(blob_id, buffers, durable)
        except BlobError as error:
            done(-1, error)
        else:
            done(position, None)

    def append_now(self, blob_id: int, buffers: Sequence[Buffer], durable: bool) -> int:
        if blob_id not in self._appendable:
            raise BlobError(f"blob {blob_id:016x} is not open for appends")
        blob = self._blobs[blob_id]
        position = len(blob)
        for buffer in buffers:
            blob += buffer
        return position

    async def seal(self, blob_id: int) -> int:
        if blob_id not in self._appendable:
            raise BlobMissing(f"blob {blob_id:016x} is not open for appends")
        self._appendable.remove(blob_id)
        return len(self._blobs[blob_id])

    async def recover(self, blob_id: int, size: int) -> None:
        if blob_id in self._appendable:
            raise BlobError(f"blob {blob_id:016x} is open for appends")
        there = len(self._blobs.get(blob_id, b""))
        if blob_id not in self._blobs or there < size:
            raise BlobMissing(f"blob {blob_id:016x} ends at {there}, {size} bytes were expected")
        del self._blobs[blob_id][size:]

    def sync(self) -> None:
        pass

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        if blob_id in self._appendable:
            raise BlobError(f"blob {blob_id:016x} is open for appends")
        self._blobs[blob_id] = bytearray().join(buffers)
        return len(self._blobs[blob_id])

    def read_now(self, blob_id: int, position: int, length: int) -> bytes | bytearray | None:
        blob = self._blobs.get(blob_id)
        if blob is None or position + length > len(blob):
            size = "is not there" if blob is None else f"ends at {len(blob)}"
            raise BlobMissing(f"blob {blob_id:016x} {size}; asked for {length} bytes at {position}")
        return bytes(memoryview(blob)[position : position + length])

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        into[:] = self.read_now(blob_id, position, len(into)) or b""
        return True

    async def read(self, blob_id: int, position: int, length: int) -> bytes:
        return bytes(self.read_now(blob_id, position, length) or b"")

    async def read_some(self, blob_id: int, position: int, length: int) -> bytes:
        there = len(self._blobs.get(blob_id, b"")) - position
        return await self.read(blob_id, position, min(length, there) if there > 0 else length)

    async def read_many(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [await self.read(blob_id, position, length) for position, length in ranges]

    async def delete(self, blob_id: int) -> None:
        self._blobs.pop(blob_id, None)
        self._appendable.discard(blob_id)

    async def sizes(self) -> dict[int, int]:
        return {blob_id: len(blob) for blob_id, blob in self._blobs.items()}

    async def close(self) -> None:
        self._blobs.clear()
        self._appendable.clear()
