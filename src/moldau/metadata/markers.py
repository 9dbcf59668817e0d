"""The markers that end one transaction: one batch for each partition, and the extents that name them. Pure.

A batch's checksum begins behind its base offset and its leader epoch, so all markers of one end are the same bytes but for these two: a
batch is built once, and each marker is three slices and two numbers.

    int64 base offset | int32 length | int32 leader epoch | the rest
"""

from __future__ import annotations

from struct import Struct

from moldau.records.control import end_txn_marker

from .fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL, pack_entry
from .rows import KIND_INLINE, Extent
from .rows_txn import End

_BASE = Struct(">q")
_EPOCH = Struct(">i")
_COORDINATOR_EPOCH = 0
"""Rows have no coordinator that could be an old one."""


class Markers:
    """`now` is the timestamp of all of them, by the store's clock; their bytes lie in the blob `blob_id` (-1: it is not known yet), one behind the other."""

    def __init__(self, end: End, blob_id: int, now: int) -> None:
        batch = bytes(
            end_txn_marker(
                producer_id=end.producer_id,
                producer_epoch=end.epoch,
                commit=end.commit,
                coordinator_epoch=_COORDINATOR_EPOCH,
                now=now,
            )
        )
        self.length = len(batch)
        self.size_field = batch[8:12]
        self.rest = batch[16:]
        flags = FLAG_TRANSACTIONAL | FLAG_MARKER | (FLAG_COMMIT if end.commit else 0)
        self.fold = pack_entry(end.producer_id, end.epoch, -1, -1, 0, 0, now, flags)
        self.blob_id = blob_id
        self.now = now

    def batch(self, base: int, leader_epoch: int) -> bytes:
        """The marker at that offset."""
        return _BASE.pack(base) + self.size_field + _EPOCH.pack(leader_epoch) + self.rest

    def extents(
        self, ends: list[tuple[int, int, int, int]], position: int = 0, kind: int = KIND_INLINE
    ) -> list[Extent]:
        """Of each partition the id, where it ended, its leader epoch, and the largest timestamp so far; in the order of ids. The first marker lies
        at `position` of a blob of that kind.
        """
        return [
            Extent(
                partition_id=partition_id,
                base_offset=base,
                last_offset=base,
                blob_id=self.blob_id,
                position=position + nth * self.length,
                length=self.length,
                max_timestamp=self.now,
                running_max_timestamp=max(running, self.now),
                records=1,
                leader_epoch=leader_epoch,
                kind=kind,
                appended_at=self.now,
                fold=self.fold,
            )
            for nth, (partition_id, base, leader_epoch, running) in enumerate(ends)
        ]

    def data(self, extents: list[Extent]) -> bytes:
        """The blob."""
        return b"".join([self.batch(extent.base_offset, extent.leader_epoch) for extent in extents])
