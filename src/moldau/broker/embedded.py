"""The broker on one machine: SQLite and local files, which are nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from moldau.cluster.member import Member
from moldau.cluster.membership import Membership
from moldau.coordination.coordinator import GroupCoordinator
from moldau.coordination.share.records import SHARE_GROUP
from moldau.log.appender import Appender
from moldau.log.blob_ids import BlobIds
from moldau.log.journal import Journal
from moldau.log.journaled_groups import JournaledGroupStore
from moldau.log.journaled_store import JournaledStore
from moldau.log.journaled_txns import JournaledTxnStore
from moldau.log.marker_writer import JournaledMarkers
from moldau.log.note_queue import NoteQueue
from moldau.log.wal import WriteAhead
from moldau.metadata.errors import StoreError
from moldau.version import VERSION

from . import features
from .assembly import FORMAT_VERSION, Node, group_config
from .broker import Endpoint
from .recovery import may_be_guessed, recover
from .upkeep import Upkeep

if TYPE_CHECKING:
    from moldau.blobs.local import LocalBlobs
    from moldau.clock import Clock
    from moldau.metadata.sqlite.engine import SqliteEngine

    from .options import Options


class EmbeddedNode(Node):
    """Its stores lie under `data`; they sync nothing if not `syncs` (`--ephemeral`)."""

    engine: SqliteEngine
    blobs: LocalBlobs
    journal: Journal
    notes: NoteQueue
    wal: WriteAhead

    def __init__(self, options: Options, data: Path, *, syncs: bool = True, clock: Clock | None = None) -> None:
        super().__init__(options, *([clock] if clock is not None else []))
        self._data = data
        self._syncs = syncs
        self.power_kept = False
        """Whether the machine has been running since the stores were last open."""
        self.by_workers = False
        """Whether workers had them open."""
        self.unclean = False
        """Whether these did not end in order."""

    async def start(self, endpoints: list[Endpoint]) -> None:
        from moldau.blobs.local import LocalBlobs
        from moldau.metadata.sql.catalog_rows import SqlCatalogStore
        from moldau.metadata.sql.cluster_rows import SqlClusterStore
        from moldau.metadata.sql.group_rows import SqlGroupStore
        from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
        from moldau.metadata.sql.share_rows import SqlShareStore
        from moldau.metadata.sql.topic_rows import SqlTopicStore
        from moldau.metadata.sql.txn_rows import SqlTxnStore
        from moldau.metadata.sqlite.engine import SqliteEngine
        from moldau.metadata.sqlite.journal_store import SqliteJournalStore
        from moldau.metadata.sqlite.log_store import SqliteLogStore

        options, broker, clock = self.options, self.broker, self.clock
        data, syncs, power_kept = self._data, self._syncs, self.power_kept
        loop = asyncio.get_running_loop()
        anew = not (data / "metadata.sqlite").exists()
        engine = self.engine = SqliteEngine(
            data / "metadata.sqlite", loop, syncs=syncs, power_kept=power_kept, was_shared=self.by_workers
        )
        engine.open()
        spare_bytes = options.wal_spare_bytes if syncs else 0
        blobs = self.blobs = LocalBlobs(data / "blobs", syncs=syncs, spare_bytes=spare_bytes, anew=anew)
        engine.before_sync = blobs.sync
        await recover(
            engine, blobs, clock, power_kept=power_kept, unclean=self.by_workers and self.unclean, alone=options.node_id
        )
        cluster_store = SqlClusterStore(engine, FORMAT_VERSION)
        rows = SqliteLogStore(engine)
        journal_store = SqliteJournalStore(engine)
        maintenance_store = SqlMaintenanceStore(engine)
        ids = BlobIds(await cluster_store.reserve_blob_block())
        self.wal = WriteAhead(blobs, rows, maintenance_store, ids, clock)
        await self.wal.open()
        journal = self.journal = Journal(journal_store, self.wal, ids, loop, options.inline_max_bytes)
        notes = self.notes = NoteQueue(journal, clock, loop)

        await self._know(cluster_store, SqlTopicStore(engine), SqlCatalogStore(engine), loop, shared=False)
        broker.endpoints = endpoints
        broker.data_dir = str(data)
        broker.commits = lambda: engine.commits
        incarnation = await cluster_store.start_broker(
            options.node_id, options.rack, "", VERSION, clock(), features.packed()
        )
        broker.peers = None
        broker.steering = None
        broker.members = Membership(Member(options.node_id, incarnation, options.rack, {}, VERSION))
        guesses = await may_be_guessed(cluster_store)
        self._read(JournaledStore(rows, journal), blobs, shared=False, guesses=guesses)
        journal.gathered = broker.views.gathered
        broker.appender = Appender(
            journal,
            broker.views,
            broker.cache,
            clock,
            loop,
            options.inline_max_bytes,
            options.flush_max_bytes,
            lambda guard: broker.transactions.is_open(guard),
        )
        broker.markers = JournaledMarkers()
        stored = SqlTxnStore(engine, cluster_store)
        broker.txn_store = JournaledTxnStore(stored, journal, notes, broker.views, broker.cache, loop)
        self._serve()
        broker.transactions = self._transactions(sole=True)
        broker.shares = self._shares(SqlShareStore(engine, journal.drained))
        jobs = self._jobs(maintenance_store, blobs, ids, engine.checkpoint, rows, alone=True)
        self.upkeep = Upkeep(jobs, broker.views, broker.catalog, cluster_store, ids, options, clock)
        if options.maintains:
            self.upkeep.start()
        groups = group_config(options)
        broker.groups = GroupCoordinator(
            JournaledGroupStore(SqlGroupStore(engine), journal, notes, loop),
            groups,
            broker.steady_clock,
            broker.catalog.name_of,
            around=self._around_groups(groups),
        )
        await broker.groups.start()
        await broker.shares.store.drop_orphans(SHARE_GROUP)
        broker.transactions.start()

    async def abort(self) -> None:
        engine = getattr(self, "engine", None)
        if engine is not None:
            await asyncio.get_running_loop().run_in_executor(None, engine.close)
        blobs = getattr(self, "blobs", None)
        if blobs is not None:
            await blobs.close()

    async def stop(self) -> None:
        """Commit what is pending, seal, sync, close."""
        with contextlib.suppress(StoreError):  # so that the last snapshots are of the last rows
            await self.journal.drained()
        await self.upkeep.stop()
        await self.broker.transactions.close()
        await self.broker.shares.close()
        await self.broker.groups.close()
        await self._quiet()
        await self.wal.close()
        await asyncio.get_running_loop().run_in_executor(None, self.engine.close)
        await self.blobs.close()

    async def _quiet(self) -> None:
        await super()._quiet()
        while not self.notes.idle:  # noqa: ASYNC110  as there
            await asyncio.sleep(0.001)
