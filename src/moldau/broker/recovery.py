"""What a start does about the run before, when that did not end in peace: its write-ahead blobs are still open.

Lengths are always looked at. What lies beyond the furthest named byte was never acknowledged and is cut off. A blob that is shorter than
its durable rows say is damage: the broker says so and does not start.

If the machine may have lost power since (it was started again, or nobody knows), bytes are looked at too. Rows of `acks=1` commits may
have reached the disk by themselves without the bytes they name, and for no other reason can a row be without its bytes: a durable commit
syncs everything that rows before it name (invariant 2), so such rows lie beyond the last durable one, and so does all that follows them
in their partition. Their batches are checked, from the furthest byte that a durable commit names; a partition is cut off at the first
extent that fails. If something durable comes after it, the bytes were lost otherwise: the broker does not start.

Then the leader epochs rise: the log may have gone back, with or without a trace, and clients that saw more are to find out (KIP-320).
"""

from __future__ import annotations

import logging

from moldau.blobs.ports import BlobError, BlobMissing, BlobStore
from moldau.log.reader import DamagedLog, check_batches
from moldau.metadata.errors import StoreCorrupt
from moldau.metadata.ports import MaintenanceStore, RecoveryStore
from moldau.metadata.rows import Extent

log = logging.getLogger(__name__)

_ADVICE = (
    "Nothing was changed; look at the data directory with 'moldau inspect', or bring back a copy with 'moldau restore'."
)


class Recovery:
    """One start's look at what the last run left. `power_kept`: the machine has been running since."""

    def __init__(
        self, maintenance: MaintenanceStore, store: RecoveryStore, blobs: BlobStore, *, power_kept: bool
    ) -> None:
        self._maintenance = maintenance
        self._store = store
        self._blobs = blobs
        self._power_kept = power_kept
        self.checked_bytes = 0
        self.dropped_records = 0

    async def run(self) -> int:
        """Put right what was left open; returns how many blobs that were. Raises StoreCorrupt, BlobError, StoreError."""
        left_open = [row.blob_id for row in await self._maintenance.blobs() if row.size < 0]
        if not left_open:
            return 0
        sizes = await self._blobs.sizes()
        for blob_id in left_open:
            await self._check_durable(blob_id, sizes.get(blob_id, 0))
        if not self._power_kept:
            await self._drop(await self._without_bytes(left_open, sizes))
        ends = await self._maintenance.blob_ends()
        for blob_id in left_open:
            await self._seal(blob_id, ends.get(blob_id, 0))
        await self._store.raise_leader_epochs(1)
        log.info(
            "event=recovered blobs=%d power_kept=%s checked_bytes=%d dropped_records=%d",
            len(left_open),
            self._power_kept,
            self.checked_bytes,
            self.dropped_records,
        )
        return len(left_open)

    async def _check_durable(self, blob_id: int, size: int) -> None:
        synced_end = await self._store.synced_end(blob_id)
        if size < synced_end:
            raise StoreCorrupt(
                f"record bytes are missing: blob {blob_id:016x} ends at {size}, {synced_end} bytes of it were acknowledged as durable. "
                + _ADVICE
            )

    async def _without_bytes(self, blob_ids: list[int], sizes: dict[int, int]) -> dict[int, Extent]:
        """For each partition that has some: the first extent whose bytes are not there."""
        first: dict[int, Extent] = {}
        for blob_id in blob_ids:
            for extent in await self._store.unsynced_extents(blob_id):
                known = first.get(extent.partition_id)
                if known is not None and known.base_offset < extent.base_offset:
                    continue  # it goes anyway
                if not await self._is_whole(extent, sizes.get(blob_id, 0)):
                    first[extent.partition_id] = extent
        return first

    async def _is_whole(self, extent: Extent, size: int) -> bool:
        if extent.position + extent.length > size:
            return False
        try:
            data = await self._blobs.read(extent.blob_id, extent.position, extent.length)
            self.checked_bytes += len(data)
            check_batches(data, extent)
        except (DamagedLog, BlobError) as error:
            log.warning("event=bytes_missing partition_id=%d error='%s'", extent.partition_id, error)
            return False
        return True

    async def _drop(self, first: dict[int, Extent]) -> None:
        if not first:
            return
        cuts = {partition_id: extent.base_offset for partition_id, extent in sorted(first.items())}
        try:
            dropped = await self._store.drop_tails(cuts)
        except StoreCorrupt as error:
            raise StoreCorrupt(f"record bytes are damaged: {error}. {_ADVICE}") from error
        for partition_id, records in dropped.items():
            self.dropped_records += records
            log.error(
                "event=tail_dropped partition_id=%d from_offset=%d records=%d reason='the power failed before these records of"
                " acks=1 were synced'",
                partition_id,
                cuts[partition_id],
                records,
            )

    async def _seal(self, blob_id: int, end: int) -> None:
        try:
            await self._blobs.recover(blob_id, end)
        except BlobMissing as missing:
            if end:
                raise StoreCorrupt(f"record bytes are missing: {missing}. {_ADVICE}") from missing
        await self._maintenance.seal_blob(blob_id, end)
        log.info("event=blob_sealed blob=%016x size=%d", blob_id, end)
