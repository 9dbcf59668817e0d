"""When the maintenance jobs run: one task for the segment builder, one for the log cleaner, one for everything else; one job at a time in
each, pauses between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from moldau.blobs.ports import BlobError
from moldau.clock import Clock
from moldau.log.blob_ids import BlobIds
from moldau.log.cleaner import Cleaner, CleanerLimits
from moldau.log.collection import Collector
from moldau.log.compaction_plan import NEVER, CompactionRule
from moldau.log.retention import KEEP_ALL, Retainer, Retention
from moldau.log.segment_builder import SegmentBuilder
from moldau.log.segment_plan import BuildRule
from moldau.log.snapshots import Snapshots
from moldau.log.views import Views
from moldau.metadata.errors import StoreError
from moldau.metadata.ports import ClusterStore

from .catalog import Catalog, Topic
from .options import Options

if TYPE_CHECKING:
    from .config.effective import BrokerConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

_TICK_SECONDS = 1.0
_SWEEP_SECONDS = 10.0
_ALONE_COLLECT_SECONDS = 2.0
"""Between two collections where the stores are not shared: a look costs nothing there, and write-ahead files may be written over soon."""
_ORPHANS_SECONDS = 3600.0
_ROLLS_PER_RETENTION = 8
"""Segments span at most this part of `retention.ms`: nothing is kept for much longer than it should."""
_ROLL_MS_MIN = 1000
_CLEANER_SECONDS_MIN = 0.1
_KEY_BYTES_MIN = 1 << 20


class Jobs:
    """What `Upkeep` runs."""

    __slots__ = ("broker_config", "builder", "checkpoint", "cleaner", "collector", "retainer", "snapshots")

    def __init__(
        self,
        builder: SegmentBuilder,
        snapshots: Snapshots,
        retainer: Retainer,
        collector: Collector,
        cleaner: Cleaner,
        broker_config: Callable[[], BrokerConfig],
        checkpoint: Callable[[], Awaitable[int]] | None,
    ) -> None:
        """`broker_config` gives the broker's configuration as it is now."""
        self.builder = builder
        self.snapshots = snapshots
        self.retainer = retainer
        self.collector = collector
        self.cleaner = cleaner
        self.broker_config = broker_config
        self.checkpoint = checkpoint


