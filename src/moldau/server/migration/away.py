"""`moldau migrate --from DIR`: a data directory becomes a cluster's stores.

Theory of operation
-------------------
The directory is locked, so nobody serves it. In this order:

1. The target is tried and must be empty, or hold a half of this migration.
2. Replay, as at a start: the journal becomes rows, its files are sealed. After that nothing is changed in the directory until the end.
3. A note in the blob store says whose blobs come there.
4. Blobs, whole and under their ids. Nobody looks at them before rows name them.
5. Their sizes are compared; with `full` every batch is read from the target and checked.
6. All rows in **one transaction**, read back in it and compared, then committed. That is the moment at which the cluster is there.
7. `DIR/migrated.json` keeps brokers off the directory; the note goes.

A death before 6 leaves an empty metadata store and some blobs, which the next run does not copy again. A death after it leaves a store that holds
exactly the rows of the directory: the next run finds that out, and does step 7. Ids go on where they were: the next producer id, block of blob
ids and partition id are rows too.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

from moldau import faults
from moldau.blobs.local import LocalBlobs
from moldau.blobs.ports import BlobStore
from moldau.broker.assembly import FORMAT_VERSION
from moldau.broker.recovery import may_be_guessed
from moldau.log.inspection import Inspection
from moldau.log.replay import Replay
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
from moldau.metadata.sql.recovery_rows import SqlRecoveryStore
from moldau.metadata.sql.tables import TABLES
from moldau.metadata.sql.topic_rows import SqlTopicStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.metadata.sqlite.log_store import SqliteLogStore
from moldau.metadata.sqlite.whole import SqliteWhole

from ..at_rest import check_sum, remove_sum, write_sum
from ..backup import Told, silent
from ..data_dir import MIGRATED, DataDir, DataDirError, refuse_migrated
from .blobs import Copied, copy_blobs, putting, refuse_missing, wanted_blobs
from .errors import MigrationError
from .notes import NOTE_ID, Note, put_file, put_note, read_file, read_note, remove_note
from .opening import metadata_of, open_engine, open_target
from .sums import Sums, copy_rows, sum_up

_CHECKS_AT_ONCE = 4


async def migrate_away(
    data: Path, to_metadata: str, to_blobs: str, *, now: int, full: bool = False, told: Told = silent
) -> dict[str, Any]:
    """Returns the summary. Raises MigrationError, DataDirError, StoreError, BlobError, OSError."""
    if not (data / "metadata.sqlite").exists():
        raise DataDirError(f"{data} is no data directory: there is no metadata.sqlite in it. Name one with --from DIR.")
    metadata_of(to_metadata)
    folder = DataDir(data)
    folder.open()
    try:
        marker = read_file(data / MIGRATED)
        if marker is None or (marker.get("metadata"), marker.get("blobs")) != (
            metadata_of(to_metadata).where,
            to_blobs,
        ):
            refuse_migrated(data)
        await (await open_engine(to_metadata)).close()
        blobs = await open_target(to_blobs)
        try:
            return await Away(folder, to_metadata, to_blobs, blobs, now, full, told).run()
        finally:
            await blobs.close()
    finally:
        folder.close()


class Away:
    """One run; both stores of the target are known to answer."""

    def __init__(
        self, folder: DataDir, to_metadata: str, to_blobs: str, blobs: BlobStore, now: int, full: bool, told: Told
    ) -> None:
        self._folder = folder
        self._data = folder.path
        self._to_metadata = to_metadata
        self._to_blobs = to_blobs
        self._where = metadata_of(to_metadata).where
        self._blobs = blobs
        self._now = now
        self._full = full
        self._told = told
        self._in_order = False

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        self._in_order = await asyncio.to_thread(check_sum, self._data)
        if self._in_order:
            remove_sum(self._data)
        folder = self._folder
        engine = SqliteEngine(
            self._data / "metadata.sqlite", loop, power_kept=folder.power_kept, was_shared=folder.by_workers
        )
        local = LocalBlobs(self._data / "blobs")
        try:
            engine.open()
            engine.before_sync = local.sync
            cluster_id = await self._put_in_order(engine, local)
            return await self._move(engine, cluster_id)
        finally:
            await loop.run_in_executor(None, engine.close)
            await local.close()
            if self._in_order:
                await asyncio.to_thread(write_sum, self._data)

    async def _put_in_order(self, engine: SqliteEngine, local: LocalBlobs) -> str:
        """What a start and a stop would do; returns the cluster's id."""
        faults.hit("server.migrate.replay")
        replayed = await Replay(
            SqliteJournalStore(engine), SqlMaintenanceStore(engine), local, power_kept=self._folder.power_kept
        ).run()
        if replayed.blobs and not self._folder.power_kept:
            await SqlRecoveryStore(engine).raise_leader_epochs(1)
        self._folder.recovered()
        self._in_order = True
        return (await SqlClusterStore(engine, FORMAT_VERSION).load_cluster()).cluster_id

    async def _move(self, engine: SqliteEngine, cluster_id: str) -> dict[str, Any]:
        source = SqliteWhole(self._data / "metadata.sqlite")
        try:
            note = {"cluster_id": cluster_id, "metadata": self._where}
            committed = await self._refuse_used(note)
            before = committed and (self._data / MIGRATED).exists()
            copied, batches = Copied(0, 0), 0
            if before:  # nothing is compared: brokers may have served the cluster since
                sums, wanted = await sum_up(source), await wanted_blobs(source)
            elif committed:
                sums, wanted = await self._committed_before(source), await wanted_blobs(source)
                refuse_missing(wanted, await self._blobs.sizes(), self._to_blobs)
            else:
                await put_note(self._blobs, note)
                wanted, copied = await self._move_blobs(source)
            if self._full and not before:
                batches = await self._check_batches(engine)
            if not committed:
                sums = await self._move_rows(source)
        finally:
            await source.close()
        if not before:
            at = f"{datetime.fromtimestamp(self._now / 1000).astimezone():%Y-%m-%d %H:%M:%S%z}"
            put_file(self._data / MIGRATED, {**note, "blobs": self._to_blobs, "at": at})
        await remove_note(self._blobs)
        return {
            "from": str(self._data),
            "to_metadata": self._where,
            "to_blobs": self._to_blobs,
            "cluster_id": cluster_id,
            **sums.figures(),
            "blobs": len(wanted),
            "bytes": sum(wanted.values()),
            "blobs_copied": copied.blobs,
            "bytes_copied": copied.bytes,
            "verified": "before" if before else "full" if self._full else "rows and sizes",
            "batches": batches,
        }

    async def _refuse_used(self, note: Note) -> bool:
        """Raises MigrationError unless the target is empty or holds a half of this migration; True when all rows are there."""
        target = metadata_of(self._to_metadata)
        await target.open(reads=True)
        try:
            there = await target.cluster_id()
            used = await target.used_tables()
        finally:
            await target.close()
        if there is None and used:
            raise MigrationError(
                f"{self._where} is not empty: there are rows in {', '.join(used)}. Choose an empty database; nothing was changed."
            )
        if there not in (None, note["cluster_id"]):
            raise MigrationError(
                f"{self._where} holds another cluster, {there}. Choose an empty database; nothing was changed."
            )
        found = await read_note(self._blobs, self._to_blobs)
        if found is not None and found != note:
            raise MigrationError(
                f"{self._to_blobs} holds a half of another migration: of cluster {found.get('cluster_id')} to {found.get('metadata')}. Finish that one, or"
                " choose another prefix; nothing was changed."
            )
        if there is None and found is None and await self._blobs.sizes():
            raise MigrationError(
                f"{self._to_blobs} is not empty: there are blobs of somebody else. Choose another bucket or prefix; nothing was changed."
            )
        return there is not None

    async def _committed_before(self, source: SqliteWhole) -> Sums:
        """The rows were committed by an earlier run: are they those of the directory?"""
        target = metadata_of(self._to_metadata)
        await target.open(reads=True)
        try:
            ours, theirs = await sum_up(source), await sum_up(target)
        finally:
            await target.close()
        differences = ours.differences(theirs)
        if differences:
            raise MigrationError(
                f"{self._where} holds this cluster already, but not as it is in {self._data} ({differences[0]}): one of the two has been served since"
                " they were the same. Go on with the one that is right; to migrate again choose an empty database and another prefix. Nothing was changed."
            )
        return ours

    async def _move_blobs(self, source: SqliteWhole) -> tuple[dict[int, int], Copied]:
        wanted = await wanted_blobs(source)
        there = await self._blobs.sizes()
        for blob_id, size in there.items():
            if blob_id != NOTE_ID and wanted.get(blob_id) != size:
                faults.hit("server.migrate.clear")
                await self._blobs.delete(blob_id)  # of an earlier run, before the directory was served again
        progress = self._told("blobs", sum(wanted.values()))
        copied = await copy_blobs(wanted, there, putting(self._data / "blobs", self._blobs), progress)
        refuse_missing(wanted, await self._blobs.sizes(), self._to_blobs)
        return wanted, copied

    async def _check_batches(self, engine: SqliteEngine) -> int:
        """Read every batch from where it was copied to, by rows that are the same on both sides; returns how many."""
        faults.hit("server.migrate.check")
        guesses = await may_be_guessed(SqlClusterStore(engine, FORMAT_VERSION))
        inspection = Inspection(SqliteLogStore(engine), SqlMaintenanceStore(engine), self._blobs, guesses=guesses)
        rows = [(topic.name, row) for topic in await SqlTopicStore(engine).load_topics() for row in topic.partitions]
        progress = self._told("check", sum(row.bytes_total for _, row in rows))
        left = iter(rows)
        seen = 0

        async def work() -> None:
            nonlocal seen
            for name, row in left:
                async for problem in inspection.partition(row, deep=True):
                    raise MigrationError(
                        f"{name}-{row.partition_index} is not whole in {self._to_blobs}: {problem}. Look at {self._data} with 'moldau inspect'; where that"
                        " finds nothing, empty the target and migrate again."
                    )
                progress(inspection.bytes_read - seen)
                seen = inspection.bytes_read

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_CHECKS_AT_ONCE):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return inspection.batches

    async def _move_rows(self, source: SqliteWhole) -> Sums:
        self._told("rows", 0)
        target = metadata_of(self._to_metadata)
        await target.open(reads=False)
        try:
            await target.begin()
            if await target.used_tables():
                raise MigrationError(f"somebody else has written to {self._where} meanwhile. Choose an empty database.")
            sums = Sums()
            for table in TABLES:
                faults.hit("server.migrate.rows")
                await copy_rows(source, target, table, sums)
            faults.hit("server.migrate.compare")
            differences = sums.differences(await sum_up(target))
            if differences:
                raise MigrationError(
                    f"the rows did not arrive as they were sent: {differences[0]}. Nothing was committed."
                )
            await target.commit()
            faults.hit("server.migrate.committed")
            await target.analyze()
            return sums
        finally:
            await target.close()
