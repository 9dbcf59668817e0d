"""`moldau backup`: a whole, checked copy of a data directory, whether a broker serves it or not.

Theory of operation
-------------------
The command reads beside the broker, which knows nothing of it and needs not answer. In this order:

1. A hold on the blobs (`moldau.blobs.hold`): what is there now stays, until the command ends in whatever way.
2. A snapshot of the rows (`online_copy`), in one read transaction. It names every blob that holds what was acknowledged by now: a blob has its row
   before its first byte.
3. The blobs that still grow, **the latest first**, each up to the section that is its last right then. A section goes to the latest blob only
   when nothing is under way in the one before, so what comes before any section that was copied is copied too, a moment later.
4. The sealed blobs. They never change.
5. Replay, as at a start (`moldau.log.replay`): sections beyond the snapshot's rows become rows, blobs are sealed. A last section that was still on
   its way is cut off. What is left is what a broker leaves that was stopped.
6. A look at all of it (`moldau inspect`), checksums, sync; the manifest last. Without it a folder is no backup, and no broker starts on one.

So the copy holds everything that was acknowledged when the command began, and of what came during step 3 a consistent part.
Nobody serves a directory whose lock is free: then the command takes the lock, and the rest is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from moldau import faults
from moldau.blobs.hold import held
from moldau.blobs.local import LocalBlobs
from moldau.broker.assembly import FORMAT_VERSION
from moldau.log.journal_end import HoleInJournal, journal_end
from moldau.log.replay import Replay
from moldau.metadata.sql.cluster_rows import SqlClusterStore
from moldau.metadata.sql.maintenance_rows import SqlMaintenanceStore
from moldau.metadata.sqlite.engine import SqliteEngine
from moldau.metadata.sqlite.journal_store import SqliteJournalStore
from moldau.metadata.sqlite.online_copy import NamedBlob, copy_database, named_blobs
from moldau.metadata.sqlite.wal_check import refuse_damaged_wal

from .at_rest import check_sum
from .checksum import Progress, checksum, untold
from .copying import SPARE_BYTES, BackupError, copy_file, filled, refuse_full, sync_file, sync_names
from .data_dir import DataDir, DataDirError, DataDirInUse, check_format
from .inspection import look_at
from .manifest import Manifest, Stored

Told = Callable[[str, int], Progress]
"""Called with what begins and how many bytes it has; gives the `Progress` of it."""


def silent(what: str, total: int) -> Progress:
    """A `Told` that tells nobody."""
    return untold


def take_backup(data: Path, target: Path, now: int, told: Told = silent) -> Manifest:
    """Copy `data` into `target`, which is empty or not there. Raises BackupError, DataDirError, StoreError, BlobError, OSError."""
    if not (data / "metadata.sqlite").exists():
        raise DataDirError(f"{data} is no data directory: there is no metadata.sqlite in it. Name one with --data DIR.")
    if data.resolve() in (target.resolve(), *target.resolve().parents):
        raise BackupError(f"{target} is in the data directory {data}. Choose another place.")
    with _reading(data) as beside, held(data / "blobs"), filled(target):
        database = target / "metadata.sqlite"
        _copy_rows(data / "metadata.sqlite", database, told, served=beside.served)
        blobs = named_blobs(database)
        sizes = _copy_blobs(data, target, blobs, told)
        faults.hit("server.backup.replay")
        cluster_id, changed = asyncio.run(_put_in_order(target, told, power_kept=beside.power_kept))
        stored = _checksums(target, sizes, changed, told)
        size, crc = checksum(database, told("checksums", database.stat().st_size))
        sync_file(database)
        sync_names(target)
        manifest = Manifest(cluster_id, now, Stored(size, crc), stored)
        manifest.write(target)
        return manifest


class _Beside(NamedTuple):
    """What is copied. `served`: by a broker, right now; `power_kept`: the machine has been running since it was written."""

    served: bool
    power_kept: bool


@contextlib.contextmanager
def _reading(data: Path) -> Iterator[_Beside]:
    """A directory that nobody serves stays so meanwhile."""
    folder = DataDir(data)
    served = False
    try:
        try:
            folder.open()
            check_sum(data)
            refuse_damaged_wal(data / "metadata.sqlite", power_kept=folder.power_kept, was_shared=folder.by_workers)
        except DataDirInUse:
            served = True
            check_format(data)
        yield _Beside(served, served or folder.power_kept)
    finally:
        folder.close()


def _copy_rows(source: Path, target: Path, told: Told, *, served: bool) -> None:
    progress: list[Progress] = []
    done = 0

    def copied(now: int, total: int) -> None:
        nonlocal done
        if not progress:
            refuse_full(target.parent, total + SPARE_BYTES)
            progress.append(told("metadata", total))
        progress[0](now - done)
        done = now

    copy_database(source, target, copied, served=served)


def _copy_blobs(data: Path, target: Path, blobs: list[NamedBlob], told: Told) -> dict[str, Stored]:
    """What was copied of each."""
    growing = [blob for blob in reversed(blobs) if blob.size < 0]
    ends = {blob.blob_id: blob.size for blob in blobs}
    copied: dict[str, Stored] = {}

    def copy(blob_id: int, size: int, progress: Progress) -> None:
        name = f"{blob_id:016x}"
        source = data / "blobs" / f"{name}.blob"
        faults.hit("server.backup.blob")
        try:
            copied[name] = Stored(size, copy_file(source, target / "blobs" / source.name, size, progress))
        except FileNotFoundError:
            raise BackupError(f"{source} is missing. {_LOOK}") from None
        except BackupError as short:
            raise BackupError(f"{short}: record bytes are missing. {_LOOK}") from None

    for blob in growing:
        ends[blob.blob_id] = size = _growing_end(data / "blobs" / f"{blob.blob_id:016x}.blob", blob)
        copy(blob.blob_id, size, told("journal", size))
    sealed = [blob for blob in blobs if blob.size >= 0]
    total = sum(blob.size for blob in sealed)
    refuse_full(target, total + SPARE_BYTES)
    progress = told("records", total)
    for blob in sealed:
        copy(blob.blob_id, blob.size, progress)
    return copied


_LOOK = "Stop the broker and look at the directory with 'moldau inspect'; there is no backup."


def _growing_end(file: Path, blob: NamedBlob) -> int:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise BackupError(f"{file} is missing. {_LOOK}") from None
    try:
        # the last section may not be written to its end yet
        end = journal_end(lambda position, length: os.pread(fd, length, position), blob.blob_id, blob.applied_to)
        return min(end, os.fstat(fd).st_size)
    except HoleInJournal as hole:
        raise BackupError(f"{file} is damaged: {hole}. {_LOOK}") from None
    finally:
        os.close(fd)


async def _put_in_order(target: Path, told: Told, *, power_kept: bool) -> tuple[str, set[str]]:
    """Replay and look at the copy; returns the cluster's id and the blobs that are not as they were copied."""
    engine = SqliteEngine(target / "metadata.sqlite", asyncio.get_running_loop())
    blobs = LocalBlobs(target / "blobs")
    try:
        engine.open()
        engine.before_sync = blobs.sync
        before = await blobs.sizes()
        await Replay(SqliteJournalStore(engine), SqlMaintenanceStore(engine), blobs, power_kept=power_kept).run()
        after = await blobs.sizes()
        cluster = await SqlClusterStore(engine, FORMAT_VERSION).load_cluster()
    finally:
        await asyncio.get_running_loop().run_in_executor(None, engine.close)
        await blobs.close()
    told("check", 0)
    await refuse_problems(target)
    return cluster.cluster_id, {f"{blob_id:016x}" for blob_id, size in after.items() if size != before[blob_id]}


async def refuse_problems(folder: Path) -> dict[str, Any]:
    """What `moldau inspect` finds in a copy. Raises BackupError when something is wrong."""
    report = await look_at(folder, deep=True)
    problems = report["problems"]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BackupError(f"the data are damaged: {problems[0]}{more}. {_LOOK}")
    return report


def _checksums(target: Path, copied: dict[str, Stored], changed: set[str], told: Told) -> dict[str, Stored]:
    for name in changed:
        file = target / "blobs" / f"{name}.blob"
        copied[name] = Stored(*checksum(file, told("checksums", file.stat().st_size)))
    return copied
