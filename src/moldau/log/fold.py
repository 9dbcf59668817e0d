"""What an extent meant to producers, packed into its row.

One entry (`moldau.metadata.fold_entry`) for each idempotent batch; in a merged extent only those that still matter (`merge`). The
bytes are the same on every store and in every release of format 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from moldau.metadata.fold_entry import ENTRY, ENTRY_BYTES, FLAG_TRANSACTIONAL, pack_entry
from moldau.metadata.rows import Extent
from moldau.records.batch import BatchHeader

Entry = tuple[int, int, int, int, int, int, int, int]
"""producer_id, epoch, first_sequence, last_sequence, relative base, relative last, timestamp, flags."""


def of_batch(header: BatchHeader, relative_base: int) -> bytes:
    """The entry of an idempotent batch that begins `relative_base` offsets after its extent."""
    return pack_entry(
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence,
        relative_base,
        relative_base + header.last_offset_delta,
        header.max_timestamp,
        FLAG_TRANSACTIONAL if header.is_transactional else 0,
    )


def unpack(fold: bytes) -> list[Entry]:
    """The entries in offset order. Raises ValueError when the length fits no number of entries."""
    if len(fold) % ENTRY_BYTES:
        raise ValueError(f"a fold of {len(fold)} bytes is no multiple of {ENTRY_BYTES}")
    return list(ENTRY.iter_unpack(fold))


REMEMBERED_BATCHES = 5
"""Of a producer, as in Kafka: an older duplicate is out of order."""


def merge(extents: Sequence[Extent]) -> bytes:
    """The fold of neighbours that become one: of each producer the last five batches of its last epoch.

    What is left out cannot matter: the fold of a partition comes to the same state with it and without it.
    """
    if not any(extent.fold for extent in extents):
        return b""
    base = extents[0].base_offset
    kept: dict[int, list[Entry]] = {}
    for extent in extents:
        shift = extent.base_offset - base
        for producer_id, epoch, first, last, begin, end, timestamp, flags in unpack(extent.fold):
            batches = kept.setdefault(producer_id, [])
            if batches and batches[-1][1] != epoch:
                batches.clear()
            elif len(batches) == REMEMBERED_BATCHES:
                del batches[0]
            batches.append((producer_id, epoch, first, last, begin + shift, end + shift, timestamp, flags))
    entries = sorted((entry for batches in kept.values() for entry in batches), key=lambda entry: entry[4])
    return b"".join([ENTRY.pack(*entry) for entry in entries])
