"""Small neighbours of a partition become one extent when their rows are made, and their bytes come with it. Pure.

A row costs 1.9 us, and whoever merges small ones later reads them one by one, from places all over a write-ahead blob; a batch in a gathered row costs
0.9 us, and is read with its neighbours. The bytes are written once more, in the metadata store: for batches below `SMALL_BYTES` that is about what their rows take.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .fold_entry import ENTRY_BYTES, OFFSETS, OFFSETS_AT, PRODUCER_BYTES, REMEMBERED_BATCHES
from .rows import KIND_INLINE, AppendCommit, AppendEntry, Extent

SMALL_BYTES = 1024
"""An entry up to this size brings its bytes."""
FEW = 4
"""Fewer than this are not worth it."""
MANY = 128
"""More become several extents: whoever merges them checks an extent in one go, in a fifth of a millisecond."""

Run = Sequence[tuple[AppendCommit, AppendEntry]]
"""Neighbours of one partition, in order."""


class Gathered(NamedTuple):
    """The extent, and the bytes of the blob that it names."""

    extent: Extent
    data: bytes


def runs(placed: Run) -> Iterator[Run]:
    """All of them in order, in runs that are `worth_it` or not."""
    start = 0
    while start < len(placed):
        end = start
        for _, entry in placed[start : start + MANY]:
            if entry.data is None:
                break
            end += 1
        if end - start < FEW:
            end += 1
        yield placed[start:end]
        start = end


def worth_it(run: Run) -> bool:
    """Of a run of `runs`."""
    return len(run) >= FEW and run[-1][1].data is not None


def gather(run: Run, blob_id: int, leader_epoch: int, running: int) -> Gathered:
    """One extent of neighbours that all have their bytes. `running` is the largest timestamp before them."""
    last = run[-1][1]
    base = run[0][1].expected_end
    end = last.expected_end + last.records
    data = b"".join([entry.data for _, entry in run if entry.data is not None])
    newest = max([entry.max_timestamp for _, entry in run])
    extent = Extent(
        last.partition_id,
        base,
        end - 1,
        blob_id,
        0,
        len(data),
        newest,
        running if running > newest else newest,
        end - base,
        leader_epoch,
        KIND_INLINE,
        run[-1][0].now,
        fold_of(run, base),
    )
    return Gathered(extent, data)


def fold_of(run: Run, base: int) -> bytes:
    """The folds one behind the other, with offsets relative to `base`; of batches outside transactions the last ones of each producer, which
    are all that matters.
    """
    kept: list[bytes] = []
    shifts: list[int] = []
    seen: Counter[bytes] = Counter()
    for _, entry in reversed(run):
        fold = entry.fold
        for at in range(len(fold) - ENTRY_BYTES, -1, -ENTRY_BYTES):
            one = fold if len(fold) == ENTRY_BYTES else fold[at : at + ENTRY_BYTES]
            if not one[-1]:  # no flags: a batch outside transactions
                producer = one[:PRODUCER_BYTES]
                if seen[producer] == REMEMBERED_BATCHES:
                    continue
                seen[producer] += 1
            kept.append(one)
            shifts.append(entry.expected_end - base)
    kept.reverse()
    folds = bytearray().join(kept)
    at = OFFSETS_AT
    for shift in reversed(shifts):
        first, last = OFFSETS.unpack_from(folds, at)
        OFFSETS.pack_into(folds, at, first + shift, last + shift)
        at += ENTRY_BYTES
    return bytes(folds)
