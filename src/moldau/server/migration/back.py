"""`moldau migrate --to DIR`: a cluster's stores become a data directory for one broker.

Theory of operation
-------------------
No broker of the cluster may be alive, by the store's clock; that is asked before and after. In this order:

1. `DIR/migrating.json`: with it no broker starts on the directory, and the next run of the same command goes on.
2. The rows are read on one snapshot, from its blobs' names on.
3. Blobs, whole and under their ids; those that are there in full size are not fetched again.
4. A new `metadata.sqlite`, filled, read back and compared.
5. True offsets are put in where brokers had guessed (`moldau.server.migration.offsets`).
6. A look at all of it (`moldau inspect`, with `full` at every batch), sync, checksum, `format`.
7. A mark in the cluster's metadata store, which keeps brokers off it (`moldau.broker.moved`); then `migrating.json` goes.

The cluster's stores are only read before 7. A death at any point leaves a directory that no broker takes for one.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moldau import faults
from moldau.blobs.ports import BlobStore
from moldau.broker.assembly import FORMAT_VERSION
from moldau.broker.moved import mark, moved, refuse_moved, unmark
from moldau.cluster.pulse import GONE_MS
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.tables import EXTENT, TABLES
from moldau.metadata.sqlite.whole import SqliteWhole

from ..at_rest import NAME as SUM
from ..at_rest import write_sum
from ..backup import Told, silent
from ..copying import SPARE_BYTES, refuse_full, sync_file, sync_names
from ..data_dir import MIGRATING, DataDir
from ..inspection import look_at
from .blobs import Copied, copy_blobs, fetching, refuse_missing, wanted_blobs
from .errors import MigrationError
from .notes import NOTE_ID, Note, put_file, read_file, remove_file
from .offsets import TrueOffsets, wrong_bases
from .opening import metadata_of, open_engine, open_source
from .sums import Sums, copy_rows, sum_up

if TYPE_CHECKING:
    from moldau.metadata.postgres.engine import PostgresEngine
    from moldau.metadata.postgres.whole import PostgresWhole

_DATABASE = "metadata.sqlite"
_REBUILT = (_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", SUM, "format")


async def migrate_back(
    from_metadata: str, from_blobs: str, data: Path, *, now: int, full: bool = False, told: Told = silent
) -> dict[str, Any]:
    """Returns the summary. Raises MigrationError, BackupError, DataDirError, StoreError, BlobError, OSError."""
    metadata_of(from_metadata)
    refuse_used(data)
    engine = await open_engine(from_metadata)
    try:
        blobs = await open_source(from_blobs)
        try:
            return await Back(engine, from_metadata, from_blobs, blobs, DataDir(data), now, full, told).run()
        finally:
            await blobs.close()
    finally:
        await engine.close()


def refuse_used(data: Path) -> None:
    """Raises MigrationError unless the directory is empty, not there, or a half of a migration."""
    if not data.exists() or (data / MIGRATING).exists():
        return
    names = sorted(file.name for file in data.iterdir() if file.name != "lock") if data.is_dir() else ["a file"]
    if names:
        what = "is a data directory" if "format" in names else f"is not empty (there is {names[0]})"
        raise MigrationError(f"{data} {what}. Choose a directory that is empty or not there yet; nothing was changed.")


class Back:
    """One run."""

    def __init__(
        self,
        engine: PostgresEngine,
        from_metadata: str,
        from_blobs: str,
        blobs: BlobStore,
        folder: DataDir,
        now: int,
        full: bool,
        told: Told,
    ) -> None:
        self._cluster = SqlClusterStore(engine, FORMAT_VERSION)
        self._source = metadata_of(from_metadata)
        self._from_blobs = from_blobs
        self._blobs = blobs
        self._folder = folder
        self._data = folder.path
        self._now = now
        self._full = full
        self._told = told

    async def run(self) -> dict[str, Any]:
        brokers = await self._refuse_alive()
        await self._unmark()
        await self._source.open(reads=True)
        try:
            cluster_id = await self._source.cluster_id()
            if cluster_id is None:
                raise MigrationError(f"{self._source.where} holds no cluster. Nothing was changed.")
            self._begin({"cluster_id": cluster_id, "metadata": self._source.where, "blobs": self._from_blobs})
            wanted, copied = await self._fetch_blobs(self._source)
            sums, changed = await self._fill(self._source)
            if await self._refuse_alive() != brokers:
                raise MigrationError(
                    f"a broker has served {self._source.where} meanwhile. Stop it and run the same command again."
                )
            report = await self._finish()
            await self._mark()
            remove_file(self._data / MIGRATING)
        finally:
            await self._source.close()
            self._folder.close()
        return {
            "from_metadata": self._source.where,
            "from_blobs": self._from_blobs,
            "to": str(self._data),
            "cluster_id": cluster_id,
            **sums.figures(),
            "blobs": len(wanted),
            "bytes": sum(wanted.values()),
            "blobs_copied": copied.blobs,
            "bytes_copied": copied.bytes,
            "verified": "full" if self._full else "rows and sizes",
            "batches": report["batches"],
            "offsets_put_in": changed,
        }

    async def _refuse_alive(self) -> set[tuple[int, int]]:
        """(node id, incarnation) of all brokers that are registered, none of them alive. Raises MigrationError."""
        brokers = await self._cluster.load_brokers()
        alive = [broker for broker in brokers if broker.age_ms < GONE_MS]
        if alive:
            raise MigrationError(
                f"broker {', '.join(str(broker.node_id) for broker in alive)} is alive: its last heartbeat was {alive[0].age_ms} ms ago. Stop all brokers"
                f" of the cluster; one that was killed counts as alive for {GONE_MS // 1000} s. Nothing was changed."
            )
        return {(broker.node_id, broker.incarnation) for broker in brokers}

    def _begin(self, note: Note) -> None:
        """The directory is claimed, and what is made anew in each run is gone."""
        self._folder.claim()
        refuse_used(self._data)
        before = read_file(self._data / MIGRATING)
        if before is not None and before != note:
            raise MigrationError(
                f"{self._data} holds a half of another migration: of cluster {before.get('cluster_id')} from {before.get('metadata')} and {before.get('blobs')}."
                " Finish that one, or choose another directory; nothing was changed."
            )
        put_file(self._data / MIGRATING, note)
        faults.hit("server.migrate.clear")
        for name in _REBUILT:
            (self._data / name).unlink(missing_ok=True)
        (self._data / "blobs").mkdir(exist_ok=True)

    def _there(self) -> dict[int, int]:
        return {int(file.stem, 16): file.stat().st_size for file in (self._data / "blobs").glob("*.blob")}

    async def _fetch_blobs(self, source: PostgresWhole) -> tuple[dict[int, int], Copied]:
        wanted = await wanted_blobs(source)
        stored = await self._blobs.sizes()
        stored.pop(NOTE_ID, None)
        refuse_missing(wanted, stored, self._from_blobs)
        folder = self._data / "blobs"
        there = self._there()
        for blob_id in there.keys() - wanted.keys():
            faults.hit("server.migrate.clear")
            (folder / f"{blob_id:016x}.blob").unlink()  # of an earlier run, before the cluster was served again
        missing = sum(size for blob_id, size in wanted.items() if there.get(blob_id) != size)
        refuse_full(self._data, missing + SPARE_BYTES)
        progress = self._told("blobs", sum(wanted.values()))
        copied = await copy_blobs(wanted, there, fetching(self._blobs, folder), progress)
        refuse_missing(wanted, self._there(), str(folder))
        return wanted, copied

    async def _fill(self, source: PostgresWhole) -> tuple[Sums, int]:
        self._told("rows", 0)
        target = SqliteWhole(self._data / _DATABASE)
        try:
            await target.create()
            await target.begin()
            sums = Sums()
            for table in TABLES:
                faults.hit("server.migrate.rows")
                await copy_rows(source, target, table, sums)
            faults.hit("server.migrate.compare")
            differences = sums.differences(await sum_up(target))
            if differences:
                raise MigrationError(
                    f"the rows did not arrive as they were sent: {differences[0]}. Run the same command again."
                )
            changed = await self._put_offsets_in(target)
            await target.commit()
            return sums, changed
        finally:
            await target.close()

    async def _put_offsets_in(self, target: SqliteWhole) -> int:
        offsets = TrueOffsets(self._data / "blobs")
        try:
            async for rows in target.read(EXTENT):
                await asyncio.to_thread(offsets.put_in, rows)
        finally:
            await asyncio.to_thread(offsets.close)
        changed = offsets.changed
        async for rows in target.inline_extents():
            for blob_id, base, position, length in rows:
                data = bytearray(await target.inline_bytes(blob_id))
                wrong = list(wrong_bases(memoryview(bytes(data))[position : position + length], base))
                for at, packed in wrong:
                    data[position + at : position + at + len(packed)] = packed
                if wrong:
                    await target.set_inline_bytes(blob_id, bytes(data))
                changed += len(wrong)
        return changed

    async def _finish(self) -> dict[str, Any]:
        self._told("check", 0)
        faults.hit("server.migrate.check")
        report = await look_at(self._data, deep=self._full)
        if report["problems"]:
            raise MigrationError(
                f"what arrived in {self._data} is not whole: {report['problems'][0]}. Empty the directory and migrate again."
            )
        sync_file(self._data / _DATABASE)
        sync_names(self._data)
        write_sum(self._data)
        self._folder.write_format()
        return report

    async def _mark(self) -> None:
        faults.hit("server.migrate.mark")
        at = f"{datetime.fromtimestamp(self._now / 1000).astimezone():%Y-%m-%d %H:%M:%S%z}"
        await mark(self._cluster, str(self._data.resolve()), at)
        faults.hit("server.migrate.marked")

    async def _unmark(self) -> None:
        """Of an earlier run that died then: it is no row of the cluster's. Raises StoreMigrated for that of another directory."""
        note = await moved(self._cluster)
        if note is None:
            return
        if note.get("to") != str(self._data.resolve()):
            await refuse_moved(self._cluster, self._source.where)
        await unmark(self._cluster)
