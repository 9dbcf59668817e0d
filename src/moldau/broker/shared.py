"""A broker of many: a metadata store and a blob store that all of them share; it keeps nothing itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from moldau.cluster.claim import claim, settle
from moldau.cluster.member import Member, pack_endpoints
from moldau.cluster.membership import Membership
from moldau.coordination.shards import GroupShards
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.version import VERSION

from .assembly import FORMAT_VERSION, Node, group_config
from .broker import Endpoint
from .options import ANY_NODE_ID
from .steering import Steering
from .together import Together
from .upkeep import Upkeep

if TYPE_CHECKING:
    from moldau.blobs.ports import BlobStore
    from moldau.metadata.postgres.engine import PostgresEngine

    from .options import Options

BUILD_AGE_MS_MIN = 60_000
"""Extents younger than this are not merged: a commit whose reply was lost finds out by its extent that it had succeeded."""


class SharedNode(Node):
    """See the module's text. `fenced` is called when another broker has taken its node id: it must end."""

    engine: PostgresEngine
    blobs: BlobStore

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.fenced: Callable[[], None] = lambda: None
        self.metadata_told = ""
        self.blobs_told = ""
        self._together: Together | None = None
        self._upkeep: Upkeep | None = None

    async def start(self, endpoints: list[Endpoint]) -> None:
        options, broker, clock = self.options, self.broker, self.clock
        loop = asyncio.get_running_loop()
        await self._open()
        await self._cluster.create_cluster(clock())
        owner = f"start:{os.urandom(8).hex()}"
        claimed = options.node_id == ANY_NODE_ID
        if claimed:
            options.node_id = await claim(self._cluster, self._leases, owner)
        ids = BlobIds(await self._cluster.reserve_blob_block())
        await self._know(self._cluster, self._topics, self._catalog, loop, shared=True)
        broker.endpoints = endpoints
        broker.data_dir = self.blobs_told
        broker.commits = lambda: self.engine.commits
        self._read(self._log, self.blobs, shared=True)
        self._serve()
        told = {endpoint.listener: (endpoint.host, endpoint.port) for endpoint in endpoints}
        incarnation = await self._cluster.start_broker(
            options.node_id, options.rack, pack_endpoints(told), VERSION, clock()
        )
        if claimed:
            await settle(self._leases, owner, options.node_id)
        broker.members = Membership(Member(options.node_id, incarnation, options.rack, told, VERSION))
        together = self._together = Together(
            broker, self._leases, endpoints[0].listener, maintains=options.maintains, fenced=lambda: self.fenced()
        )
        broker.peers = together.peers
        broker.steering = Steering(broker.members, broker.steady_clock)
        broker.groups = GroupShards(
            self._groups,
            group_config(options),
            broker.steady_clock,
            broker.catalog.name_of,
            together.expects,
            together.forget,
        )
        broker.appender = self._appender(ids, loop)
        options.segment_build_age_ms = max(options.segment_build_age_ms, BUILD_AGE_MS_MIN)
        self._upkeep = Upkeep(
            self._jobs(self._maintenance, self.blobs, ids, None),
            broker.views,
            broker.catalog,
            self._cluster,
            ids,
            options,
            clock,
            mine=lambda partition_id: broker.members.leader_of(partition_id) == broker.node_id,
            sole=lambda: together.maintaining,
        )
        await together.start()
        if options.maintains:
            self._upkeep.start()

    async def _open(self) -> None:
        from moldau.metadata.postgres.catalog_store import PostgresCatalogStore
        from moldau.metadata.postgres.cluster_store import PostgresClusterStore
        from moldau.metadata.postgres.engine import PostgresEngine
        from moldau.metadata.postgres.group_store import PostgresGroupStore
        from moldau.metadata.postgres.lease_store import PostgresLeaseStore
        from moldau.metadata.postgres.log_store import PostgresLogStore
        from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
        from moldau.metadata.sql.topic_rows import SqlTopicStore

        engine = PostgresEngine(self.options.metadata_url)
        await engine.open()
        self.engine = engine
        self._cluster = PostgresClusterStore(engine, FORMAT_VERSION)
        self._topics = SqlTopicStore(engine)
        self._catalog = PostgresCatalogStore(engine)
        self._log = PostgresLogStore(engine)
        self._groups = PostgresGroupStore(engine)
        self._leases = PostgresLeaseStore(engine)
        self._maintenance = SqlMaintenanceStore(engine)
        self.metadata_told = str(engine.address.told)
        self.blobs = await _open_blobs(self.options.blobs_url)
        self.blobs_told = self.options.blobs_url.partition("?")[0]

    def _appender(self, ids: BlobIds, loop: asyncio.AbstractEventLoop) -> Appender:
        from moldau.log.sequencer import StoreSequencer

        options, broker = self.options, self.broker
        assert broker.peers is not None
        sequencer = StoreSequencer(
            self._log,
            _Whole(self.blobs, self._log, ids, self.clock, loop),  # type: ignore[arg-type]
            ids,
            loop,
            options.inline_max_bytes,
        )
        return Appender(
            sequencer,
            broker.views,
            broker.cache,
            self.clock,
            loop,
            options.inline_max_bytes,
            options.flush_max_bytes,
            broker.refresher,
            broker.peers.published,
        )

    async def leave(self) -> None:
        if self._together is not None:
            await self._together.leave()

    async def stop(self) -> None:
        assert self._together is not None
        assert self._upkeep is not None
        await self._upkeep.stop()
        await self._quiet()
        await self.broker.catalog.close()
        await self._together.close()
        await self.broker.groups.close()
        await self._close()

    async def abort(self) -> None:
        if self._upkeep is not None:
            await self._upkeep.stop()
        if self._together is not None:
            await self._together.abort()
        await self._close()

    async def _close(self) -> None:
        if hasattr(self, "engine"):
            if hasattr(self, "_log"):
                await self._log.close()
            await self.engine.close()
        if hasattr(self, "blobs"):
            await self.blobs.close()


async def _open_blobs(url: str) -> BlobStore:
    if url.startswith("file://"):
        from pathlib import Path

        from moldau.blobs.local import LocalBlobs

        return LocalBlobs(Path(url.removeprefix("file://")))
    from moldau.blobs.object_url import ObjectUrl
    from moldau.blobs.objects import Objects

    objects = Objects(ObjectUrl(url))
    await objects.open()
    return objects


class _Whole:
    """In place of a write-ahead blob: each flush is a whole blob."""

    def __init__(self, blobs, store, ids, clock, loop) -> None:  # type: ignore[no-untyped-def]
        self.blobs, self.store, self.ids, self.clock, self.loop = blobs, store, ids, clock, loop

    def append(self, buffers, length, durable, done) -> None:  # type: ignore[no-untyped-def]
        async def put() -> None:
            from moldau.metadata.rows import KIND_WAL, BlobRow

            blob_id = self.ids.take()
            try:
                await self.blobs.put(blob_id, buffers)
                await self.store.register_blob(BlobRow(blob_id, KIND_WAL, length, self.clock()))
            except Exception as error:
                done(-1, -1, error)
            else:
                done(blob_id, 0, None)

        self.loop.create_task(put())

    def settled(self, blob_id, error) -> None:  # type: ignore[no-untyped-def]
        pass
