"""The markers that end one transaction: one batch for each partition, and the extents that name them. Pure.

A batch's checksum begins behind its base offset and its leader epoch, so all markers of one end are the same bytes but for these two: a
batch is built once, and each marker is two numbers and what they stand between.

    int64 base offset | int32 length | int32 leader epoch | the rest
"""

from __future__ import annotations

from struct import Struct

from moldau.records.control import end_txn_marker

from .fold_entry import FLAG_COMMIT, FLAG_MARKER, FLAG_TRANSACTIONAL, pack_entry
from .rows import KIND_INLINE, Extent
from .rows_txn import End

_HEAD = Struct(">q4si")
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
        return _HEAD.pack(base, self.size_field, leader_epoch) + self.rest

    def batches(self, ends: list[tuple[int, int, int]]) -> list[bytes]:
        """Those of (partition id, base offset, leader epoch) each."""
        head, size_field, rest = _HEAD.pack, self.size_field, self.rest
        return [head(base, size_field, leader_epoch) + rest for _, base, leader_epoch in ends]

    def extents(
        self, ends: list[tuple[int, int, int, int]], position: int = 0, kind: int = KIND_INLINE
    ) -> list[Extent]:
        """Of each partition the id, where it ended, its leader epoch, and the largest timestamp so far; in the order of ids. The first marker lies
        at `position` of a blob of that kind.
        """
        return [
            self.extent(partition_id, base, leader_epoch, running, position + nth * self.length, kind)
            for nth, (partition_id, base, leader_epoch, running) in enumerate(ends)
        ]

    def extent(self, partition_id: int, base: int, leader_epoch: int, running: int, position: int, kind: int) -> Extent:
        """As one of `extents`; the marker lies there."""
        now = self.now
        return Extent(
            partition_id,
            base,
            base,  # the last offset
            self.blob_id,
            position,
            self.length,
            now,
            running if running > now else now,
            1,  # record
            leader_epoch,
            kind,
            now,
            self.fold,
        )

    def data(self, extents: list[Extent]) -> bytes:
        """The blob."""
        return b"".join([self.batch(extent.base_offset, extent.leader_epoch) for extent in extents])
