"""When the maintenance jobs run: one task, one job at a time, pauses between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from moldau.blobs.ports import BlobError
from moldau.clock import Clock
from moldau.log.blob_ids import BlobIds
from moldau.log.maintenance import Maintenance
from moldau.log.views import Views
from moldau.metadata.errors import StoreError
from moldau.metadata.ports import ClusterStore

from .catalog import Catalog
from .options import Options

log = logging.getLogger(__name__)

_TICK_SECONDS = 1.0


class Upkeep:
    """`start` and `stop`; `retain_all` and the others may also be called by hand."""

    def __init__(
        self,
        maintenance: Maintenance,
        views: Views,
        catalog: Catalog,
        cluster_store: ClusterStore,
        ids: BlobIds,
        checkpoint: Callable[[], Awaitable[int]],
        options: Options,
        clock: Clock,
    ) -> None:
        self._maintenance = maintenance
        self._views = views
        self._catalog = catalog
        self._cluster_store = cluster_store
        self._ids = ids
        self._checkpoint = checkpoint
        self._options = options
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="moldau-upkeep")

    async def stop(self) -> None:
        """Let the job under way end at its next await."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        retain_at = loop.time() + self._options.retention_check_ms / 1000
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            await self._guarded("checkpoint", self._checkpoint)
            if self._ids.running_low:
                await self._guarded("blob_ids", self._more_ids)
            if loop.time() >= retain_at:
                retain_at = loop.time() + self._options.retention_check_ms / 1000
                await self._guarded("retention", self.retain_all)
                await self._guarded("purge", self._maintenance.purge_dead)
                await self._guarded("collect", self._maintenance.collect_blobs)

    async def _guarded(self, name: str, job: Callable[[], Awaitable[object]]) -> None:
        """A job that fails is told and tried again in its turn; the others go on."""
        try:
            await job()
        except (StoreError, BlobError, OSError) as error:
            log.warning("event=maintenance_failed job=%s error=%s", name, error)

    async def _more_ids(self) -> None:
        self._ids.add(await self._cluster_store.reserve_blob_block())

    async def retain_all(self) -> None:
        """Retention and expiry of producers for every partition, one after the other."""
        now = self._clock()
        for topic in list(self._catalog.by_id.values()):
            for partition_id in list(topic.partition_ids):
                view = await self._views.load(partition_id)
                if view is not None:
                    await self._maintenance.retain(view, topic.retention)
                    await self._maintenance.drop_below_start(view)
                    view.producers.expire(now - self._options.producer_expiration_ms)
