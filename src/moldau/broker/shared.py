"""A broker of many: a metadata store and a blob store that all of them share; it keeps nothing itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from moldau.blobs.block_cache import BlockCache
from moldau.blobs.object_url import BadUrl
from moldau.blobs.open_blobs import open_blobs
from moldau.blobs.ports import BlobError
from moldau.blobs.shared_files import SharedFiles
from moldau.cluster.claim import claim, settle
from moldau.cluster.member import Member, pack_endpoints
from moldau.cluster.membership import Membership
from moldau.coordination.shards import GroupShards
from moldau.log.blob_ids import BlobIds
from moldau.log.cold import ColdReads
from moldau.log.marker_writer import SharedMarkers
from moldau.log.shared_appender import SharedAppender
from moldau.log.storage import AUTO, AppendRules
from moldau.metadata.errors import FormatTooNew, StoreUnavailable
from moldau.metadata.opening import Stores, open_stores
from moldau.version import VERSION

from . import features
from .assembly import FORMAT_VERSION, Engine, Node, group_config
from .broker import Endpoint
from .moved import refuse_moved
from .options import ANY_NODE_ID
from .steering import Steering
from .together import Together
from .upkeep import Upkeep

if TYPE_CHECKING:
    from moldau.blobs.ports import BlobStore

    from .options import Options

log = logging.getLogger(__name__)

STOP_SECONDS_MAX = 3.0
"""For each part of a stop."""
LEAVE_SECONDS_MAX = 4.0
FILES_LINGER_MS = 2
"""In a shared folder batches wait for others at most so long."""
BUILD_AGE_MS_MIN = 60_000
"""Extents younger than this are not merged: a commit whose reply was lost finds out by its extent that it had succeeded."""


class SharedNode(Node):
    """See the module's text. `fenced` is called when another broker has taken its node id: it must end."""

    engine: Engine
    blobs: BlobStore

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.fenced: Callable[[], None] = lambda: None
        self.metadata_told = ""
        self.blobs_told = ""
        self._stores: Stores | None = None
        self._together: Together | None = None
        self._upkeep: Upkeep | None = None

    async def start(self, endpoints: list[Endpoint]) -> None:
        options, broker, clock = self.options, self.broker, self.clock
        loop = asyncio.get_running_loop()
        stores = await self._open()
        owner = f"start:{os.urandom(8).hex()}"
        claimed = options.node_id == ANY_NODE_ID
        if claimed:
            options.node_id = await claim(stores.cluster, stores.leases, owner)
        ids = BlobIds(await stores.cluster.reserve_blob_block())
        await self._know(stores.cluster, stores.topics, stores.catalog, loop, shared=True)
        broker.endpoints = endpoints
        broker.data_dir = self.blobs_told
        broker.commits = lambda: broker.catalog.version
        cold = ColdReads(self.blobs, self.blobs.cold, clock) if isinstance(self.blobs, BlockCache) else None
        self._read(stores.log, self.blobs, shared=True, cold=cold)
        self._serve()
        await stores.warm()  # once it is registered, clients come by themselves, and many at once
        told = {endpoint.listener: (endpoint.host, endpoint.port) for endpoint in endpoints}
        self.before_known()
        incarnation = await stores.cluster.start_broker(
            options.node_id, options.rack, pack_endpoints(told), VERSION, clock(), features.packed()
        )
        await self._take_features()  # now that whoever raises one looks at this broker
        broker.catalog.entities_changed = self._follow_features
        if claimed:
            await settle(stores.leases, owner, options.node_id)
        broker.members = Membership(
            Member(options.node_id, incarnation, options.rack, told, VERSION), broker.catalog.assigned
        )
        together = self._together = Together(
            broker, stores.leases, endpoints[0].listener, maintains=options.maintains, fenced=lambda: self.fenced()
        )
        broker.peers = together.peers
        broker.steering = Steering(broker.members, broker.steady_clock)
        groups = group_config(options)
        broker.groups = GroupShards(
            stores.groups,
            groups,
            broker.steady_clock,
            broker.catalog.name_of,
            together.expects,
            together.forget,
            self._around_groups(groups),
        )
        broker.shares = self._shares(stores.shares)
        broker.txn_store = stores.txns
        broker.appender = self._appender(ids, loop)
        broker.markers = SharedMarkers(broker.refresher, broker.views, broker.cache, together.peers.published)
        broker.transactions = self._transactions(sole=False, mine=lambda: together.maintaining)
        options.segment_build_age_ms = max(options.segment_build_age_ms, BUILD_AGE_MS_MIN)
        self._upkeep = Upkeep(
            self._jobs(stores.maintenance, self.blobs, ids, None, self.broker.log_store, alone=False),
            broker.views,
            broker.catalog,
            stores.cluster,
            ids,
            options,
            clock,
            mine=lambda partition_id: broker.members.partition_leader(partition_id) == broker.node_id,
            sole=lambda: together.maintaining,
        )
        await together.start()
        broker.transactions.start()
        if options.maintains:
            self._upkeep.start()

    async def _take_features(self) -> None:
        """The levels as they are. Raises FormatTooNew, when this broker is registered no more; StoreError."""
        broker = self.broker
        row = await broker.cluster_store.load_cluster()
        broker.cluster.features = row.features
        why = features.too_new(row.features)
        if why is not None:
            await broker.cluster_store.forget_broker(self.options.node_id)
            raise FormatTooNew(why)

    async def _follow_features(self) -> None:
        """Others changed something that may be a level. A broker that was silent so long that they did not wait for it may have to end."""
        try:
            await self._take_features()
        except FormatTooNew as error:
            log.error("event=feature_not_served why='%s'", error)
            self.fenced()

    async def _open(self) -> Stores:
        options = self.options
        try:
            stores = await open_stores(options.metadata_url, FORMAT_VERSION, self.clock(), features=features.at_first())
        except ValueError as error:
            raise StoreUnavailable(str(error)) from error
        self._stores = stores
        self.engine = stores.engine
        self.metadata_told = stores.told
        await refuse_moved(stores.cluster, stores.told)
        try:
            store = await open_blobs(options.blobs_url)
        except BadUrl as error:
            raise BlobError(f"moldau.blobs.url: {error}") from error
        remote = not isinstance(store, SharedFiles)
        self.blobs = BlockCache(store, options.block_cache_bytes) if remote else store
        self.blobs_told = options.blobs_url.partition("?")[0]
        return stores

    def _appender(self, ids: BlobIds, loop: asyncio.AbstractEventLoop) -> SharedAppender:
        options, broker = self.options, self.broker
        assert broker.peers is not None
        assert self._stores is not None
        topics = broker.catalog.by_id
        linger_ms = options.upload_linger_ms
        if isinstance(self.blobs, SharedFiles):  # a put costs no money there, and a millisecond
            linger_ms = min(linger_ms, FILES_LINGER_MS)

        def mode_of(topic_id: bytes) -> str:
            topic = topics.get(topic_id)
            return topic.storage if topic is not None else AUTO

        return SharedAppender(
            self._stores.log,
            self.blobs,
            ids,
            broker.views,
            broker.cache,
            broker.refresher,
            self.clock,
            loop,
            AppendRules(options.inline_max_bytes, linger_ms, options.upload_max_bytes, options.uploads_max),
            mode_of,
            broker.peers.published,
        )

    async def _quiet(self) -> None:
        appender = self.broker.appender
        assert isinstance(appender, SharedAppender)
        await appender.drain()

    async def introduce(self) -> None:
        if self._together is not None:
            await self._together.introduce()

    async def leave(self) -> None:
        if self._together is not None:
            await _within(LEAVE_SECONDS_MAX, "leave", self._together.leave())

    async def stop(self) -> None:
        """What a store that does not answer holds up is left: others find out, and the next start goes on."""
        assert self._together is not None
        assert self._upkeep is not None
        await _within(STOP_SECONDS_MAX, "upkeep", self._upkeep.stop())
        await _within(STOP_SECONDS_MAX, "transactions", self.broker.transactions.close())
        await self.broker.shares.letters.close()
        await _within(STOP_SECONDS_MAX, "appends", self._quiet())
        await self.broker.catalog.close()
        await _within(STOP_SECONDS_MAX, "membership", self._together.close())
        await _within(STOP_SECONDS_MAX, "shares", self.broker.shares.close())
        await _within(STOP_SECONDS_MAX, "groups", self.broker.groups.close())
        await _within(STOP_SECONDS_MAX, "stores", self._close())

    async def abort(self) -> None:
        if self._upkeep is not None:
            await self._upkeep.stop()
        if self._together is not None:
            await self._together.abort()
        await self._close()

    async def _close(self) -> None:
        if self._stores is not None:
            await self._stores.close()
        if hasattr(self, "blobs"):
            await self.blobs.close()


async def _within(seconds: float, name: str, work: Awaitable[None]) -> None:
    """Part of a stop, which must come to an end."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        log.warning("event=stop_cut_short what=%s seconds=%.0f", name, seconds)
