"""The ports of blobs: immutable ones, which every store has, and the appendable ones of an embedded broker's write-ahead file.

Blobs are named by 63-bit ids that are never used twice. Every implementation passes `tests/contract/blob_store.py`, an appendable one
`tests/contract/appendable_blobs.py` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview

AppendDone = Callable[[int, Exception | None], None]
"""Called once with the position of the first byte, or with (-1, error). May be called on a thread of the store's own.
"""


class BlobError(Exception):
    """The world's fault: the bytes could not be written or read. Kafka: KAFKA_STORAGE_ERROR."""


class BlobMissing(BlobError):
    """No such blob, or it ends before the range that was asked for."""


class BlobHeld(BlobError):
    """Not deleted: somebody copies the store's files. Try again later."""


class BlobStore(Protocol):
    """Bytes under ids. A blob is put whole; then it never changes until it is deleted."""

    async def put(self, blob_id: int, buffers: Sequence[Buffer]) -> int:
        """A whole immutable blob, durable when this returns; returns its size. A retry may put the same again.

        Raises BlobError; then whether it is there is in doubt. The buffers must not change before it returns.
        """
        ...

    def read_now(self, blob_id: int, position: int, length: int) -> Buffer | None:
        """The range if it can be had without waiting (page cache), else None: then use `read`, which finds out more.

        The answer does not change any more; if it can be changed it is the caller's own. Raises BlobMissing where it knows that the range is not there. On the loop's
        thread only.
        """
        ...

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool:
        """As `read_now`, into the caller's buffer, all of it; False when it cannot be had without waiting."""
        ...

    async def read(self, blob_id: int, position: int, length: int) -> Buffer:
        """Exactly the range. Raises BlobMissing when the blob is not there or too short, BlobError when it cannot be
        read.
        """
        ...

    async def read_some(self, blob_id: int, position: int, length: int) -> Buffer:
        """The range as far as the blob goes. Raises BlobMissing when it begins at the blob's end or beyond."""
        ...

    async def read_many(self, blob_id: int, ranges: Sequence[tuple[int, int]]) -> Sequence[Buffer]:
        """Exactly the (position, length) ranges of one blob, as `read` does each, in one go."""
        ...

    async def delete(self, blob_id: int) -> None:
        """No error if it is not there. Raises BlobHeld while somebody copies the files."""
        ...

    async def sizes(self) -> dict[int, int]:
        """All blobs with their sizes, for recovery, orphan collection and `inspect`."""
        ...

    async def close(self) -> None: ...


class AppendableBlobs(BlobStore, Protocol):
    """Besides, blobs that grow: appended to by one process until they are sealed, then as immutable as the others."""

    async def read(self, blob_id: int, position: int, length: int) -> bytes:
        """As of `BlobStore`; also of a blob that grows, up to its end."""
        ...

    async def create(self, blob_id: int) -> None:
        """An empty appendable blob; it is there after a power cut once this returns."""
        ...

    def append(self, blob_id: int, buffers: Sequence[Buffer], durable: bool, done: AppendDone) -> None:
        """Write the buffers one after the other at the end. `done` runs after the bytes can be read, and are durable if
        asked.

        Appends to one blob keep their order. After an error the blob takes no more appends: seal it and go on in a new
        one.
        """
        ...

    def append_now(self, blob_id: int, buffers: Sequence[Buffer], durable: bool) -> int | None:
        """`append` on the caller's thread: the position, or None if other appends are on their way or a sync may take long.

        Raises BlobError, as `append` would tell it.
        """
        ...

    async def seal(self, blob_id: int) -> int:
        """Make all of it durable, take no more appends; returns its size. After a BlobError it may be tried again.

        Raises BlobMissing when the blob is not open for appends.
        """
        ...

    async def recover(self, blob_id: int, size: int) -> None:
        """Seal at `size` bytes a blob whose appends another process left off: what lies beyond was never committed.

        Raises BlobMissing when fewer bytes are there.
        """
        ...

    def sync(self) -> None:
        """Make every append that was not durable durable now. Blocks; may be called on any thread. Raises BlobError."""
        ...
