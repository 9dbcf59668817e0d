"""Collection of what nothing names any more: rows of deleted topics, blobs without extents, stored files without a row.

A blob goes in three steps (rule 3): it is *doomed* when no extent names it (no commit can name it from then on), its bytes are deleted when
readers have had time to leave, then its row is dropped. Write-ahead files of a broker that is alone with its stores do not wait long: nobody commits to a sealed one, and a reader that comes
too late looks at the rows again. A file that no row knows, left by a crash between its write and its commit,
is seen twice, `ORPHAN_AGE_MS` apart, and then gets a doomed row: should its commit come all the same, it is refused. While somebody copies
the files (a backup) nothing is deleted.
"""

from __future__ import annotations

from typing import Final

from moldau import faults
from moldau.blobs.ports import BlobHeld, BlobStore
from moldau.clock import Clock
from moldau.metadata.ports import MaintenanceStore

CHUNK = 500
GARBAGE_AGE_MS = 60_000
"""A blob that no row names is garbage when it is at least this old: longer than any commit takes."""
ORPHAN_AGE_MS = 60_000
"""Between the two looks at a file without a row."""
ALONE: Final = {"garbage_age_ms": 0, "wal_grace_ms": 2_000}
"""For a broker that is alone with its stores: what is sealed is named by all who ever will, and its successors are written over the files (`moldau.blobs.spares`)."""


class Collector:
    """The jobs; who calls them when is `moldau.broker.upkeep`'s business."""

    def __init__(
        self,
        store: MaintenanceStore,
        blobs: BlobStore,
        clock: Clock,
        garbage_age_ms: int = GARBAGE_AGE_MS,
        orphan_age_ms: int = ORPHAN_AGE_MS,
        wal_grace_ms: int = 1 << 60,
    ) -> None:
        """`wal_grace_ms`: the longest that doomed write-ahead blobs wait."""
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._garbage_age_ms = garbage_age_ms
        self._orphan_age_ms = orphan_age_ms
        self._wal_grace_ms = wal_grace_ms
        self._strange: dict[int, int] = {}

    async def purge_dead(self) -> int:
        """Delete the rows of partitions whose topics are gone, to the end; returns how many partitions."""
        done = 0
        while True:
            dead = await self._store.dead_partitions(CHUNK)
            for partition_id in dead:
                faults.hit("log.collect.purge")
                while not await self._store.purge_partition(partition_id, CHUNK):
                    pass  # a transaction each: others come between
            done += len(dead)
            if len(dead) < CHUNK:
                return done

    async def collect_blobs(self, grace_ms: int) -> int:
        """Doom blobs that no row names, delete the bytes of those doomed `grace_ms` ago, or less if they are write-ahead ones; returns how many were deleted."""
        deleted = 0
        now = self._clock()
        before, wal_before = now - grace_ms + 1, now - min(grace_ms, self._wal_grace_ms) + 1
        while len(await self._store.doom_unreferenced(now, self._garbage_age_ms, CHUNK)) == CHUNK:
            pass
        while True:
            doomed = await self._store.doomed_blobs(before, CHUNK, wal_before)
            gone: list[int] = []
            for blob in doomed:
                faults.hit("log.collect.delete")
                try:
                    await self._blobs.delete(blob.blob_id)
                except BlobHeld:
                    break
                gone.append(blob.blob_id)
            if gone:
                faults.hit("log.collect.forget")
                await self._store.forget_blobs(gone)
            deleted += len(gone)
            if len(gone) < CHUNK:
                return deleted

    async def look_for_orphans(self) -> bool:
        """Doom stored blobs that no row knows and that were there at a look `orphan_age_ms` ago, too.

        Looks at every blob: call it rarely. True: there are some that are not old enough, look again soon.
        """
        now = self._clock()
        sizes = await self._blobs.sizes()
        # in this order: who gets its row between the two looks is known to the second
        known = {row.blob_id for row in await self._store.blobs()}
        strange = {blob_id: self._strange.get(blob_id, now) for blob_id in sizes if blob_id not in known}
        old = [blob_id for blob_id, since in strange.items() if since <= now - self._orphan_age_ms]
        for at in range(0, len(old), CHUNK):
            faults.hit("log.collect.orphan")
            await self._store.doom_orphans(old[at : at + CHUNK], now)
        for blob_id in old:
            del strange[blob_id]
        self._strange = strange
        return bool(strange)
