"""Which reads are cold: those of data that were appended some time ago, by the store's clock.

At the tail many consumers read the same bytes within minutes of their append. Who reads older data is alone with them, and may read a lot; where
reads go to a remote store he gets a pool and a share of the memory of his own (`moldau.blobs.block_cache`). The age of the extent says it
without state: a consumer that catches up becomes a tail reader when it reaches what is young. A segment has the age of what it was made of.
"""

from __future__ import annotations

from typing import Final, Protocol

from moldau.blobs.ports import Buffer
from moldau.clock import Clock
from moldau.metadata.rows import Extent

AGE_MS: Final = 10 * 60_000


class Reads(Protocol):
    """The part of a `BlobStore` that reads ranges for consumers."""

    def read_now(self, blob_id: int, position: int, length: int) -> Buffer | None: ...

    def read_into_now(self, blob_id: int, position: int, into: memoryview) -> bool: ...

    async def read(self, blob_id: int, position: int, length: int) -> Buffer: ...


class RemoteReads(Reads, Protocol):
    """Of a store that is worth telling ahead what will be read."""

    def warm(self, blob_id: int, position: int, length: int) -> None:
        """That range will be asked for soon."""
        ...


class ColdReads:
    """`recent` and `cold` read the same blobs; an extent is cold `age_ms` after its append."""

    __slots__ = ("_age_ms", "_clock", "_cold", "_recent")

    def __init__(self, recent: RemoteReads, cold: RemoteReads, clock: Clock, age_ms: int = AGE_MS) -> None:
        self._recent = recent
        self._cold = cold
        self._clock = clock
        self._age_ms = age_ms

    def of(self, extent: Extent) -> RemoteReads:
        """Who reads that extent."""
        return self._cold if extent.appended_at < self._clock() - self._age_ms else self._recent
