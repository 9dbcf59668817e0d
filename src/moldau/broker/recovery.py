"""What a start does about the run before: seal the write-ahead blobs that were left open.

For what `acks=all` acknowledged, the bytes were synced before the rows that name them (invariant 1); what lies beyond the furthest
named byte was never acknowledged and is cut off. A blob that is shorter than its rows say is damage: the broker says so and does not
start. Only lengths are looked at here: after a power cut, rows of unsynced `acks=1` commits may have reached the disk without their
bytes; `moldau inspect` finds those by their checksums, and consumers refuse them.
"""

from __future__ import annotations

import logging

from moldau.blobs.ports import BlobMissing, BlobStore
from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.ports import MaintenanceStore

log = logging.getLogger(__name__)


async def seal_left_open(store: MaintenanceStore, blobs: BlobStore) -> int:
    """Seal every unsealed blob at its committed end; returns how many. Raises StoreCorrupt, BlobError, StoreError."""
    left_open = [row for row in await store.blobs() if row.size < 0]
    if not left_open:
        return 0
    ends = await store.blob_ends()
    for row in left_open:
        end = ends.get(row.blob_id, 0)
        try:
            await blobs.recover(row.blob_id, end)
        except BlobMissing as missing:
            if end:
                raise StoreCorrupt(f"record bytes are missing: {missing}") from missing
        await store.seal_blob(row.blob_id, end)
        log.info("event=blob_sealed blob=%016x size=%d", row.blob_id, end)
    return len(left_open)
