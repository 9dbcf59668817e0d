"""`moldau restore --metadata URL --blobs URL`: shared stores whose PostgreSQL was brought back to an earlier time.

First every blob that a row names must be in the blob store, and as long as it should be; then epochs rise and ids are skipped, as after the
restore of a data directory (`moldau.metadata.going_back`). No broker may live meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moldau import faults
from moldau.blobs.open_blobs import open_blobs
from moldau.broker.assembly import FORMAT_VERSION
from moldau.clock import now_ms
from moldau.cluster.pulse import GONE_MS
from moldau.metadata.opening import Stores, open_stores

from .copying import BackupError

if TYPE_CHECKING:
    from moldau.blobs.ports import BlobStore

_SHOWN = 5


async def bring_back(metadata_url: str, blobs_url: str, *, check: bool) -> dict[str, Any]:
    """What there is; with `check` nothing is changed. Raises BackupError, StoreError, BlobError, ValueError."""
    stores = await open_stores(metadata_url, FORMAT_VERSION, now_ms())
    try:
        await _refuse_brokers(stores)
        topics = await stores.topics.load_topics()
        if not topics:
            raise BackupError("this metadata store knows no topic: is it the right database?")
        blobs = await open_blobs(blobs_url)
        try:
            files, size = await _refuse_missing(stores, blobs)
        finally:
            await blobs.close()
        if not check:
            faults.hit("server.restore.forward")
            await _refuse_brokers(stores)
            await stores.recovery.went_back()
        cluster = await stores.cluster.load_cluster()
    finally:
        await stores.close()
    partitions = sum(len(topic.partitions) for topic in topics)
    return {
        "cluster_id": cluster.cluster_id,
        "topics": len(topics),
        "partitions": partitions,
        "files": files,
        "bytes": size,
    }


async def _refuse_brokers(stores: Stores) -> None:
    alive = sorted(row.node_id for row in await stores.cluster.load_brokers() if row.age_ms < GONE_MS)
    if alive:
        raise BackupError(f"brokers live on this store: {', '.join(map(str, alive))}. Stop all of them first.")


async def _refuse_missing(stores: Stores, blobs: BlobStore) -> tuple[int, int]:
    """How many blobs rows name, and their bytes."""
    sizes = await blobs.sizes()
    named = [row for row in await stores.maintenance.blobs() if row.doomed_ms < 0]
    missing = [row for row in named if sizes.get(row.blob_id, -1) < row.size]
    if missing:
        shown = ", ".join(f"{row.blob_id:016x}" for row in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise BackupError(
            f"{len(missing)} of {len(named)} blobs are not in the blob store, or too short: {shown}{more}."
            " Bring back the objects that were deleted since, or a later state of the metadata store."
        )
    return len(named), sum(row.size for row in named)
