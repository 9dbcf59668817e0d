"""What an extent meant to producers, packed into its row.

One entry (`moldau.metadata.fold_entry`) for each idempotent batch and each marker; in a merged extent only those that still matter (`merge`). The
bytes are the same on every store and in every release of format 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from moldau.metadata.fold_entry import (
    ENTRY,
    ENTRY_BYTES,
    FLAG_COMMIT,
    FLAG_MARKER,
    FLAG_TRANSACTIONAL,
    REMEMBERED_BATCHES,
    pack_entry,
)
from moldau.metadata.rows import Extent
from moldau.records.batch import NO_SEQUENCE, TRANSACTIONAL_BIT, BatchHeader

FLAGS_MAX = FLAG_TRANSACTIONAL | FLAG_MARKER | FLAG_COMMIT

Entry = tuple[int, int, int, int, int, int, int, int]
"""producer_id, epoch, first_sequence, last_sequence, relative base, relative last, timestamp, flags."""


def of_batch(header: BatchHeader, relative_base: int) -> bytes:
    """The entry of an idempotent batch of a client that begins `relative_base` offsets after its extent."""
    return pack_entry(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence,
        relative_base,
        relative_base + header.last_offset_delta,
        header.max_timestamp,
        FLAG_TRANSACTIONAL if header.attributes & TRANSACTIONAL_BIT else 0,
    )


def of_marker(producer_id: int, epoch: int, commit: bool, timestamp: int, relative_base: int = 0) -> bytes:
    """The entry of a marker, which takes one offset."""
    flags = FLAG_TRANSACTIONAL | FLAG_MARKER | (FLAG_COMMIT if commit else 0)
    return pack_entry(producer_id, epoch, NO_SEQUENCE, NO_SEQUENCE, relative_base, relative_base, timestamp, flags)


def unpack(fold: bytes) -> list[Entry]:
    """The entries in offset order. Raises ValueError when the length fits no number of entries."""
    if len(fold) % ENTRY_BYTES:
        raise ValueError(f"a fold of {len(fold)} bytes is no multiple of {ENTRY_BYTES}")
    return list(ENTRY.iter_unpack(fold))


def merge(extents: Sequence[Extent]) -> bytes:
    """The fold of neighbours that become one. What is left out cannot matter: after whatever came before, the fold of a partition comes to the same
    state with it and without it. Of each producer there stay

    - the last five batches of its last epoch, each with the marker that ended its transaction;
    - its first marker, which ends what was open before, and its last one;
    - each transaction that was aborted: the batch that opened it, and the marker;
    - each that was open when another one was aborted, which counts for the last stable offset then;
    - the batch that opened what is still open.
    """
    if not any(extent.fold for extent in extents):
        return b""
    base = extents[0].base_offset
    merged = _Merge()
    for extent in extents:
        shift = extent.base_offset - base
        for producer_id, epoch, first, last, begin, end, timestamp, flags in unpack(extent.fold):
            merged.add((producer_id, epoch, first, last, begin + shift, end + shift, timestamp, flags))
    return b"".join([ENTRY.pack(*entry) for entry in merged.kept()])


class _Kept:
    """What matters of one producer so far, but for what `_Merge` keeps of ended transactions."""

    __slots__ = ("batches", "epoch", "first_marker", "last_marker", "opening")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.batches: list[tuple[Entry, Entry | None]] = []
        self.first_marker: Entry | None = None
        self.last_marker: Entry | None = None
        self.opening: Entry | None = None


class _Merge:
    """`add` all entries in order, with offsets relative to the whole."""

    def __init__(self) -> None:
        self._producers: dict[int, _Kept] = {}
        self._ended: list[Entry] = []
        self._aborted_at = -1

    def add(self, entry: Entry) -> None:
        producer = self._producers.get(entry[0])
        if producer is None:
            producer = self._producers[entry[0]] = _Kept(entry[1])
        if producer.epoch != entry[1]:
            producer.epoch = entry[1]
            producer.batches.clear()
        if entry[7] & FLAG_MARKER:
            self._end(producer, entry)
            return
        if len(producer.batches) == REMEMBERED_BATCHES:
            del producer.batches[0]
        producer.batches.append((entry, None))
        if entry[7] & FLAG_TRANSACTIONAL and producer.opening is None:
            producer.opening = entry

    def _end(self, producer: _Kept, marker: Entry) -> None:
        opening, producer.opening = producer.opening, None
        if opening is not None:
            producer.batches = [
                (batch, marker if ended is None and batch[4] >= opening[4] else ended)
                for batch, ended in producer.batches
            ]
        first = producer.first_marker is None
        if first:
            producer.first_marker = marker
        producer.last_marker = marker
        if opening is None and not first:
            return  # it ended nothing
        aborts = not marker[7] & FLAG_COMMIT
        if aborts:
            self._aborted_at = marker[4]
        if opening is not None and (aborts or self._aborted_at > opening[4]):
            self._ended += (opening, marker)

    def kept(self) -> list[Entry]:
        entries = {entry[4]: entry for entry in self._ended}
        for producer in self._producers.values():
            found = [entry for pair in producer.batches for entry in pair]
            for entry in (*found, producer.first_marker, producer.last_marker, producer.opening):
                if entry is not None:
                    entries[entry[4]] = entry
        return [entries[at] for at in sorted(entries)]
