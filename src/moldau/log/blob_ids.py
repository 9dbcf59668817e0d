"""Ids of blobs: blocks of 2^32 from the metadata store, so that a flush needs no round trip for its id.

int64 = 31 bits number of the block | 32 bits counter
"""

from __future__ import annotations

from moldau.metadata.own_blob_ids import COUNTER_BITS

LOW_WATER = 1 << 24
"""Ask for the next block when fewer ids than this are left."""


class BlobIds:
    """Counts up through the blocks it was given."""

    __slots__ = ("_end", "_next", "_spare")

    def __init__(self, block: int) -> None:
        self._next = (block << COUNTER_BITS) + 1
        self._end = (block + 1) << COUNTER_BITS
        self._spare = 0

    def take(self) -> int:
        """The next id. Raises OverflowError when the block is used up and no other was added."""
        if self._next == self._end:
            if not self._spare:
                raise OverflowError("the block of blob ids is used up and no further one was reserved")
            self.__init__(self._spare)  # type: ignore[misc]
        blob_id = self._next
        self._next += 1
        return blob_id

    def take_many(self, count: int) -> range:
        """So many of them, or none where a block ends: less than a block has."""
        first = self._next
        if self._end - first < count:
            return range(0)
        self._next += count
        return range(first, self._next)

    @property
    def running_low(self) -> bool:
        """Whether `add` should be called soon."""
        return not self._spare and self._end - self._next < LOW_WATER

    def add(self, block: int) -> None:
        """The block to go on with."""
        self._spare = block