class Upkeep:
    """`start` and `stop`; `retain_all` and the others may also be called by hand."""

    def __init__(
        self,
        jobs: Jobs,
        views: Views,
        catalog: Catalog,
        cluster_store: ClusterStore,
        ids: BlobIds,
        options: Options,
        clock: Clock,
        mine: Callable[[int], bool] | None = None,
        sole: Callable[[], bool] | None = None,
    ) -> None:
        """Where brokers share the stores, `mine` says whether this one is to care for a partition's small pieces, and `sole` whether
        it does the jobs of all.
        """
        self._mine = mine
        self._sole = sole
        self.jobs = jobs
        self._views = views
        self._catalog = catalog
        self._cluster_store = cluster_store
        self._ids = ids
        self._options = options
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []
        self._building = -1

    def start(self) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="moldau-upkeep"),
            loop.create_task(self._run_builder(), name="moldau-segments"),
            loop.create_task(self._run_cleaner(), name="moldau-cleaner"),
        ]

    async def stop(self) -> None:
        """Let the jobs under way end at their next await, then write the snapshots that make the next start quick."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            await self._guarded("snapshots", self.jobs.snapshots.take_all)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        retain_at = loop.time() + self._options.retention_check_ms / 1000
        sweep_at = collect_at = orphans_at = loop.time() + _SWEEP_SECONDS
        collect_seconds = _SWEEP_SECONDS if self._sole else min(_SWEEP_SECONDS, _ALONE_COLLECT_SECONDS)
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self.jobs.checkpoint is not None:
                await self._guarded("checkpoint", self.jobs.checkpoint)
            if self._ids.running_low:
                await self._guarded("blob_ids", self._more_ids)
            ours = self._sole is None or self._sole()
            if ours and loop.time() >= retain_at:
                retain_at = loop.time() + self._options.retention_check_ms / 1000
                await self._guarded("retention", self.retain_all)
            if loop.time() >= sweep_at:
                sweep_at = loop.time() + _SWEEP_SECONDS
                self.expire_producers()
            if ours and loop.time() >= collect_at:
                collect_at = loop.time() + collect_seconds
                await self._guarded("purge", self.jobs.collector.purge_dead)
                await self._guarded("collect", self.collect)
            if ours and loop.time() >= orphans_at:
                again = await self._guarded("orphans", self.jobs.collector.look_for_orphans)
                orphans_at = loop.time() + (_SWEEP_SECONDS if again else _ORPHANS_SECONDS)

    async def _run_builder(self) -> None:
        """Whoever works sleeps as long afterwards, so this never takes more than half of anything."""
        await self._guarded("builder_start", lambda: self.jobs.builder.start(self._options.segment_min_bytes))
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            for partition_id in self.jobs.builder.candidates():
                if partition_id == self.jobs.cleaner.working or not self._cares_for(partition_id):
                    continue
                self._building = partition_id
                await self._guarded("builder", lambda partition_id=partition_id: self.build(partition_id))  # type: ignore[misc]
                self._building = -1
            for view in self.jobs.snapshots.due():
                if not self._cares_for(view.partition_id):
                    continue
                began = time.perf_counter()
                await self._guarded("snapshot", lambda view=view: self.jobs.snapshots.take(view.partition_id))  # type: ignore[misc]
                await asyncio.sleep(time.perf_counter() - began)

    async def _run_cleaner(self) -> None:
        while True:
            config = self.jobs.broker_config()
            await asyncio.sleep(max(_CLEANER_SECONDS_MIN, config["log.cleaner.backoff.ms"] / 1000))
            await self.compact_all()

    def _cares_for(self, partition_id: int) -> bool:
        return self._mine is None or self._mine(partition_id)

    async def _guarded(self, name: str, job: Callable[[], Awaitable[T]]) -> T | None:
        """A job that fails is told and tried again in its turn; the others go on."""
        try:
            return await job()
        except (StoreError, BlobError, OSError) as error:
            log.warning("event=maintenance_failed job=%s error=%s", name, error)
            return None

    async def _more_ids(self) -> None:
        self._ids.add(await self._cluster_store.reserve_blob_block())

    # -- the jobs, with what the topics' settings say -----------------------------------------------------------------

    async def build(self, partition_id: int) -> int:
        """Merge what is small in one partition; returns how many merges."""
        topic = self._topic_of(partition_id)
        if topic is None:
            self.jobs.builder.forget(partition_id)
            return 0
        return await self.jobs.builder.build(partition_id, self.build_rule(topic))

    def build_rule(self, topic: Topic) -> BuildRule:
        """How extents of the topic's partitions are merged."""
        options, roll_ms = self._options, topic.segment_ms
        if topic.retention.retention_ms >= 0:
            roll_ms = min(roll_ms, max(_ROLL_MS_MIN, topic.retention.retention_ms // _ROLLS_PER_RETENTION))
        segment_bytes = min(options.segment_max_bytes, topic.segment_bytes)
        return BuildRule(options.segment_min_bytes, segment_bytes, options.segment_build_age_ms, roll_ms)

    async def compact_all(self) -> int:
        """One look at every partition that is to be compacted, and the work that is due; returns how many were compacted."""
        done = 0
        for topic in list(self._catalog.by_id.values()):
            for partition_id in list(topic.partition_ids) if topic.compaction is not None else ():
                if await self._guarded("cleaner", partial(self.compact, partition_id)):
                    done += 1
        return done

    async def compact(self, partition_id: int) -> bool:
        """Compact one partition, if that is due and nobody else is at it."""
        topic, config, cleaner = self._topic_of(partition_id), self.jobs.broker_config(), self.jobs.cleaner
        rule = self.compaction_rule(topic) if topic is not None else None
        if rule is None or not self._cares_for(partition_id):
            cleaner.forget(partition_id)
            return False
        if partition_id == self._building or not config["log.cleaner.enable"] or not cleaner.wants(partition_id, rule):
            return False
        limits = CleanerLimits(
            max(_KEY_BYTES_MIN, config["log.cleaner.dedupe.buffer.size"]), config["log.cleaner.io.max.bytes.per.second"]
        )
        return await cleaner.clean(partition_id, rule, limits)

    def compaction_rule(self, topic: Topic) -> CompactionRule | None:
        """How the topic's partitions are compacted; None: they are not."""
        config = topic.compaction
        if config is None:
            return None
        return CompactionRule(
            delete_retention_ms=config.delete_retention_ms,
            min_ratio=config.min_cleanable_dirty_ratio,
            min_lag_ms=config.min_compaction_lag_ms,
            max_lag_ms=config.max_compaction_lag_ms,
            min_age_ms=self._options.segment_build_age_ms,
            segment_bytes=min(self._options.segment_max_bytes, topic.segment_bytes),
            roll_ms=self.build_rule(topic).roll_ms if config.deletes else NEVER,
        )

    def _topic_of(self, partition_id: int) -> Topic | None:
        return self._catalog.by_partition.get(partition_id)

    def _retention_of(self, topic_id: bytes) -> Retention:
        topic = self._catalog.by_id.get(topic_id)
        return topic.retention if topic is not None else KEEP_ALL

    async def retain_all(self) -> int:
        """One round of retention; returns how many rows went."""
        return await self.jobs.retainer.retain_all(self._retention_of)

    async def collect(self) -> int:
        """Delete the bytes of dropped data whose time has come; returns how many blobs."""
        return await self.jobs.collector.collect_blobs(self.delete_delay_ms())

    def delete_delay_ms(self) -> int:
        """The longest `file.delete.delay.ms` of all topics, because they share files."""
        return max((topic.file_delete_delay_ms for topic in self._catalog.by_id.values()), default=0)

    def expire_producers(self) -> None:
        """Views in memory forget the producers that a snapshot would leave out now."""
        before = self._clock() - self._options.producer_expiration_ms
        for view in self._views.all():
            view.producers.expire(before)
